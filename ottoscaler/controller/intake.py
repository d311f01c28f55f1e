"""From a stream entry to an owned event: parse it, take it in the ledger, hand it on to be carried out.

The listener calls it for entries that it reads, the takeover for events that it takes over. A bad event ends
here as a dead letter that says what is wrong, and affects no other event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ottoscaler.controller.head_starts import HeadStarts
from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.reading import EventReader
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.errors import OF_REDIS_ITSELF, BadEvent, Fenced, RedisError
from ottoscaler.events.values import raw_task_id, told_metadata
from ottoscaler.ledger.ledger import FIRST_EPOCH, Ledger, new_record, pack_fields
from ottoscaler.ledger.records import Entry, Record, Taken, Taking
from ottoscaler.ledger.replicas import DELETED_UNREAD
from ottoscaler.model import Event, ScaleDown, ScaleUp, Status, WorkerId
from ottoscaler.pods.plan import PodPlan
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun

log = get_logger(__name__)

POISONOUS_STRIKES = 5  # owners of an event that died before it made progress; then the event is given up

Failure = RedisError | Fenced


@dataclass(frozen=True, slots=True)
class _Read:
    """An entry that makes sense: its event, its fields as JSON, and the plan of its Pods, if it has any."""

    entry: Entry
    event: Event
    body: bytes
    plan: PodPlan | None


class Intake:
    """Thread-safe. Each call raises RedisError if a call to Redis fails."""

    def __init__(
        self,
        reader: EventReader,
        ledger: Ledger,
        registry: RunRegistry,
        inbox: Inbox,
        scale_downs: ScaleDowns,
        head_starts: HeadStarts,
        metrics: Metrics,
        watch: Callable[[Sequence[str] | None], None],
    ) -> None:
        self._reader = reader
        self._ledger = ledger
        self._registry = registry
        self._inbox = inbox
        self._scale_downs = scale_downs
        self._head_starts = head_starts
        self._metrics = metrics
        self._watch = watch  # has the watch show these owners' Pods too

    def knows(self, event_id: str) -> bool:
        """Whether the event is in this replica's hands."""
        return self._registry.knows(event_id) or self._scale_downs.knows(event_id)

    def accept(self, entries: Sequence[Entry]) -> list[tuple[Entry, Failure]]:
        """Take entries that were read, in one round trip, and hand them on.

        Returns those that could not be taken. Raises OF_REDIS_ITSELF after it has gone through all entries.
        """
        failures: list[tuple[Entry, Failure]] = []
        read = [one for entry in entries if (one := self._read(entry, failures)) is not None]
        if read:
            self._take(read, failures)
        for _, error in failures:
            if isinstance(error, OF_REDIS_ITSELF):
                raise error
        return failures

    def _read(self, entry: Entry, failures: list[tuple[Entry, Failure]]) -> _Read | None:
        """An entry's event and plan. ``None`` if it was refused."""
        try:
            if entry.fields is None:
                self._refuse(entry.id, DELETED_UNREAD, ())
                return None
            try:
                event = self._reader.event(entry)
                body = pack_fields(entry.fields)
                return _Read(entry, event, body, self._reader.plan(event))
            except BadEvent as error:
                why = str(error)
            except Exception as error:  # noqa: BLE001 - otherwise one event would take down replica after replica
                task_id = raw_task_id(entry.fields)
                log.error("event_error", "internal error", exc=error, event_id=entry.id, task_id=task_id)
                why = f"Ottoscaler could not read it: {type(error).__name__}"
            self._refuse(entry.id, why, entry.fields)
        except (RedisError, Fenced) as error:
            failures.append((entry, error))
        return None

    def _take(self, read: list[_Read], failures: list[tuple[Entry, Failure]]) -> None:
        answers, begun = self._ask(read)
        runs: list[EventRun] = []
        for one, answer in zip(read, answers, strict=True):
            try:
                if not isinstance(answer, Taken):
                    raise answer
                run = self._taken(one, answer, begun=one is begun)
            except (RedisError, Fenced) as error:
                failures.append((one.entry, error))
            else:
                if run is not None:
                    runs.append(run)
        for run in runs:  # together, so that the dispatcher wakes once
            self._inbox.put(run)

    def _ask(self, read: list[_Read]) -> tuple[list[Taken | Failure], _Read | None]:
        """Take entries in the ledger. Returns its answers, and the entry whose run was handed on already.

        An idle replica hands on a worker at once, of the first event of the highest priority: see
        :mod:`ottoscaler.workers.head_start`.
        """
        entries = [(one.event, one.body) for one in read]
        first = max((one for one in read if one.plan is not None), key=_priority, default=None)
        head_start = self._head_starts.offer() if first is not None else None
        if first is None or head_start is None:
            return self._ledger.take_all(entries), None
        assert isinstance(first.event, ScaleUp)  # it has a plan
        run = self._new_run(first.event, first.plan, new_record(first.event, first.body))
        kept = False
        try:
            answers = self._ledger.take_all(
                entries, begin=first.event, meanwhile=lambda: self._head_starts.open(run, head_start)
            )
            answer = answers[read.index(first)]
            began = isinstance(answer, Taken) and answer.began
            kept = began and self._head_starts.hand_on(run, head_start)
        finally:
            if not kept:
                head_start.drop()
        if began and not kept:
            with suppress(RedisError, Fenced):  # then its start is answered as if a reply had been lost
                self._ledger.unstart(WorkerId(first.event.event_id, 0, 0), FIRST_EPOCH)
        return answers, first if kept else None

    def _taken(self, one: _Read, taken: Taken, *, begun: bool) -> EventRun | None:
        """The run of an entry that was taken, if it has still to be handed on."""
        entry, event = one.entry, one.event
        if taken.how is Taking.EXPIRED:
            fields = entry.fields or ()
            sent = dict(fields)[b"expires_at"].decode()
            self._dead_letter(entry.id, f"expired: expires_at={sent} is over", fields)
        elif taken.how is Taking.CANCELLED:
            log.info("event_cancelled", "cancelled before it was read", **_about(event))
        elif taken.how is Taking.DUPLICATE:
            log.info(
                "event_duplicate", f"event {taken.detail} bore its dedup_key: nothing runs", **_about(event)
            )
            self._metrics.events_total.inc(event.type, Status.DUPLICATE)
        elif taken.how is Taking.OWNED:
            log.debug(
                "event_left_alone", f"owned by {taken.detail}", event_id=entry.id, task_id=event.task_id
            )
        if taken.record is None or (taken.how is Taking.MINE and self.knows(entry.id)):
            return None
        if isinstance(event, ScaleDown):
            self._submit(event, taken.record)
            return None
        run = None if begun else self._run(event, one.plan, taken.record)
        if run is None and not begun:
            return None
        log.info("event_taken", f"a scale_up of {event.pod_count} was taken", **_about(event))
        return run

    def accept_down(self, entry: Entry, *, carry_out: bool) -> None:
        """Take a scale_down before its turn, and hand it on if it is to be carried out right away.

        Otherwise its tombstone stands, and ``accept`` of the same entry hands it on.
        Raises BadEvent for a bad one, or one that ends in an internal error: it is dead-lettered later, when
        it is read.
        """
        try:
            event = self._reader.event(entry)
        except Exception as error:  # _read tells which, when it is its turn
            raise BadEvent(str(error)) from error
        if isinstance(event, ScaleDown):
            taken = self._ledger.take(event, entry)
            if carry_out and taken.record is not None and not self.knows(entry.id):
                self._submit(event, taken.record)

    def adopt(self, taken: Taken) -> None:
        """Hand on an event that was taken over."""
        record = taken.record
        if record is None or (taken.how is Taking.MINE and self.knows(record.event_id)):
            return
        if record.strikes >= POISONOUS_STRIKES and not record.poisoned:
            reason = f"given up: its owners died {record.strikes} times without progress."
            record = self._give_up(record, reason)
        read = self._reader.again(record)
        event = read.event
        if read.problem and not record.poisoned:
            if record.indexes or read.within_limits:
                # An update of Ottoscaler that brings a broken template must not end workers that run.
                about = f"its workers that run go on and are recorded, and no other begins: {read.problem}"
                log.error("event_out_of_policy", about, **_about(event))
            else:
                record = self._give_up(record, read.problem)
        log.info(
            "event_taken_over",
            f"taken over with {len(record.indexes)} workers begun or done, epoch {record.epoch}",
            strikes=record.strikes,
            **_about(event),
        )
        if isinstance(event, ScaleDown):
            self._submit(event, record)
        elif (run := self._run(event, read.plan, record)) is not None:
            self._inbox.put(run)
            log.info("event_taken", f"a scale_up of {event.pod_count} was taken", **_about(event))

    def whole(self, run: EventRun) -> Event:
        """A run's event with all its fields, including those that the run itself does not keep."""
        return self._reader.again(run.record()).event

    def _submit(self, event: ScaleDown, record: Record) -> None:
        """Hand on a scale_down, unless it is here already."""
        if self._scale_downs.submit(event, record.epoch):
            log.info("event_taken", "a scale_down was taken", **_about(event))

    def _run(self, event: ScaleUp, pod_plan: PodPlan | None, record: Record) -> EventRun | None:
        """A new run, in the registry but not in the inbox. ``None`` if the event is here already."""
        if record.indexes:  # an earlier owner may have created Pods of it
            self._watch(record.before)
        run = self._new_run(event, pod_plan, record)
        return run if self._registry.add(run) else None

    def _new_run(self, event: ScaleUp, pod_plan: PodPlan | None, record: Record) -> EventRun:
        return EventRun(event, pod_plan, record, self._reader.planned)

    def _give_up(self, record: Record, reason: str) -> Record:
        """Dead-letter an owned event. Returns its record, with the workers that are still to be ended."""
        task_id = raw_task_id(record.entry().fields or ())
        log.error("event_given_up", reason, event_id=record.event_id, task_id=task_id)
        self._ledger.poison(record, reason)
        taken = self._ledger.take_over(record.event_id, self._ledger.owner)
        if taken.record is None:
            raise Fenced(f"event {record.event_id} has ended")
        return taken.record

    def _refuse(self, event_id: str, error: str, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Dead-letter an event that cannot begin. An event that has begun already is taken over instead.

        Such an event has its body in the ledger and may have Pods. Its entry was trimmed since, or it was
        taken under another policy.
        """
        owner = self._ledger.owner_of(event_id)
        if owner is None:
            self._dead_letter(event_id, error, fields)
        elif owner in ("", self._ledger.owner):
            self.adopt(self._ledger.take_over(event_id, owner))

    def _dead_letter(self, event_id: str, error: str, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        if self._ledger.dead_letter(event_id, error, fields):
            log.warning("event_dead_lettered", error, event_id=event_id, task_id=raw_task_id(fields))


def _priority(one: _Read) -> int:
    return one.event.priority if isinstance(one.event, ScaleUp) else 0


def _about(event: Event) -> dict[str, Any]:
    metadata = told_metadata(event.metadata)
    return {"event_id": event.event_id, "task_id": event.task_id, "metadata": metadata}
