"""Waits for one event, whoever sent it, and however long ago."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from ottoscaler.client.entries import DeadLetter, EventResult, Result, WorkerResult
from ottoscaler.client.errors import DeadLettered, UnknownEvent
from ottoscaler.client.streams import Streams, before
from ottoscaler.errors import NotPermitted
from ottoscaler.ledger.records import text
from ottoscaler.ledger.redis_client import RedisClient

OnWorker: TypeAlias = "Callable[[WorkerResult], None]"


class Waiting:
    """The wait for one event's end. For one thread; ``step`` raises RedisError, DeadLettered and
    UnknownEvent."""

    def __init__(self, redis: RedisClient, event_id: str, on_worker: OnWorker | None) -> None:
        self._redis = redis
        self._on_worker = on_worker
        self._looked = False  # whether the check that the event is known was done
        self._begin(event_id)

    def _begin(self, event_id: str) -> None:
        self.event_id = event_id
        self._streams = Streams(self._redis, before(event_id, int(time.time() * 1000)))

    def step(self, block_ms: int) -> EventResult | None:
        """The event's result, if it came within ``block_ms``. For a duplicate, the first event's result."""
        found = self._streams.next(block_ms)
        ended = None if found else self._ended()
        if ended:
            # It ended after the read, or its entries were trimmed already (OTTO_RESULTS_MAXLEN).
            found = [*self._streams.next(1), ended]
        for result in found:
            if result.event_id == self.event_id and (end := self._take(result)):
                return end
        if not found and not self._looked:
            self._look()
        return None

    def _take(self, result: Result) -> EventResult | None:
        if isinstance(result, WorkerResult):
            if self._on_worker is not None:
                self._on_worker(result)
            return None
        if isinstance(result, DeadLetter):
            raise DeadLettered(f"event {self.event_id} was dead-lettered: {result.error}", result)
        if result.status == "dead":
            raise DeadLettered(f"event {self.event_id} was dead-lettered; its dead letter is gone")
        if result.status == "duplicate" and result.of:
            self._begin(result.of)
            return None
        return result

    def _ended(self) -> EventResult | None:
        """The result from the ledger, if this user may read it. It is kept longer than the entries, and does
        not tell the counts."""
        names = ("state", "status", "type", "task")
        key = f"{self._redis.prefix}event:{self.event_id}"
        try:
            answer = self._redis.command_or([None] * len(names), "HMGET", key, *names)
        except NotPermitted:
            return None
        state, status, event_type, task = map(text, answer)
        self._looked = self._looked or bool(state)
        if state != "done" or not status:
            return None
        return EventResult(
            id="",
            event_id=self.event_id,
            task_id=task,
            type=event_type,
            status=status,
            pod_count=None,
            succeeded=0,
            failed=0,
            cancelled=0,
            duration_ms=None,
        )

    def _look(self) -> None:
        """Raise UnknownEvent if nobody knows the event. Does nothing if this user may not ask."""
        try:
            waits = self._redis.command("XRANGE", self._redis.stream, self.event_id, self.event_id)
            known = waits or self._redis.command("EXISTS", f"{self._redis.prefix}event:{self.event_id}")
        except NotPermitted:
            known = True
        self._looked = True
        if not known:
            raise UnknownEvent(
                f"no event {self.event_id} is known: it is neither on the stream {self._redis.stream}, "
                "nor in the results, the dead letters or the ledger"
            )
