"""What happens when: acts in the order of their times, on one thread."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

STEP_SECONDS = 0.02

Act = Callable[[], None]


class Schedule:
    """Acts and their seconds from the start; an act may add others. One thread."""

    def __init__(self) -> None:
        self._acts: list[tuple[float, int, Act]] = []
        self._numbers = itertools.count()
        self._began = time.monotonic()

    def at(self, seconds: float, act: Act) -> None:
        heapq.heappush(self._acts, (seconds, next(self._numbers), act))

    def after(self, seconds: float, act: Act) -> None:
        """As ``at``, so many seconds from now."""
        self.at(time.monotonic() - self._began + seconds, act)

    def run(self) -> None:
        """Do everything, each at its time or as soon after it as can be."""
        self._began = time.monotonic()
        while self._acts:
            at, _, act = heapq.heappop(self._acts)
            while (left := self._began + at - time.monotonic()) > 0:
                time.sleep(min(left, STEP_SECONDS))
            act()
