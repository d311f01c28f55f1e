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

from ottoscaler.errors import RedisError, Wiped
from ottoscaler.events.values import metadata_json, raw_task_id
from ottoscaler.ledger.fencing import Scripts, text
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.kept_logs import LogKeeping
from ottoscaler.ledger.records import Entry, Record, Reply, Taken, Taking, Word, outcome_words, timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.replicas import Replicas
from ottoscaler.ledger.scale_downs import ScaleDownSteps
from ottoscaler.ledger.unseen import UnseenNotes
from ottoscaler.ledger.upkeep import Upkeep
from ottoscaler.model import Event, Outcome, ScaleUp, WorkerId

# An owner that held an event this long made progress enough: its death is no sign of a poisoned event,
# or rolling updates and node failures would in time condemn every healthy event that runs for hours.
HOLD_THAT_COUNTS_MS = 120_000
# An owner whose heart beat on so long after it had tried to create an event's Pod did not die of that: an
# event that kills its owner does so while its Pod is built, sent, or read.
OUTLIVED_MS = 3_000
MOST_FIELDS_IN_A_SCRIPT = 3000  # Lua unpacks some 8,000 values at most


def pack_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An entry's fields as JSON. Only for entries that were parsed, which are UTF-8 throughout."""
    return json.dumps([[k.decode(), v.decode()] for k, v in fields], ensure_ascii=False).encode()


