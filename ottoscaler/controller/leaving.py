"""Drops events that another replica owns now."""

from __future__ import annotations

from ottoscaler.controller.inbox import Inbox
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun


class Leaving:
    """Any thread.

    Waiting workers are woken, so that those of a dropped event stop. Otherwise they would hold their slots
    until their Pods end.
    """

    def __init__(self, registry: RunRegistry, watcher: PodWatcher, inbox: Inbox) -> None:
        self._registry = registry
        self._watcher = watcher
        self._inbox = inbox

    def leave(self, run: EventRun) -> None:
        """Drop one event."""
        if not run.dropped:
            self._registry.drop(run)
            self._watcher.wake_all()

    def leave_all(self) -> None:
        """Drop all events, because this replica was taken for dead."""
        for run in self._registry.snapshot():
            self._registry.drop(run)
        self._watcher.wake_all()
        self._inbox.wake()
