"""The fault switches for watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ottoscaler.local.apiserver import statuses
from ottoscaler.local.apiserver.fault_plan import FaultPlan
from ottoscaler.local.apiserver.watch import Watch


class WatchFaults:
    """Faults of open watches. Any thread; each call returns when the fault is in force."""

    def __init__(
        self, plan: FaultPlan, compact: Callable[[], None], call: Callable[[Callable[[], Any]], Any]
    ) -> None:
        self._plan, self._compact, self._call = plan, compact, call

    def expire_watches(self) -> None:
        """Every open watch gets an ERROR event with 410 and ends. Older versions are forgotten."""

        def expire() -> None:
            self._compact()
            for watch in tuple(self._plan.watches):
                watch.fail(statuses.expired("too old resource version"))

        self._call(expire)

    def compact(self) -> None:
        """Forget the history. A list or watch from any older version is then answered with 410."""
        self._call(self._compact)

    def cut_watches(self) -> None:
        """Cut the connection of every open watch."""
        self._each_watch(Watch.cut)

    def end_watches(self) -> None:
        """End every open watch cleanly, as a server does with a slow reader."""
        self._each_watch(Watch.end)

    def _each_watch(self, act: Callable[[Watch], None]) -> None:
        def every() -> None:
            for watch in tuple(self._plan.watches):
                act(watch)

        self._call(every)

    def silence_watches(self, *, future: bool = False) -> None:
        """Open watches stay open and send nothing more. With ``future``, later ones send nothing either."""

        def silence() -> None:
            self._plan.silent_from_start = future
            for watch in self._plan.watches:
                watch.silent = True

        self._call(silence)

    def open_watches(self) -> int:
        """How many watches are open now."""
        count: int = self._call(lambda: len(self._plan.watches))
        return count
