"""The reconciler thread: it looks after what no other thread looks after.

That is workers that wait for a slot (waiting_workers), Pods that nobody waits for (sweep, unwatched), and
data in Redis that has expired (housekeeping).
"""

from __future__ import annotations

from ottoscaler.controller.arrivals import Arrivals
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.controller.sparing import spared
from ottoscaler.controller.sweep import Sweep
from ottoscaler.controller.unwatched import Unwatched
from ottoscaler.controller.visible_pods import VisiblePods
from ottoscaler.controller.waiting_workers import WaitingWorkers
from ottoscaler.errors import RedisError
from ottoscaler.model import PodView
from ottoscaler.telemetry.logs import flood
from ottoscaler.threads import Control, Loop, Mailbox

TICK_SECONDS = 1.0
SWEEP_SECONDS = 3.0  # between two sweeps: what is seen twice in a row has stood for this long


class Reconciler(Loop):
    """A step runs every TICK_SECONDS, and earlier when a Pod comes into ``unclaimed``."""

    passing = (RedisError,)
    first_pause = longest_pause = TICK_SECONDS

    def __init__(
        self,
        unclaimed: Mailbox[PodView],
        arrivals: Arrivals,
        waiting_workers: WaitingWorkers,
        visible_pods: VisiblePods,
        sweep: Sweep,
        unwatched: Unwatched,
        housekeeping: Housekeeping,
        control: Control,
    ) -> None:
        super().__init__(control)
        self._unclaimed = unclaimed
        self._arrivals = arrivals
        self._waiting_workers = waiting_workers
        self._visible_pods = visible_pods
        self._sweep = sweep
        self._unwatched = unwatched
        self._housekeeping = housekeeping
        self._next_sweep = 0.0
        self._next_housekeeping = 0.0

    def wait(self) -> None:
        """Wait for a Pod that nobody waits for, TICK_SECONDS at most."""
        self._unclaimed.wait(TICK_SECONDS)

    def failed(self, error: Exception) -> None:
        flood.warning("reconcile_failed", f"reconciling is delayed: {error}")

    def _look_at_arrivals(self) -> None:
        arrived = self._arrivals.take()
        if not arrived:
            return
        try:
            self._sweep.look_at_arrivals(arrived)
        except RedisError:
            self._arrivals.put_back(arrived)
            raise

    def step(self, now: float) -> None:
        """Run each part that is due at ``now`` (monotonic seconds).

        A full Redis refuses what the others write, and only the housekeeping makes room there. So it runs
        after their errors too."""
        try:
            self._reconcile(now)
        except RedisError:
            self._keep_house(now)
            raise
        self._keep_house(now)

    def _keep_house(self, now: float) -> None:
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + self._housekeeping.step()

    def _reconcile(self, now: float) -> None:
        with spared("adopted workers"):
            self._waiting_workers.settle_unclaimed()
        with spared("late Pods"):
            self._look_at_arrivals()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            with spared("adopted workers"):
                self._waiting_workers.step()
            with spared("leftover Pods"):
                if self._visible_pods.reliable():
                    self._sweep.step(self._visible_pods.views())
            with spared("Pods that nobody watches"):
                self._unwatched.step()
            flood.sweep()
            self._housekeeping.measure()
            with spared("lost entries"):
                self._housekeeping.look_for_lost()
