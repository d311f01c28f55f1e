"""What a stop does with the events in hand: a ledger write each, and the next replica goes on at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from ottoscaler.controller.head_starts import HeadStarts
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.errors import Fenced, RedisError
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun

log = get_logger(__name__)

HANDOVER_SECONDS = 3.0  # for the last writes of a stop, if Redis is slow or away
OVERRUN_SECONDS = 0.5  # past the grace period, and then no longer for a Redis that does not answer
LOOK_SECONDS = 0.05  # between two looks at what may be handed over
AGAIN_SECONDS = 0.2  # between two tries with a Redis that is away


class Handover:
    """Hands events over to the next replica; the stop thread's, once nothing is read or created any more.

    ``answering`` tells whether Redis answered the last heartbeat: one that hangs costs seconds a call, so it
    is not called in the grace period's last moments.
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: RunRegistry,
        scale_downs: ScaleDowns,
        head_starts: HeadStarts,
        watcher: PodWatcher,
        abandon: threading.Event,
        answering: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._scale_downs = scale_downs
        self._head_starts = head_starts
        self._watcher = watcher
        self._abandon = abandon
        self._answering = answering

    def while_workers_run(self, deadline: float) -> None:
        """Events without a running worker go at once, the others as their workers end.

        Returns when no worker runs, when they are not waited for any more, or at ``deadline`` (monotonic).
        """
        while True:
            self._leave_what_does_not_run()
            if self._answering():
                self._release(run for run in self._registry.snapshot() if not run.active)
            if not self._registry.busy or self._abandon.is_set() or time.monotonic() > deadline:
                return
            self._abandon.wait(LOOK_SECONDS)

    def _leave_what_does_not_run(self) -> None:
        """An event whose Pods are all Pending, for want of a node maybe, is not waited for."""
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
        """All that is left, trying for HANDOVER_SECONDS; past ``deadline`` (monotonic) only where Redis
        answers. False where it stayed away."""
        until = time.monotonic() + HANDOVER_SECONDS
        while True:
            if self._answering() and self._release_all():
                return True
            now = time.monotonic()
            if now > until or (now > deadline + OVERRUN_SECONDS and not self._answering()):
                log.error(
                    "handover_failed", "Redis is unavailable; others take over when the lease has expired"
                )
                return False
            time.sleep(AGAIN_SECONDS)

    def _release_all(self) -> bool:
        self._release(self._registry.snapshot())
        try:
            self._ledger.release(self._scale_downs.owned())
        except RedisError as error:
            flood.warning("handover_failed", f"events could not be handed over: {error}")
            return False
        return not self._registry.snapshot()

    def _release(self, which: Iterable[EventRun]) -> None:
        runs = list(which)
        if not runs:
            return
        try:
            for run in runs:
                self._withdraw(run)
            self._ledger.release([(run.event.event_id, run.epoch) for run in runs])
        except RedisError as error:
            flood.warning("handover_failed", f"events could not be handed over: {error}")
            return
        for run in runs:
            self._registry.drop(run)
            log.info("event_handed_over", "handed over to the next replica", **run.about)

    def _withdraw(self, run: EventRun) -> None:
        try:
            self._head_starts.withdraw(run)
        except Fenced:  # one event that is another's already holds up no other
            log.debug("event_left_alone", "another replica owns it already", **run.about)
