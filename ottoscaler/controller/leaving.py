"""Letting go of events that are another replica's now."""

from __future__ import annotations

from ottoscaler.controller.inbox import Inbox
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun


class Leaving:
    """Any thread. Waiting workers of such an event would hold their slots until their Pods end, so they are
    woken to look whose the event is."""

    def __init__(self, registry: RunRegistry, watcher: PodWatcher, inbox: Inbox) -> None:
        self._registry = registry
        self._watcher = watcher
        self._inbox = inbox

    def leave(self, run: EventRun) -> None:
        """One event."""
        if not run.dropped:
            self._registry.drop(run)
            self._watcher.wake_all()

    def leave_all(self) -> None:
        """All of them: this replica was taken for dead."""
        for run in self._registry.snapshot():
            self._registry.drop(run)
        self._watcher.wake_all()
        self._inbox.wake()
