"""The durable state: who owns each event, and what became of each of its workers.

Each step is one server-side script or transaction, so it is atomic. Most methods are one step in one round
trip. Writes are fenced by owner and epoch: a replica that lost an event gets :class:`Fenced` and must drop
it. Every method may be repeated after a lost reply. Any thread may call them. They raise RedisUnavailable if
trying again may help, and Wiped if Redis no longer knows the installation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ottoscaler.errors import Fenced, RedisError, Wiped
from ottoscaler.events.values import metadata_json, raw_task_id
from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.kept_logs import LogKeeping
from ottoscaler.ledger.pipelining import Words
from ottoscaler.ledger.records import (
    Entry,
    Record,
    Reply,
    Taken,
    Taking,
    Word,
    outcome_words,
    text,
    timestamp,
)
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.replicas import Replicas
from ottoscaler.ledger.scale_downs import ScaleDownSteps
from ottoscaler.ledger.unseen import UnseenNotes
from ottoscaler.ledger.upkeep import Upkeep
from ottoscaler.model import Event, Outcome, ScaleUp, WorkerId

# If an owner held an event for so long and then died, its death is no sign that the event is poisoned.
# Otherwise rolling updates and node failures would in time condemn every healthy event that runs for hours.
HOLD_THAT_COUNTS_MS = 120_000
# If an owner still sent heartbeats for so long after it tried to create an event's Pod, it did not die of
# that event. An event that kills its owner does so while the Pod is built, sent, or read.
OUTLIVED_MS = 3_000
_JSON = json.JSONEncoder(ensure_ascii=False)
MOST_FIELDS_IN_A_SCRIPT = 3000  # Lua can unpack some 8,000 values at most


def pack_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An entry's fields as JSON. Only for entries that were parsed, since these are all UTF-8."""
    return _JSON.encode([[k.decode(), v.decode()] for k, v in fields]).encode()


FIRST_EPOCH = 1  # of an event that is taken for the first time (new_event in prelude.lua)


def new_record(event: Event, body: bytes) -> Record:
    """The record of an event that is taken for the first time. ``body``: its fields, as JSON."""
    return Record(event.event_id, FIRST_EPOCH, 0, body, count=event.pod_count or 0)


