"""The retries that are not due yet, the earliest first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

from ottoscaler.workers.run import Task


class Retries:
    """A heap of retries. A task whose event was dropped stays in it until it is due.

    The registry's lock guards it.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Task]] = []
        self._order = itertools.count()  # for equal times

    def add(self, due: float, task: Task) -> None:
        """Add a task that is to be tried again at ``due`` (monotonic)."""
        heapq.heappush(self._due, (due, next(self._order), task))

    def take_due(self, now: float) -> Iterator[Task]:
        """Take the tasks that are due and whose events were not dropped."""
        while self._due and self._due[0][0] <= now:
            task = heapq.heappop(self._due)[2]
            waiting = task.run.waiting.get(task.index)
            if not task.run.dropped and waiting is not None and waiting[1] is task:
                yield task

    def due_in(self, now: float) -> float | None:
        """Seconds until the first retry is due, at least 0. ``None`` if none waits."""
        return max(0.0, self._due[0][0] - now) if self._due else None