class Ledger(Scripts):
    """Events and their workers. What else is durable has a class of its own and is reached from here."""

    def __init__(
        self, stream: RedisClient, identity: ReplicaIdentity, lose: Callable[[str], bool] = lambda _: False
    ) -> None:
        super().__init__(stream, identity, lose)
        self.scale_downs = ScaleDownSteps(self)
        self.replicas = Replicas(self)
        self.upkeep = Upkeep(self)
        self.logs = LogKeeping(self)
        self.unseen = UnseenNotes(self)

    # --- owning events

    def take(self, event: Event, entry: Entry, *, begin: bool = False) -> Taken:
        """Own an entry that was read, where nobody does: at its first sight, or after a handover.

        With ``begin``, the first worker of an event seen for the first time is begun in the same step
        (``began``).
        """
        assert entry.fields is not None
        body = pack_fields(entry.fields)
        answer = self.run(
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
            _dedup_key(event),
        )
        if answer[0] == b"new":  # seen for the first time: there is nothing that only the ledger knows
            record = Record(event.event_id, 1, 0, body, count=event.pod_count or 0)
            return Taken(Taking.TAKEN, record, began=answer[1] == b"1")
        return self._taken(event.event_id, answer)

    def take_over(
        self, event_id: str, old_owner: str, *, beat: str = "", offered: bool = False, room: bool = True
    ) -> Taken:
        """Own an event of a dead owner (whose heartbeat was last seen at ``beat``), or one on offer."""
        answer = self.run(
            "takeover",
            event_id,
            self.owner,
            old_owner,
            beat,
            "offer" if offered else "dead",
            HOLD_THAT_COUNTS_MS,
            timestamp(),
            "1" if room else "0",
            OUTLIVED_MS,
        )
        return self._taken(event_id, answer)

    def _taken(self, event_id: str, answer: list[Any]) -> Taken:
        how = Taking(text(answer[0]))
        if how in (Taking.TAKEN, Taking.MINE):
            record = Record.parse(event_id, text(answer[1]), answer[2])
            if record.doomed:
                return self._cancel_doomed(record, how)
            return Taken(how, record)
        return Taken(how, detail=text(answer[1]) if len(answer) > 1 else "")

    def _cancel_doomed(self, record: Record, how: Taking) -> Taken:
        """Cancel, batch by batch, what has not ended of an event of which nothing more may begin."""
        word = Word.MORE
        while word is Word.MORE:
            answer = self.fenced("cancel_doomed", record.event_id, self.owner, record.epoch, timestamp())
            word = Word(text(answer[0]))
        if word is not Word.OK:
            return Taken(Taking.CANCELLED)
        flat = self.stream.command("HGETALL", f"{self.stream.prefix}event:{record.event_id}")
        return Taken(how, Record.parse(record.event_id, str(record.epoch), flat))

    def owner_of(self, event_id: str) -> str | None:
        """An open event's owner, '' where it was handed over, ``None`` where it is not open."""
        raw = self.stream.command("HMGET", f"{self.stream.prefix}event:{event_id}", "state", "owner")
        return text(raw[1] or b"") if raw[0] == b"open" else None

    def release(self, events: Sequence[tuple[str, int]]) -> list[str]:
        """Hand events over to whoever takes them first. Returns those that were ours."""
        if not events:
            return []
        flat = [word for event_id, epoch in events for word in (event_id, str(epoch))]
        return [text(i) for i in self.run("release", self.owner, *flat)[1]]

    def offer(self, event_id: str, epoch: int) -> bool:
        """Let any replica with a free slot take an event of which no worker has begun."""
        return bool(self.fenced("offer", event_id, self.owner, epoch)[0] == b"ok")

    # --- workers

    def start(self, worker: WorkerId, epoch: int) -> Reply:
        """OK; AGAIN (begun before: its Pod may exist, detail is its UID); RECORDED, STALE,
        FINISHED: nothing to do; CANCELLING; OVERTIME (detail is the UID of its Pod); PAUSED."""
        return self._worker("start", worker, epoch)

    def created(self, worker: WorkerId, epoch: int, uid: str) -> Reply:
        """OK; DUPLICATE (another Pod was first, detail is its UID); CANCELLING; OVERTIME; STALE."""
        return self._worker("created", worker, epoch, uid)

    def record(
        self, worker: WorkerId, epoch: int, uid: str, outcome: Outcome, *, despite_intent: bool = False
    ) -> Reply:
        """OK, ENDED (it was the event's last), RECORDED, FINISHED, STALE; CANCELLING or OVERTIME
        (an intent stands: decide, then say ``despite_intent``)."""
        return self._worker(
            "record", worker, epoch, uid, "1" if despite_intent else "0", *outcome_words(outcome)
        )

    def retry(
        self, worker: WorkerId, epoch: int, uid: str, delay: float, avoid_node: str, why: str = ""
    ) -> Reply:
        """Plan the next attempt in ``delay`` seconds: OK, RECORDED, STALE, CANCELLING, OVERTIME. ``why``: one
        line."""
        return self._worker("retry", worker, epoch, uid, int(delay * 1000), avoid_node, why)

    def overtime(self, worker: WorkerId, epoch: int, uid: str) -> Reply:
        """Intend to end a worker that is over its time limit: OK (detail is for how many milliseconds that
        has been intended), RECORDED, STALE; CANCELLING, where an intent to cancel it came first."""
        return self._worker("overtime", worker, epoch, uid)

    def unstart(self, worker: WorkerId, epoch: int) -> Reply:
        """Take back a start after which no create was sent; the attempt begins anew, here or elsewhere. OK;
        STALE (it was taken back already, or its Pod is noted), FINISHED; CANCELLING."""
        return self._worker("unstart", worker, epoch)

    def skip(self, worker: WorkerId, epoch: int) -> Reply:
        """Go on to the next attempt, where a Pod of this one may have come and gone unseen: OK,
        RECORDED, STALE, CANCELLING."""
        return self._worker("skip", worker, epoch)

    def _worker(self, script: str, worker: WorkerId, epoch: int, *more: str | bytes | int) -> Reply:
        answer = self.fenced(script, worker.event_id, self.owner, epoch, worker.index, worker.attempt, *more)
        duration = int(answer[2]) if answer[0] == b"ended" else None
        return Reply(Word(text(answer[0])), text(answer[1]) if len(answer) > 1 else "", duration)

    # --- events that go wrong

    def dead_letter(self, event_id: str, error: str, fields: Iterable[tuple[bytes, bytes]]) -> bool:
        """Dead-letter an entry with a sentence. False where it is somebody else's, or was finished before."""
        pairs = list(fields)
        if len(pairs) > MOST_FIELDS_IN_A_SCRIPT:
            return self._dead_letter_by_transaction(event_id, error, pairs)
        task_id = raw_task_id(pairs) or event_id
        answer = self.run(
            "dead", "whole", event_id, self.owner, task_id, error, timestamp(), *_prefixed(pairs)
        )
        return bool(answer[0] == b"ok")

    def _dead_letter_by_transaction(
        self, event_id: str, error: str, fields: Sequence[tuple[bytes, bytes]]
    ) -> bool:
        stream = self.stream
        task_id = raw_task_id(fields) or event_id
        about = ("event_id", event_id, "task_id", task_id, "error", error, "at", timestamp())
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
        answer = self.fenced(
            "poison", record.event_id, self.owner, record.epoch, error, timestamp(), *_prefixed(fields)
        )
        self._cancel_doomed(record, Taking.MINE)
        return bool(answer[0] == b"ok")

    # --- Redis was emptied

    def join_installation(self, fresh: str) -> str:
        """The installation's id: what Redis keeps, or ``fresh`` where it keeps none."""
        key = f"{self.stream.prefix}installation"
        self.stream.command("SET", key, fresh, "NX")
        kept = self.stream.command("GET", key)
        if kept is None:
            raise RedisError("the installation's id disappeared right after it was written")
        return text(kept)

    def reseed(self, event: ScaleUp, body: bytes, epoch: int, indexes: dict[int, str]) -> bool:
        """Write an event's ledger anew from memory. False where one is there that is not ours."""
        flat = [word for index, raw in indexes.items() for word in (str(index), raw)]
        meta = metadata_json(event.metadata).encode()
        answer = self.run(
            "reseed",
            event.event_id,
            self.owner,
            event.type,
            event.task_id,
            event.pod_count,
            body,
            meta,
            epoch,
            _dedup_key(event),
            *flat,
        )
        return bool(answer[0] == b"ok")


def _dedup_key(event: Event) -> bytes:
    return ((event.dedup_key if isinstance(event, ScaleUp) else None) or "").encode()


def _prefixed(fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """For a script. Too many of them are packed into one, which only events that were parsed come to."""
    pairs = list(fields)
    if len(pairs) > MOST_FIELDS_IN_A_SCRIPT:
        return [b"fields", pack_fields(pairs)]
    return _each_prefixed(pairs)


def _each_prefixed(fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [word for name, value in fields for word in (b"field:" + name, value)]
