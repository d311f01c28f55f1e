"""Head starts: which events are given one, and how it is taken back.

:mod:`ottoscaler.workers.head_start` says what a head start is for.
"""

from __future__ import annotations

import time

from ottoscaler.controller.inbox import Inbox
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.model import WorkerId
from ottoscaler.workers.head_start import STEP_ASIDE_SECONDS, HeadStart
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun


class HeadStarts:
    """Thread-safe."""

    def __init__(self, registry: RunRegistry, lease: Lease, ledger: Ledger, inbox: Inbox) -> None:
        self._registry = registry
        self._lease = lease
        self._ledger = ledger
        self._inbox = inbox

    def offer(self) -> HeadStart | None:
        """A head start for an event that is taken now. ``None`` if this replica would not start it at once.

        The intake calls this.
        """
        grant = self._lease.granted() if self._registry.idle else 0
        return HeadStart(grant, time.monotonic()) if grant else None

    def hand_on(self, run: EventRun) -> bool:
        """Hand on an event that Redis is taking now. ``settle`` must follow. False if it is here already."""
        if not self._registry.expect(run):
            return False
        self._inbox.put(run)
        return True

    def settle(self, run: EventRun, *, began: bool) -> bool:
        """Say whether Redis took the event and began its first worker. True if the run is kept.

        Then it sleeps a millisecond, so that the worker's thread goes first.
        """
        kept = began and self._registry.keep(run)
        if not kept:
            self._registry.drop(run)
        if run.head_start is not None:
            run.head_start.tell(stands=kept)
        if kept:
            time.sleep(STEP_ASIDE_SECONDS)
            if run.fresh:
                self._inbox.wake()
        return kept

    def withdraw(self, run: EventRun) -> None:
        """Take an event's head start back in the ledger, if its first worker has not been started yet.

        Raises Fenced and RedisError.
        """
        if self._registry.withdraw_head_start(run):
            self._ledger.unstart(WorkerId(run.event.event_id, 0, 0), run.epoch)
