"""Head starts: which events are given one, and how their first worker is handed on.

:mod:`ottoscaler.workers.head_start` says what a head start is for.
"""

from __future__ import annotations

import time

from ottoscaler.controller.inbox import Inbox
from ottoscaler.ledger.lease import Lease
from ottoscaler.workers.early_create import EarlyCreates
from ottoscaler.workers.head_start import HeadStart
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun

STEP_ASIDE_SECONDS = 0.001  # the listener sleeps: its log line and next read would delay the worker by 0.2 ms


class HeadStarts:
    """The intake calls these."""

    def __init__(self, registry: RunRegistry, lease: Lease, inbox: Inbox, creates: EarlyCreates) -> None:
        self._registry = registry
        self._lease = lease
        self._inbox = inbox
        self._creates = creates

    def offer(self) -> HeadStart | None:
        """A head start for an event that is taken now. ``None`` if it would not start here at once."""
        grant = self._lease.granted() if self._registry.idle else 0
        return HeadStart(grant, time.monotonic()) if grant else None

    def open(self, run: EventRun, head_start: HeadStart) -> None:
        """Open the create of an event's first worker, if that is possible at once. Redis takes the event now.

        ``hand_on`` or ``HeadStart.drop`` must follow. It is called again where the event must be sent again.
        """
        self._creates.open(run, head_start)

    def hand_on(self, run: EventRun, head_start: HeadStart) -> bool:
        """Hand on an event that Redis has taken and whose first worker has begun in the ledger.

        First it sends the rest of the worker's create, if that may be sent at once. It sleeps a millisecond
        before the run goes the way of any other, so that the worker's thread goes first. The dispatcher is
        not woken again for a run that has no other worker.

        False if the replica is not idle any more, or the event has come here on another way. Then nothing was
        sent.
        """
        task = self._registry.begin(run, head_start, time.monotonic())
        if task is None:
            return False
        self._creates.complete(run, head_start)
        self._inbox.put(task)
        time.sleep(STEP_ASIDE_SECONDS)
        if run.fresh:
            self._inbox.put(run)
        else:
            self._registry.admit(run)
        return True
