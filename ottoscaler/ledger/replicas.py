"""Who serves: registrations, heartbeats, and what the dead left behind."""

from __future__ import annotations

from collections.abc import Sequence

from ottoscaler.errors import Unregistered
from ottoscaler.ledger.fencing import Scripts, text
from ottoscaler.ledger.records import Survey, timestamp

KILLED_ITS_READERS = "given up unread: two replicas died, one after the other, as soon as they had read it"
DELETED_UNREAD = "the entry was deleted from the stream before it was read"


class Replicas:
    """The replicas as Redis knows them. Each method is one script; called from any thread."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def register(
        self, info: str, ended: str = "", beat: str = "", lease_seconds: float = 0.0
    ) -> tuple[bool, str, str, str]:
        """Enter under the consumer name. (True, ...) or (False, incarnation, beat, info) of who is there."""
        consumer, incarnation = self._scripts.owner.rsplit("/", 1)
        answer = self._scripts.run("register", consumer, incarnation, info, ended, beat, repr(lease_seconds))
        if answer[0] == b"occupied":
            return False, text(answer[1]), text(answer[2]), text(answer[3])
        return True, incarnation, text(answer[1]), info

    def beat(
        self, info: str, *, survey: bool, page: Sequence[str] = ("", "", ""), watches: str = ""
    ) -> Survey | None:
        """Renew the lease. ``None`` where another incarnation stands; Unregistered where none does.

        ``page`` is for the status page: recent, sights and details; an empty one leaves what stands, ``-``
        takes it away. ``watches`` are the owners whose Pods this replica watches.
        """
        consumer, incarnation = self._scripts.owner.rsplit("/", 1)
        answer = self._scripts.run(
            "beat", consumer, incarnation, info, "1" if survey else "0", *page, watches
        )
        if answer[0] == b"forgotten":
            raise Unregistered("Redis knows no replica under this consumer name")
        if answer[0] == b"lost":
            return None
        offers = tuple(text(i) for i in answer[2])
        paused, viewed = (flag == "1" for flag in text(answer[3]))
        if not survey:
            return Survey(int(answer[1]), offers, paused=paused, viewed=viewed)
        return Survey(
            int(answer[1]),
            offers,
            True,
            {text(c): (text(i), text(b)) for c, i, b, _ in answer[4]},
            {text(c): float(lease) for c, _, _, lease in answer[4]},
            tuple(text(o) for o in answer[5]),
            {text(c): int(n) for c, n in answer[6]},
            paused,
            viewed,
        )

    def owned(self, owner: str, most: int) -> list[str]:
        """At most so many of the owner's open events."""
        return [text(i) for i in self._scripts.run("owned", owner, most)[1]]

    def claim_pending(
        self, consumer: str, incarnation: str, beat: str, count: int
    ) -> tuple[list[str], list[str]]:
        """Move a dead consumer's entries that nobody owns into our own pending list: their ids. And those
        that were dead-lettered, as they had been removed from the stream."""
        answer = self._scripts.run(
            "claim_pending",
            self._scripts.stream.consumer,
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

    def next_pending(self, behind: str, count: int, *, left_by_the_dead: bool) -> tuple[int, list[str]]:
        """How many of our own pending entries may be read next, behind an id: those that were taken before,
        or one alone that was not. And the ids of those that were dead-lettered unread, as they had killed two
        readers. An entry counts from its first read after a reader's death, or after a lost reply."""
        answer = self._scripts.run(
            "next_pending",
            behind,
            count,
            "1" if left_by_the_dead else "0",
            KILLED_ITS_READERS,
            timestamp(),
            self._scripts.owner,
        )
        return int(answer[1]), [text(i) for i in answer[2]]

    def forget(self, consumer: str, incarnation: str, beat: str) -> bool:
        """Forget a dead replica that owns nothing and has nothing pending, with its consumer."""
        return bool(self._scripts.run("forget", consumer, incarnation, beat)[0] == b"ok")
