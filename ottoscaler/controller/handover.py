"""What a stop does with the events in hand: it releases each in the ledger, so that the next replica goes on
at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import count

from ottoscaler.controller.last_calls import LastCalls
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.errors import RedisError
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun

log = get_logger(__name__)

HANDOVER_SECONDS = 3.0  # for the last writes of a stop, if Redis is slow or away
LOOK_SECONDS = 0.05  # between two checks which events may be handed over
AGAIN_SECONDS = 0.2  # between two tries while Redis is unavailable


class Handover:
    """Hands events over to the next replica. The stop thread calls it once nothing is read or created.

    ``rewrite_lost`` writes the ledgers anew that Redis has lost: without one, an event can neither be handed
    over nor its workers recorded. Redis is not called while it does not answer (last_calls.py).
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: RunRegistry,
        scale_downs: ScaleDowns,
        watcher: PodWatcher,
        abandon: threading.Event,
        calls: LastCalls,
        rewrite_lost: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._scale_downs = scale_downs
        self._watcher = watcher
        self._abandon = abandon
        self.calls = calls
        self._rewrite_lost = rewrite_lost

    def while_workers_run(self, deadline: float) -> None:
        """Hand over events without a running worker at once, and the others as their workers end.

        Returns when no worker runs any more, when ``abandon`` is set, or at ``deadline`` (monotonic).
        """
        while True:
            self._leave_what_does_not_run()
            if self.calls.answering and self._rewrite():
                self._release(run for run in self._registry.snapshot() if not run.active)
            if not self._registry.busy or self._abandon.is_set() or time.monotonic() > deadline:
                return
            self._abandon.wait(LOOK_SECONDS)

    def _leave_what_does_not_run(self) -> None:
        """Stop waiting for events of which no Pod runs: Pods may stay Pending for want of a node."""
        running = {
            view.worker.event_id for view in self._watcher.views() if view.worker is not None and view.running
        }
        left = [
            run
            for run in self._registry.snapshot()
            if run.active and not run.leaving and run.event.event_id not in running
        ]
        for run in left:
            run.leaving = True
        if left:
            self._watcher.wake_all()

    def everything(self, deadline: float) -> bool:
        """Hand over all events that are left. Tries for ``HANDOVER_SECONDS``.

        A Redis that does not answer is given up at ``deadline`` (monotonic). Returns False if events could
        not be handed over.
        """
        until = time.monotonic() + HANDOVER_SECONDS
        for tries in count(1):
            if self.calls.answering and self._release_all():
                return True
            now = time.monotonic()
            if now > until or (now > deadline and tries > 1 and not self.calls.answering):
                log.error(
                    "handover_failed", "Redis is unavailable; others take over when the lease has expired"
                )
                break
            time.sleep(AGAIN_SECONDS)
        return False

    def _release_all(self) -> bool:
        handed_over = (
            self._rewrite()
            and self._release(self._registry.snapshot())
            and self._hand_over(self._scale_downs.owned())
        )
        return handed_over and not self._registry.snapshot()

    def _rewrite(self) -> bool:
        """Write lost ledgers anew. False if Redis raised an error."""
        try:
            self.calls.make(self._rewrite_lost)
        except RedisError as error:
            flood.warning("handover_failed", f"lost ledgers could not be rewritten: {error}")
            return False
        return True

    def _release(self, which: Iterable[EventRun]) -> bool:
        """Hand these events over. False if Redis raised an error."""
        runs = list(which)
        if not self._hand_over([(run.event.event_id, run.epoch) for run in runs]):
            return False
        for run in runs:
            self._registry.drop(run)
            log.info("event_handed_over", "handed over to the next replica", **run.about)
        return True

    def _hand_over(self, events: list[tuple[str, int]]) -> bool:
        """Hand over events in the ledger, given as (id, epoch). False if Redis raised an error."""
        try:
            if events:
                self.calls.make(lambda: self._ledger.release(events))
        except RedisError as error:
            flood.warning("handover_failed", f"events could not be handed over: {error}")
            return False
        return True
