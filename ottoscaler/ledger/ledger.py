"""What is durable: who owns each event, and what became of each of its workers.

Every method is one server-side script, hence atomic and one round trip. Writes are fenced by owner and
epoch: a replica that lost an event gets :class:`Fenced` and must drop it. All may be repeated after a lost
reply. Called from any thread; raises RedisUnavailable where trying again may help, and Wiped where Redis
no longer knows the installation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ottoscaler.errors import Fenced, RedisError, Unregistered, Wiped
from ottoscaler.events.values import metadata_json
from ottoscaler.ledger.records import (
    Answer,
    Entry,
    IndexState,
    Record,
    Survey,
    Taken,
    entries,
    timestamp,
)
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Event, Outcome, ScaleUp, WorkerId

# An owner that held an event this long made progress enough: its death is no sign of a poisoned event,
# or rolling updates and node failures would in time condemn every healthy event that runs for hours.
HOLD_THAT_COUNTS_MS = 120_000
MOST_FIELDS_IN_A_SCRIPT = 3000  # Lua unpacks some 8,000 values at most


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def pack_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An entry's fields as JSON. Only for entries that were parsed, which are UTF-8 throughout."""
    return json.dumps([[k.decode(), v.decode()] for k, v in fields], ensure_ascii=False).encode()


