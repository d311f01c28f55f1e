"""The replicas in Redis: registrations, heartbeats, and what dead replicas left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ottoscaler.errors import InstanceChanged, Unregistered
from ottoscaler.ledger.broken_keys import KINDS, Overwritten
from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.records import text, timestamp

KILLED_ITS_READERS = "given up unread: two replicas died, one after the other, as soon as they had read it"
_KEYS = " ".join(f"{name}={kind}" for name, kind in KINDS.items())
DELETED_UNREAD = "the entry was deleted from the stream before it was read"


@dataclass(frozen=True, slots=True)
class Registration:
    """Whether a replica was registered, and if not, which incarnation holds the name.

    ``beat`` and ``info`` are that replica's. ``paused`` tells whether the group is paused, so that a replica
    that was just registered does not read before its first heartbeat."""

    entered: bool
    incarnation: str
    beat: str
    info: str
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """What a heartbeat saw of the others."""

    beat: int
    offers: tuple[str, ...]
    full: bool = False  # a light heartbeat only brings offers, flags, ``others`` and ``stranded``
    replicas: dict[str, tuple[str, str]] = field(default_factory=dict)  # consumer: (incarnation, beat)
    leases: dict[str, float] = field(default_factory=dict)  # consumer: seconds, as it said
    owners: tuple[str, ...] = ()
    consumers: dict[str, int] = field(default_factory=dict)  # of the group: entries pending
    paused: bool = False  # the group: no worker may be begun
    viewed: bool = False  # somebody looks at the status page
    broken: tuple[Overwritten, ...] = ()  # some of our keys that another program has overwritten
    others: int = 0  # other replicas with a heartbeat, alive or not
    stranded: tuple[str, ...] = ()  # entries that others were handed 2 s ago or more, and nobody has taken


def instance_differs(ours: str, theirs: str) -> str:
    """The sentence for an operator who changed OTTO_INSTANCE, or what it is derived from, too early."""
    return (
        f"OTTO_INSTANCE: invalid value {ours!r} (events in flight or replicas of this stream and group have "
        f"{theirs!r}, and Pods are found by it); set it to {theirs!r}, or drain and stop every replica first."
    )


class Replicas:
    """The replicas as Redis knows them. Each method takes one round trip. Any thread may call them."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def register(
        self, info: str, ended: str = "", beat: str = "", lease_seconds: float = 0.0
    ) -> Registration:
        """Register under the consumer name.

        ``ended`` is an incarnation that is known to have ended. ``beat`` is its last heartbeat if silence
        proved that. Raises InstanceChanged if events in flight, or replicas that live, have another
        OTTO_INSTANCE: this replica would not find their Pods, and would run their workers again."""
        consumer, _, incarnation = self._scripts.owner.rpartition("/")
        instance = self._scripts.redis.instance
        answer = self._scripts.run(
            "register", consumer, incarnation, info, ended, beat, repr(lease_seconds), instance
        )
        if answer[0] == b"instance":
            raise InstanceChanged(instance_differs(instance, text(answer[1])))
        if answer[0] == b"occupied":
            return Registration(False, text(answer[1]), text(answer[2]), text(answer[3]))
        return Registration(True, incarnation, text(answer[1]), info, paused=answer[2] == b"1")

    def beat(
        self, info: str, *, survey: bool, page: Sequence[str] = ("", "", ""), watches: str = ""
    ) -> Survey | None:
        """Renew the lease. Returns ``None`` if another incarnation is registered under the name.

        ``page`` is for the status page: recent, sights and details. An empty text leaves the stored one, and
        ``-`` removes it. ``watches`` are the owners whose Pods this replica watches. Raises Unregistered if
        no replica is registered under the name.
        """
        consumer, _, incarnation = self._scripts.owner.rpartition("/")
        answer = self._scripts.run(
            "beat",
            consumer,
            incarnation,
            info,
            "1" if survey else "0",
            *page,
            watches,
            _KEYS if survey else "",
        )
        if answer[0] == b"forgotten":
            raise Unregistered(text(answer[1]) or "Redis knows no replica under this consumer name")
        if answer[0] == b"lost":
            return None
        paused, viewed = (flag == "1" for flag in text(answer[3]))
        others = max(0, int(answer[4]) - 1)
        light = Survey(
            int(answer[1]),
            tuple(map(text, answer[2])),
            paused=paused,
            viewed=viewed,
            others=others,
            stranded=tuple(map(text, answer[5])),
        )
        if answer[0] == b"ok":
            return light
        return replace(
            light,
            full=True,
            replicas={text(c): (text(i), text(b)) for c, i, b, _ in answer[6]},
            leases={text(c): float(lease) for c, _, _, lease in answer[6]},
            owners=tuple(map(text, answer[7])),
            consumers={text(c): int(n) for c, n in answer[8]},
            broken=tuple(Overwritten(*map(text, told)) for told in answer[9]),
        )

    def owned(self, owner: str, most: int) -> list[str]:
        """The ids of the owner's open events, at most ``most``."""
        return [text(i) for i in self._scripts.run("owned", owner, most)[1]]

    def claim_pending(
        self, consumer: str, incarnation: str, beat: str, count: int
    ) -> tuple[list[str], list[str]]:
        """Move a dead consumer's entries that nobody owns into our own pending list.

        Returns their ids, and the ids of entries that were dead-lettered because they were no longer in the
        stream."""
        answer = self._scripts.run(
            "claim_pending",
            self._scripts.redis.consumer,
            consumer,
            incarnation,
            beat,
            count,
            DELETED_UNREAD,
            timestamp(),
        )
        if answer[0] == b"alive":
            return [], []
        return [text(i) for i in answer[1]], [text(i) for i in answer[2]]

    def survived(self, event_id: str) -> None:
        """Note that an entry without a ledger did not kill its reader."""
        self._scripts.redis.command("HDEL", f"{self._scripts.redis.prefix}handed", event_id)

    def next_pending(self, behind: str, count: int, *, left_by_the_dead: bool) -> tuple[int, list[str], str]:
        """How many of our own pending entries after an id may be read next.

        That is a number of entries that were taken before, or 1 for an entry that was not, since it may be
        what killed its reader. Also returns the ids of entries that were dead-lettered unread, because two
        readers died of each, and the id behind which to read. Readers are counted from the first read after a
        reader's death or a lost reply."""
        answer = self._scripts.run(
            "next_pending",
            behind,
            count,
            "1" if left_by_the_dead else "0",
            KILLED_ITS_READERS,
            timestamp(),
            self._scripts.owner,
        )
        return int(answer[1]), [text(i) for i in answer[2]], text(answer[3])

    def forget(self, consumer: str, incarnation: str, beat: str) -> bool:
        """Remove a dead replica and its consumer, if it owns nothing and has nothing pending.

        Returns whether it was removed."""
        return bool(self._scripts.run("forget", consumer, incarnation, beat)[0] == b"ok")
