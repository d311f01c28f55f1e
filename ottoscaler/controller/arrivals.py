"""Pods that arrive though no worker here waits for them: creates that were on their way for too long.

A replica that froze, or a proxy that held a request, may deliver a create when its attempt has long been
skipped or recorded. Such a Pod must not run beside its successor for as long as the sweep takes to see it
twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ottoscaler.model import PodView
from ottoscaler.workers.registry import RunRegistry

ARRIVALS_AT_ONCE = 1000  # older ones fall out, and are left to the sweep


class Arrivals:
    """Only Pods of events that this replica has, or had lately, count: another's are that replica's."""

    def __init__(self, registry: RunRegistry, wake: Callable[[], None]) -> None:
        self._registry = registry
        self._wake = wake
        self._views: deque[PodView] = deque(maxlen=ARRIVALS_AT_ONCE)

    def note(self, view: PodView) -> None:
        """A Pod is there that was not there before, and nobody here waits for it. Any thread; never waits."""
        if view.worker is None or view.terminal or not self._registry.knew(view.worker.event_id):
            return
        self._views.append(view)
        self._wake()

    def take(self) -> list[PodView]:
        """Those that came since the last time. The reconciler's thread."""
        views = []
        while self._views:
            views.append(self._views.popleft())
        return views

    def put_back(self, views: list[PodView]) -> None:
        """They could not be looked at now. The reconciler's thread."""
        self._views.extendleft(reversed(views))
