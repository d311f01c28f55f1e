"""An event's entries in the results stream. They are remembered for a while, so each look reads only new
ones.

The stream is not sorted by event. While somebody views an event's page, its entries are asked for every
second. The stream since the start of a long event may hold a hundred thousand entries of other events.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ottoscaler.client.entries import EventResult, WorkerResult, result_of
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.status.streams import Finder, equals

MOST_EVENTS = 8  # that are remembered, those asked for last
MOST_ROWS = 1000  # of failed workers, and again of others; the rest is counted


@dataclass(frozen=True, slots=True)
class EventResults:
    """What the stream has of one event, up to an entry's id. ``left_out``: workers that are not told."""

    event: EventResult | None = None
    failed: tuple[WorkerResult, ...] = ()
    others: tuple[WorkerResult, ...] = ()
    left_out: int = 0
    behind: str = ""

    @property
    def workers(self) -> tuple[WorkerResult, ...]:
        return self.failed + self.others

    def with_entries(self, entries: list[Entry], behind: str) -> EventResults:
        """These results with the entries that came next."""
        event, failed, others = self.event, list(self.failed), list(self.others)
        left_out = self.left_out
        for found in map(result_of, entries):
            if isinstance(found, EventResult):
                event = found
            elif found is not None:
                rows = failed if found.status == "failed" else others
                if len(rows) < MOST_ROWS:
                    rows.append(found)
                else:
                    left_out += 1
        return EventResults(event, tuple(failed), tuple(others), left_out, behind or self.behind)


class ResultsMemory:
    """The remembered results. Any thread. Two threads that ask for the same event may both read its
    entries."""

    def __init__(self, redis: RedisClient) -> None:
        self._finder = Finder(redis)
        self._lock = threading.Lock()
        self._known: dict[str, EventResults] = {}  # the one asked for last comes last

    def of(self, event_id: str, begin: str, end: str) -> EventResults:
        """The event's entries from ``begin`` to ``end``. Raises RedisError.

        One call looks only so far (streams.py). The next call goes on from there."""
        with self._lock:
            known = self._known.get(event_id, EventResults())
        since = f"({known.behind}" if known.behind else begin
        found, behind = self._finder.passed("results", (equals("event_id", event_id),), since, end)
        told = known.with_entries(found, behind)
        with self._lock:
            self._known.pop(event_id, None)
            self._known[event_id] = told
            if len(self._known) > MOST_EVENTS:
                del self._known[next(iter(self._known))]
        return told
