"""Pods that appear although no worker here waits for them, because their creates came late.

A replica that froze, or a proxy that held a request, may send a create long after its attempt was skipped or
recorded. Such a Pod could run beside its successor until the sweep has seen it twice. That is too long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ottoscaler.model import PodView
from ottoscaler.workers.registry import RunRegistry

ARRIVALS_AT_ONCE = 1000  # the oldest fall out and are left to the sweep


class Arrivals:
    """Keeps only Pods of events that this replica has or had lately. Other replicas look at the others."""

    def __init__(self, registry: RunRegistry, wake: Callable[[], None]) -> None:
        self._registry = registry
        self._wake = wake
        self._views: deque[PodView] = deque(maxlen=ARRIVALS_AT_ONCE)

    def note(self, view: PodView) -> None:
        """Note a Pod that has just appeared and that no worker here waits for. Any thread; never waits."""
        if view.worker is None or view.terminal or not self._registry.knew(view.worker.event_id):
            return
        self._views.append(view)
        self._wake()

    def take(self) -> list[PodView]:
        """The Pods noted since the last call. The reconciler's thread calls this."""
        views = []
        while self._views:
            views.append(self._views.popleft())
        return views

    def put_back(self, views: list[PodView]) -> None:
        """Keep Pods that could not be looked at for the next ``take``. The reconciler's thread calls this."""
        self._views.extendleft(reversed(views))
