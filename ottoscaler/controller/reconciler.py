"""The reconciler thread: what nobody else looks after, each in its turn.

Workers that wait for a slot (backlog), Pods that nobody waits for (sweep), and what is out of its time in
Redis (housekeeping).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ottoscaler.controller.backlog import Backlog
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.controller.sweep import Sweep
from ottoscaler.errors import RedisError
from ottoscaler.model import PodView
from ottoscaler.telemetry.logs import flood, get_logger

log = get_logger(__name__)

TICK_SECONDS = 1.0
SWEEP_SECONDS = 3.0  # between two comparisons, so that what is seen twice stood for so long


class Reconciler:
    """``run`` is the reconciler thread's; ``unclaimed`` is called by the watch thread and must be quick."""

    def __init__(
        self,
        backlog: Backlog,
        sweep: Sweep,
        housekeeping: Housekeeping,
        *,
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        self._backlog = backlog
        self._sweep = sweep
        self._housekeeping = housekeeping
        self._stop = stop
        self._beat = beat
        self._woken = threading.Event()
        self._next_sweep = 0.0
        self._next_housekeeping = 0.0

    def unclaimed(self, view: PodView) -> None:
        """A Pod ended or went that no worker here waits for."""
        self._backlog.unclaimed(view)
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    def run(self) -> None:
        while not self._stop.is_set():
            self._beat()
            self._woken.wait(TICK_SECONDS)
            self._woken.clear()
            if self._stop.is_set():
                return
            try:
                self.step(time.monotonic())
            except RedisError as error:
                flood.warning("reconcile_failed", f"reconciling has to wait: {error}")
                self._stop.wait(TICK_SECONDS)

    def step(self, now: float) -> None:
        """One round, at a monotonic time: each part where it is due."""
        self._backlog.settle_unclaimed()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._backlog.step()
            self._sweep.step()
            flood.sweep()
            self._housekeeping.measure()
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + self._housekeeping.step()