class Ledger(Scripts):
    """Events and their workers. Other durable state has its own classes, which are attributes of this one."""

    def __init__(
        self,
        redis: RedisClient,
        identity: ReplicaIdentity,
        lose: Callable[[str], bool] = lambda _: False,
        tell_unbegun: Callable[[list[Any]], None] = lambda _: None,
    ) -> None:
        super().__init__(redis, identity, lose, tell_unbegun)
        self.scale_downs = ScaleDownSteps(self)
        self.replicas = Replicas(self)
        self.upkeep = Upkeep(self)
        self.logs = LogKeeping(self)
        self.unseen = UnseenNotes(self)

    # --- owning events

    def take(self, event: Event, entry: Entry, *, begin: bool = False) -> Taken:
        """Take ownership of one entry, as ``take_all`` does. Raises RedisError and Fenced."""
        read = [(event, pack_fields(entry.fields or ()))]
        (taken,) = self.take_all(read, begin=event if begin else None)
        if not isinstance(taken, Taken):
            raise taken
        return taken

    def take_all(
        self,
        read: Sequence[tuple[Event, bytes]],
        *,
        begin: Event | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Taken | RedisError | Fenced]:
        """Take ownership of entries that were read, where nobody owns them: new ones, or after a handover.

        Each event comes with its fields as JSON (``pack_fields``). All take one round trip. The same step
        begins the first worker of the event ``begin`` if it is new. Its result's ``began`` says whether it
        did. The result is an error for an entry that could not be taken. ``meanwhile`` is as in
        :class:`~ottoscaler.ledger.pipelining.RoundTrips`.
        """
        calls = [self._take_words(event, body, begin=event is begin) for event, body in read]
        answers = self.run_all("take", calls, meanwhile)
        return [
            answer if isinstance(answer, RedisError) else self._told(event, body, answer)
            for (event, body), answer in zip(read, answers, strict=True)
        ]

    def _take_words(self, event: Event, body: bytes, *, begin: bool) -> Words:
        return (
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

    def _told(self, event: Event, body: bytes, answer: list[Any]) -> Taken | RedisError | Fenced:
        if answer[0] == b"new":  # the ledger knows no more than the entry says
            return Taken(Taking.TAKEN, new_record(event, body), began=answer[1] == b"1")
        try:
            return self._taken(event.event_id, answer)
        except (RedisError, Fenced) as error:
            return error

    def take_over(
        self, event_id: str, old_owner: str, *, beat: str = "", offered: bool = False, room: bool = True
    ) -> Taken:
        """Take ownership of an event from a dead owner, or (``offered``) of one that is on offer.

        ``beat`` is the dead owner's heartbeat as last seen. Without ``room``, an event of which no worker has
        begun is left to other replicas."""
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
            if len(answer) > 3:
                self.tell_unbegun(answer[3])
            if record.doomed:
                return self._cancel_doomed(record, how)
            return Taken(how, record)
        if how is Taking.CANCELLED:
            self.tell_unbegun(answer[1])
            return Taken(how)
        return Taken(how, detail=text(answer[1]) if len(answer) > 1 else "")

    def _cancel_doomed(self, record: Record, how: Taking) -> Taken:
        """Cancel in batches all workers that have not ended, of an event of which nothing more may begin."""
        word = Word.MORE
        while word is Word.MORE:
            answer = self.fenced("cancel_doomed", record.event_id, self.owner, record.epoch, timestamp())
            word = Word(text(answer[0]))
            if len(answer) > 1:
                self.tell_unbegun(answer[1])
        if word is not Word.OK:
            return Taken(Taking.CANCELLED)
        flat = self.redis.command("HGETALL", f"{self.redis.prefix}event:{record.event_id}")
        return Taken(how, Record.parse(record.event_id, str(record.epoch), flat))

    def owner_of(self, event_id: str) -> str | None:
        """An open event's owner; '' if it was handed over, ``None`` if the event is not open, or broken."""
        key = f"{self.redis.prefix}event:{event_id}"
        raw = self.redis.command_or((None, None), "HMGET", key, "state", "owner")
        return text(raw[1] or b"") if raw[0] == b"open" else None

    def release(self, events: Sequence[tuple[str, int]]) -> None:
        """Hand events, given as (id, epoch), over to whichever replica takes them first.

        Those that this replica does not own stay as they are. Raises Wiped if Redis has lost the ledger of
        one, and it will be written anew."""
        if events:
            flat = [word for event_id, epoch in events for word in (event_id, str(epoch))]
            self.lose(*map(text, self.run("release", self.owner, *flat)[1]))

    def offer(self, event_id: str, epoch: int) -> bool:
        """Offer an event of which no worker has begun to any replica with a free slot."""
        return bool(self.fenced("offer", event_id, self.owner, epoch)[0] == b"ok")

    # --- workers

    def start(self, worker: WorkerId, epoch: int) -> Reply:
        """Begin an attempt, before its Pod is created.

        Answers OK; AGAIN (it was begun before, so its Pod may exist; detail is that Pod's UID, if known);
        RECORDED, STALE or FINISHED (there is nothing to do); CANCELLING; OVERTIME (detail is the Pod's UID);
        PAUSED."""
        return self._worker("start", worker, epoch)

    def created(self, worker: WorkerId, epoch: int, uid: str) -> Reply:
        """Note the attempt's Pod.

        Answers OK; DUPLICATE (another Pod was noted first; detail is its UID); CANCELLING; OVERTIME;
        STALE."""
        return self._worker("created", worker, epoch, uid)

    def record(
        self, worker: WorkerId, epoch: int, uid: str, outcome: Outcome, *, despite_intent: bool = False
    ) -> Reply:
        """Record a worker's result.

        Answers OK; ENDED (it was the event's last result); RECORDED; FINISHED; STALE; CANCELLING or OVERTIME
        (an intent stands: the caller decides on the outcome, and calls again with ``despite_intent``)."""
        return self._worker(
            "record", worker, epoch, uid, "1" if despite_intent else "0", *outcome_words(outcome)
        )

    def retry(
        self, worker: WorkerId, epoch: int, uid: str, delay: float, avoid_node: str, why: str = ""
    ) -> Reply:
        """Plan the next attempt in ``delay`` seconds. ``why`` is one line of text.

        Answers OK, STALE, CANCELLING or OVERTIME."""
        return self._worker("retry", worker, epoch, uid, int(delay * 1000), avoid_node, why)

    def overtime(self, worker: WorkerId, epoch: int, uid: str) -> Reply:
        """Note the intent to end a worker that is over its time limit.

        Answers OK (detail: for how many milliseconds the intent has stood); RECORDED; STALE; CANCELLING (an
        intent to cancel the worker came first)."""
        return self._worker("overtime", worker, epoch, uid)

    def unstart(self, worker: WorkerId, epoch: int) -> Reply:
        """Take back a start after which no create was sent. The attempt may begin anew, here or elsewhere.

        Answers OK; STALE (it was taken back already, or its Pod is noted); FINISHED; CANCELLING."""
        return self._worker("unstart", worker, epoch)

    def skip(self, worker: WorkerId, epoch: int) -> Reply:
        """Go on to the next attempt, because a Pod of this one may have come and gone unseen.

        Answers OK, STALE or CANCELLING."""
        return self._worker("skip", worker, epoch)

    def _worker(self, script: str, worker: WorkerId, epoch: int, *more: str | bytes | int) -> Reply:
        answer = self.fenced(script, worker.event_id, self.owner, epoch, worker.index, worker.attempt, *more)
        duration = int(answer[2]) if answer[0] == b"ended" else None
        return Reply(Word(text(answer[0])), text(answer[1]) if len(answer) > 1 else "", duration)

    # --- events that go wrong

    def dead_letter(self, event_id: str, error: str, fields: Iterable[tuple[bytes, bytes]]) -> bool:
        """Dead-letter an entry; ``error`` is a sentence.

        Returns False if another replica owns the event, or if it was finished before."""
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
        redis = self.redis
        task_id = raw_task_id(fields) or event_id
        about = ("event_id", event_id, "task_id", task_id, "error", error, "at", timestamp())
        answer = redis.transaction(
            "dead",
            self.installation,
            (event_id, self.owner),
            ("XADD", redis.dead, "*", *about, *_each_prefixed(fields)),
            watched=[redis.prefix + name for name in (f"event:{event_id}", "installation", "low-water")],
        )
        if answer[0] == b"wiped":
            raise Wiped("Redis no longer knows this installation")
        return bool(answer[0] == b"ok")

    def poison(self, record: Record, error: str) -> None:
        """Give an event up and dead-letter it.

        Workers that have not begun are cancelled. For those that have begun, the intent to cancel is
        noted."""
        fields = record.entry().fields or ()
        self.fenced(
            "poison", record.event_id, self.owner, record.epoch, error, timestamp(), *_prefixed(fields)
        )
        self._cancel_doomed(record, Taking.MINE)

    # --- Redis was emptied

    def join_installation(self, fresh: str) -> str:
        """The installation's id in Redis. If there is none, ``fresh`` becomes the id."""
        key = f"{self.redis.prefix}installation"
        kept = self.redis.command("GET", key)
        if kept is None:  # not written first, as a full Redis lets no such write pass
            self.redis.command("SET", key, fresh, "NX")
            kept = self.redis.command("GET", key)
        if kept is None:
            raise RedisError("the installation's id disappeared right after it was written")
        return text(kept)

    def reseed(self, event: ScaleUp, body: bytes, epoch: int, indexes: dict[int, str]) -> str | None:
        """Write an event's ledger anew from memory. ``None`` if it exists and is not this replica's.

        Otherwise what was there: a sentence, or '' if nothing was."""
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
        if answer[0] != b"ok":
            return None
        self.tell_unbegun(answer[2])
        return text(answer[1])


def _dedup_key(event: Event) -> bytes:
    return ((event.dedup_key if isinstance(event, ScaleUp) else None) or "").encode()


def _prefixed(fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Fields as arguments for a script. If there are too many, they are packed into one argument, which only
    parsed events need."""
    pairs = list(fields)
    if len(pairs) > MOST_FIELDS_IN_A_SCRIPT:
        return [b"fields", pack_fields(pairs)]
    return _each_prefixed(pairs)


def _each_prefixed(fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [word for name, value in fields for word in (b"field:" + name, value)]
