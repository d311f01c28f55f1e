"""The attempts that wait for their time, the earliest first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

from ottoscaler.workers.run import Task


class Retries:
    """A heap of what waits; a task whose event was dropped stays in it until its time. Its owner's lock
    guards it."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Task]] = []
        self._order = itertools.count()  # for equal times

    def add(self, due: float, task: Task) -> None:
        """It is to be tried again at that time (monotonic)."""
        heapq.heappush(self._due, (due, next(self._order), task))

    def take_due(self, now: float) -> Iterator[Task]:
        """Take those whose time has come and that still wait."""
        while self._due and self._due[0][0] <= now:
            task = heapq.heappop(self._due)[2]
            waiting = task.run.waiting.get(task.index)
            if not task.run.dropped and waiting is not None and waiting[1] is task:
                yield task

    def due_in(self, now: float) -> float | None:
        """Seconds until the first one's time; ``None`` where none waits."""
        return max(0.0, self._due[0][0] - now) if self._due else None
