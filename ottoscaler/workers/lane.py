"""The events of one profile that have a worker to start, in an order in which the next is found quickly.

To look at every event would cost each start 0.5 ms with a thousand of them in hand.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator

from ottoscaler.workers.run import EventRun

SLACK = 64  # outdated entries that a heap may hold before it is made anew

_Entry = tuple[int, tuple[int, ...], int, EventRun]  # priority (negated), place, arrival, event


class _Order:
    """A heap of events by priority, then by ``place``, which changes. A place of ``None`` means not in it."""

    def __init__(self, place: Callable[[EventRun], tuple[int, ...] | None]) -> None:
        self._place = place
        self._heap: list[_Entry] = []
        self._filed: dict[str, tuple[EventRun, tuple[int, ...]]] = {}  # by event id: the entry that counts
        self._arrivals = itertools.count()  # for equal places

    def __bool__(self) -> bool:
        return bool(self._filed)

    def file(self, run: EventRun) -> None:
        """Update the event's entry. To be called after its place may have changed."""
        place, event_id = self._place(run), run.event.event_id
        if place is None:
            self._filed.pop(event_id, None)
        elif self._filed.get(event_id) != (run, place):
            self._filed[event_id] = (run, place)
            heapq.heappush(self._heap, (-run.priority, place, next(self._arrivals), run))
            if len(self._heap) > 2 * len(self._filed) + SLACK:
                self._heap = list(filter(self._counts, self._heap))
                heapq.heapify(self._heap)

    def forget(self, event_id: str) -> None:
        self._filed.pop(event_id, None)

    def first(self, may_start: Callable[[EventRun], bool]) -> EventRun | None:
        """The first event that may start. Few may not, since each has only a share of what begins."""
        aside: list[_Entry] = []
        found = None
        while self._heap and found is None:
            if not self._counts(self._heap[0]):
                heapq.heappop(self._heap)
            elif may_start(self._heap[0][3]):
                found = self._heap[0][3]
            else:
                aside.append(heapq.heappop(self._heap))
        for entry in aside:
            heapq.heappush(self._heap, entry)
        return found

    def _counts(self, entry: _Entry) -> bool:
        return self._filed.get(entry[3].event.event_id) == (entry[3], entry[1])


class Lane:
    """These events, ordered by turn and by due retry. The registry's lock guards it."""

    def __init__(self) -> None:
        self._orders = (_Order(lambda run: (run.turn,)), _Order(_due))

    def __bool__(self) -> bool:
        return bool(self._orders[0])

    def file(self, run: EventRun) -> None:
        """Add or update an event: it is new, or its turn or its due retries have changed."""
        for order in self._orders:
            order.file(run)

    def forget(self, event_id: str) -> None:
        """Remove an event that has no worker to start any more."""
        for order in self._orders:
            order.forget(event_id)

    def shortlist(self, may_start: Callable[[EventRun], bool]) -> Iterator[EventRun]:
        """The events among which ``turns.next_of`` finds the next one.

        Of the events of the highest priority that may start, these are the one with the lowest turn and the
        one whose retry became due first.
        """
        for order in self._orders:
            found = order.first(may_start)
            if found is not None:
                yield found


def _due(run: EventRun) -> tuple[int, int] | None:
    return (run.retry_due, run.turn) if run.retry_due is not None else None