class Ledger:
    """The scripts, with types. ``owner`` and ``installation`` are set by the lease, their only writer."""

    def __init__(self, stream: RedisClient) -> None:
        self._stream = stream
        self.owner = ""
        self.installation = ""
        # Asked when Redis has lost an event's ledger: True if it will be written anew, so that the call
        # may be tried again.
        self.forgotten: Callable[[str], bool] = lambda _: False

    def _run(self, script: str, *args: str | bytes | int) -> list[Any]:
        answer = self._stream.script(script, self.installation, *args)
        if answer[0] == b"wiped":
            raise Wiped("Redis no longer knows this installation")
        return answer  # type: ignore[no-any-return]

    def _fenced(self, script: str, *args: str | bytes | int) -> list[Any]:
        answer = self._run(script, *args)
        if answer[0] == b"missing" and self.forgotten(_text(args[0])):
            raise Wiped(f"Redis has lost the ledger of event {_text(args[0])}; it is written anew")
        if answer[0] in (b"fenced", b"missing"):
            raise Fenced(f"event {_text(args[0])} is not owned by this replica any more")
        return answer

    # --- owning events

    def take(self, event: Event, entry: Entry, *, begin: bool = False) -> Taken:
        """Own an entry that was read, where nobody does: at its first sight, or after a handover.

        With ``begin``, the first worker of an event seen for the first time is begun in the same step
        (``began``).
        """
        assert entry.fields is not None
        body = pack_fields(entry.fields)
        answer = self._run(
            "take",
            event.event_id,
            self.owner,
            event.type,
            event.task_id or "",
            "" if event.pod_count is None else event.pod_count,
            "" if event.expires_at is None else repr(event.expires_at),
            body,
            metadata_json(event.metadata).encode(),
            timestamp(),
            "1" if begin else "0",
        )
        if answer[0] == b"new":  # seen for the first time: there is nothing that only the ledger knows
            record = Record(event.event_id, 1, 0, body, count=event.pod_count or 0)
            return Taken("taken", record, began=begin and event.type == "scale_up")
        return self._taken(event.event_id, answer)

    def take_over(
        self, event_id: str, old_owner: str, *, beat: str = "", offered: bool = False, room: bool = True
    ) -> Taken:
        """Own an event of a dead owner (whose heartbeat was last seen at ``beat``), or one on offer."""
        answer = self._run(
            "takeover",
            event_id,
            self.owner,
            old_owner,
            beat,
            "offer" if offered else "dead",
            HOLD_THAT_COUNTS_MS,
            timestamp(),
            "1" if room else "0",
        )
        return self._taken(event_id, answer)

    @staticmethod
    def _taken(event_id: str, answer: list[Any]) -> Taken:
        how = _text(answer[0])
        if how in ("taken", "mine"):
            return Taken(how, Record.parse(event_id, _text(answer[1]), answer[2]))
        return Taken(how, detail=_text(answer[1]) if len(answer) > 1 else "")

    def owner_of(self, event_id: str) -> str | None:
        """An open event's owner, '' where it was handed over, ``None`` where it is not open."""
        raw = self._stream.command("HMGET", f"{self._stream.prefix}event:{event_id}", "state", "owner")
        return _text(raw[1] or b"") if raw[0] == b"open" else None

    def release(self, events: Sequence[tuple[str, int]]) -> list[str]:
        """Hand events over to whoever takes them first. Returns those that were ours."""
        if not events:
            return []
        flat = [word for event_id, epoch in events for word in (event_id, str(epoch))]
        return [_text(i) for i in self._run("release", self.owner, *flat)[1]]

    def offer(self, event_id: str, epoch: int) -> bool:
        """Let any replica with a free slot take an event of which no worker has begun."""
        return bool(self._fenced("offer", event_id, self.owner, epoch)[0] == b"ok")

    # --- workers

    def start(self, worker: WorkerId, epoch: int) -> Answer:
        """``ok``; ``again`` (begun before: its Pod may exist, detail is its UID); ``recorded``, ``stale``,
        ``finished``: nothing to do; ``cancelling``."""
        return self._worker("start", worker, epoch)

    def created(self, worker: WorkerId, epoch: int, uid: str) -> Answer:
        """``ok``; ``duplicate`` (another Pod was first, detail is its UID); ``cancelling``; ``stale``."""
        return self._worker("created", worker, epoch, uid)

    def record(
        self, worker: WorkerId, epoch: int, uid: str, outcome: Outcome, *, despite_intent: bool = False
    ) -> Answer:
        """``ok``, ``ended`` (it was the event's last), ``recorded``, ``finished``, ``stale``, ``cancelling``
        (an intent stands: decide, then say ``despite_intent``)."""
        return self._worker("record", worker, epoch, uid, "1" if despite_intent else "0", *_outcome(outcome))

    def retry(self, worker: WorkerId, epoch: int, uid: str, delay: float, avoid_node: str) -> Answer:
        """Plan the next attempt in ``delay`` seconds: ``ok``, ``recorded``, ``stale``, ``cancelling``."""
        return self._worker("retry", worker, epoch, uid, int(delay * 1000), avoid_node)

    def unstart(self, worker: WorkerId, epoch: int) -> bool:
        """Take back a start after which no create was sent; the attempt begins anew, here or elsewhere."""
        return self._worker("unstart", worker, epoch).word == "ok"

    def skip(self, worker: WorkerId, epoch: int) -> Answer:
        """Go on to the next attempt, where a Pod of this one may have come and gone unseen: ``ok``,
        ``recorded``, ``stale``, ``cancelling``."""
        return self._worker("skip", worker, epoch)

    def _worker(self, script: str, worker: WorkerId, epoch: int, *more: str | bytes | int) -> Answer:
        answer = self._fenced(script, worker.event_id, self.owner, epoch, worker.index, worker.attempt, *more)
        duration = int(answer[2]) if answer[0] == b"ended" else None
        return Answer(_text(answer[0]), _text(answer[1]) if len(answer) > 1 else "", duration)

    # --- events that go wrong

    def dead_letter(self, event_id: str, error: str, fields: Iterable[tuple[bytes, bytes]]) -> bool:
        """Dead-letter an entry with a sentence. False where it is somebody else's, or was finished before."""
        pairs = list(fields)
        if len(pairs) > MOST_FIELDS_IN_A_SCRIPT:
            return self._dead_letter_by_transaction(event_id, error, pairs)
        answer = self._run("dead", "whole", event_id, self.owner, error, timestamp(), *_prefixed(pairs))
        return bool(answer[0] == b"ok")

    def _dead_letter_by_transaction(
        self, event_id: str, error: str, fields: Sequence[tuple[bytes, bytes]]
    ) -> bool:
        stream = self._stream
        about = ("event_id", event_id, "error", error, "at", timestamp())
        answer = stream.transaction(
            "dead",
            self.installation,
            (event_id, self.owner),
            ("XADD", stream.dead, "*", *about, *_each_prefixed(fields)),
            watched=[stream.prefix + name for name in (f"event:{event_id}", "installation", "low-water")],
        )
        if answer[0] == b"wiped":
            raise Wiped("Redis no longer knows this installation")
        return bool(answer[0] == b"ok")

    def poison(self, record: Record, error: str) -> bool:
        """Give an event up: what has not begun is cancelled, the rest intended, and it is dead-lettered."""
        fields = record.entry().fields or ()
        answer = self._fenced(
            "poison", record.event_id, self.owner, record.epoch, error, timestamp(), *_prefixed(fields)
        )
        return bool(answer[0] == b"ok")

    # --- scale_down

    def candidates(self, event_id: str, task_id: str | None) -> list[Record]:
        """Open scale_ups with a smaller id, of the task or of any."""
        answer = self._run("candidates", event_id, task_id or "", "0" if task_id is None else "1")
        return [Record.parse(_text(i), "0", flat) for i, flat in answer[1]]

    def cancel(self, event_id: str, epoch: int, limit: int | None, order: Sequence[tuple[str, int]]) -> int:
        """Make the intent durable for victims in this order; returns how many are chosen in all."""
        flat = [word for victim, index in order for word in (victim, str(index))]
        answer = self._fenced(
            "cancel", event_id, self.owner, epoch, "" if limit is None else limit, timestamp(), *flat
        )
        return int(answer[1]) if answer[0] == b"ok" else 0

    def victims(self, event_id: str, epoch: int) -> list[tuple[WorkerId, str]]:
        """The begun workers that a scale_down has chosen, each with its Pod's UID where that is known."""
        answer = self._fenced("victims", event_id, self.owner, epoch)
        if answer[0] != b"ok":
            return []
        found = []
        for key, value in zip(answer[1][::2], answer[1][1::2], strict=True):
            name = _text(key)
            if name.startswith("v:"):
                victim, index = name[2:].rsplit(":", 1)
                attempt, uid = _text(value).split(":", 1)
                found.append((WorkerId(victim, int(index), int(attempt)), uid))
        return found

    def finish_down(self, event_id: str, epoch: int) -> Answer:
        """A scale_down is carried out: write its entry and acknowledge it."""
        answer = self._fenced("finish_down", event_id, self.owner, epoch)
        return Answer(_text(answer[0]), duration_ms=int(answer[2]) if answer[0] == b"ok" else None)

    def look_ahead(self, behind: str, count: int) -> tuple[str, list[Entry]]:
        """scale_downs that nobody has read yet, behind an id; and where to go on ('' at the end)."""
        answer = self._run("lookahead", behind, count)
        return _text(answer[1]), entries(answer[2])

    # --- replicas

    def register(
        self, info: str, ended: str = "", beat: str = "", lease_seconds: float = 0.0
    ) -> tuple[bool, str, str, str]:
        """Enter under the consumer name. (True, ...) or (False, incarnation, beat, info) of who is there."""
        consumer, incarnation = self.owner.rsplit("/", 1)
        answer = self._run("register", consumer, incarnation, info, ended, beat, repr(lease_seconds))
        if answer[0] == b"occupied":
            return False, _text(answer[1]), _text(answer[2]), _text(answer[3])
        return True, incarnation, _text(answer[1]), info

    def beat(self, info: str, *, survey: bool) -> Survey | None:
        """Renew the lease. ``None`` where another incarnation stands; Unregistered where none does."""
        consumer, incarnation = self.owner.rsplit("/", 1)
        answer = self._run("beat", consumer, incarnation, info, "1" if survey else "0")
        if answer[0] == b"forgotten":
            raise Unregistered("Redis knows no replica under this consumer name")
        if answer[0] == b"lost":
            return None
        offers = tuple(_text(i) for i in answer[2])
        if not survey:
            return Survey(int(answer[1]), offers)
        return Survey(
            int(answer[1]),
            offers,
            True,
            {_text(c): (_text(i), _text(b)) for c, i, b, _ in answer[3]},
            {_text(c): float(lease) for c, _, _, lease in answer[3]},
            tuple(_text(o) for o in answer[4]),
            {_text(c): int(n) for c, n in answer[5]},
        )

    def owned(self, owner: str, most: int) -> list[str]:
        """At most so many of the owner's open events."""
        return [_text(i) for i in self._run("owned", owner, most)[1]]

    def claim_pending(self, consumer: str, incarnation: str, beat: str, count: int) -> list[str]:
        """Move a dead consumer's entries that nobody owns into our own pending list."""
        answer = self._run("claim_pending", self._stream.consumer, consumer, incarnation, beat, count)
        return [] if answer[0] == b"alive" else [_text(i) for i in answer[1]]

    def forget(self, consumer: str, incarnation: str, beat: str) -> bool:
        """Forget a dead replica that owns nothing and has nothing pending, with its consumer."""
        return bool(self._run("forget", consumer, incarnation, beat)[0] == b"ok")

    # --- keeping house

    def ensure_group(self) -> bool:
        """Create the group at the low-water mark if it is missing. True where it was."""
        return bool(self._run("ensure_group")[0] == b"created")

    def states(self, workers: Sequence[tuple[str, int]]) -> list[tuple[str, str, IndexState | None, bool]]:
        """For each (event, index): missing, finished or open; owner, state, whether an intent stands."""
        flat = [word for event_id, index in workers for word in (event_id, str(index))]
        answer = self._run("states", *flat)
        return [
            (_text(s), _text(o), IndexState.parse(_text(i)) if i else None, bool(c))
            for s, o, i, c in answer[1]
        ]

    def housekeeping(self, retention: float, dead_retention: float, batch: int) -> tuple[str, int, int]:
        """Raise the low-water mark and let expire what may. (mark, ledgers, entries)."""
        answer = self._run("housekeeping", int(retention * 1000), int(dead_retention * 1000), batch)
        return _text(answer[1]), int(answer[2]), int(answer[3])

    # --- Redis was emptied

    def join_installation(self, fresh: str) -> str:
        """The installation's id: what Redis keeps, or ``fresh`` where it keeps none."""
        key = f"{self._stream.prefix}installation"
        self._stream.command("SET", key, fresh, "NX")
        kept = self._stream.command("GET", key)
        if kept is None:
            raise RedisError("the installation's id vanished as soon as it was written")
        return _text(kept)

    def reseed(self, event: ScaleUp, body: bytes, epoch: int, indexes: dict[int, str]) -> bool:
        """Write an event's ledger anew from memory. False where one is there that is not ours."""
        flat = [word for index, raw in indexes.items() for word in (str(index), raw)]
        meta = metadata_json(event.metadata).encode()
        answer = self._run(
            "reseed",
            event.event_id,
            self.owner,
            event.type,
            event.task_id,
            event.pod_count,
            body,
            meta,
            epoch,
            *flat,
        )
        return bool(answer[0] == b"ok")

    def report_orphan(self, worker: WorkerId, uid: str, task_id: str, metadata: str, outcome: Outcome) -> str:
        """Tell the result of a Pod of an earlier installation, once: ``ok``, ``recorded`` or ``owned``."""
        answer = self._run(
            "report_orphan",
            worker.event_id,
            task_id,
            worker.index,
            worker.attempt,
            uid,
            metadata,
            *_outcome(outcome),
        )
        return _text(answer[0])


def _outcome(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.pod,
        outcome.node,
        outcome.status.value,
        outcome.reason.value,
        "" if outcome.exit_code is None else str(outcome.exit_code),
        outcome.message,
        outcome.created_at,
        outcome.started_at,
        outcome.finished_at,
    )


def _prefixed(fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """For a script. Too many of them are packed into one, which only events that were parsed come to."""
    pairs = list(fields)
    if len(pairs) > MOST_FIELDS_IN_A_SCRIPT:
        return [b"fields", pack_fields(pairs)]
    return _each_prefixed(pairs)


def _each_prefixed(fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [word for name, value in fields for word in (b"field:" + name, value)]
