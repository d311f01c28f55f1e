"""Head starts: which events are given one, and how it is taken back.

:mod:`ottoscaler.workers.head_start` says what a head start is for.
"""

from __future__ import annotations

import time

from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.model import WorkerId
from ottoscaler.workers.head_start import STEP_ASIDE_SECONDS, HeadStart
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun


class HeadStarts:
    """Thread-safe."""

    def __init__(self, registry: RunRegistry, lease: Lease, ledger: Ledger) -> None:
        self._registry = registry
        self._lease = lease
        self._ledger = ledger

    def offer(self) -> HeadStart | None:
        """A head start for an event that is taken now. ``None`` if this replica would not start it at once.

        The intake calls this.
        """
        grant = self._lease.granted() if self._registry.idle else 0
        return HeadStart(grant, time.monotonic()) if grant else None

    @staticmethod
    def step_aside() -> None:
        """Sleep a millisecond, so that the worker's thread goes first.

        The intake calls this after it has handed on an event with a head start.
        """
        time.sleep(STEP_ASIDE_SECONDS)

    def withdraw(self, run: EventRun) -> None:
        """Take an event's head start back in the ledger, if its first worker has not been started yet.

        Raises Fenced and RedisError.
        """
        if self._registry.withdraw_head_start(run):
            self._ledger.unstart(WorkerId(run.event.event_id, 0, 0), run.epoch)
