"""Head starts: which events are given one.

:mod:`ottoscaler.workers.head_start` says what a head start is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ottoscaler.controller.inbox import Inbox
from ottoscaler.ledger.lease import Lease
from ottoscaler.workers.head_start import STEP_ASIDE_SECONDS, HeadStart, ReadyCreate
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun, Task


class HeadStarts:
    """The intake calls these."""

    def __init__(
        self,
        registry: RunRegistry,
        lease: Lease,
        inbox: Inbox,
        open_create: Callable[[Task], ReadyCreate | None],
    ) -> None:
        self._registry = registry
        self._lease = lease
        self._inbox = inbox
        self._open_create = open_create  # sends a worker's create but for its last byte, if it can

    def offer(self) -> HeadStart | None:
        """A head start for an event that is taken now. ``None`` if it would not start here at once."""
        grant = self._lease.granted() if self._registry.idle else 0
        return HeadStart(grant, time.monotonic()) if grant else None

    def hand_on(self, run: EventRun, head_start: HeadStart) -> bool:
        """Hand on the first worker of an event that Redis is taking now. Then ``settle`` must follow.

        False if the replica is not idle any more, or the event is here already.
        """
        task = self._registry.expect(run, head_start, time.monotonic())
        if task is not None:
            head_start.ready = self._open_create(task)
            self._inbox.put(task)
        return task is not None

    def settle(self, run: EventRun, head_start: HeadStart, *, began: bool) -> bool:
        """Say whether Redis took the event and began its first worker. True if the run is kept.

        Then it sleeps a millisecond, so that the worker's thread goes first, before the run goes the way of
        any other. The dispatcher is not woken for a run that has no other worker.
        """
        kept = began and self._registry.keep(run)
        if not kept:
            self._registry.drop(run)
        head_start.tell(stands=kept)
        if kept:
            time.sleep(STEP_ASIDE_SECONDS)
            if run.fresh:
                self._inbox.put(run)
            else:
                self._registry.admit(run)
        return kept
