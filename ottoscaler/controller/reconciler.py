"""The reconciler thread: what nobody else looks after.

Pods that no worker of this process waits for are compared with the ledger. A Pod is deleted only when its
end is durable and it was seen so twice (more often beside other replicas, whose own deletes may be waiting;
a duplicate of an attempt's first Pod on sight); a Pod of another installation is never touched. It also
ends adopted workers that wait for a slot, and keeps house in Redis.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ottoscaler.controller.dispatcher import Dispatcher
from ottoscaler.errors import RedisError
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import IndexState, millis, timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Outcome, Phase, PodView, WorkerId
from ottoscaler.pods.verdict import judge, vanished
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.workers.attempt import seconds_since
from ottoscaler.workers.registry import Flight

log = get_logger(__name__)

TICK_SECONDS = 1.0
SWEEP_SECONDS = 3.0  # between two comparisons, so that what is seen twice stood for so long
SIGHTS = 2  # of a Pod that is left over, before it is deleted
# Beside other replicas, whose deletes wait their turn on a busy API server: 12 s. With 2, each worker of
# a burst through ten replicas cost a delete too many (docs/scaling.md).
SIGHTS_BESIDE_OTHERS = 5
SWEEPS_BETWEEN_LIMITS = 10  # adopted workers without a slot are held to their limits so seldom
STATES_A_SCRIPT = 500
UNCLAIMED_AT_ONCE = 10_000  # names remembered between two ticks; the sweep finds what falls out
HOUSEKEEPING_SECONDS = (1.0, 30.0)  # a quarter of the retention time, within these bounds
HOUSEKEEPING_BATCH = 1000


class Reconciler:
    """``run`` is the reconciler thread's; ``unclaimed`` is called by the watch thread and must be quick."""

    def __init__(
        self,
        ledger: Ledger,
        stream: RedisClient,
        flight: Flight,
        watcher: PodWatcher,
        lease: Lease,
        dispatcher: Dispatcher,
        deleter: PodDeleter,
        *,
        instance: str,
        failed_pod_ttl: float,
        retention: float,
        dead_retention: float,
        dead_stream: str,
        now: Callable[[], float],
        metrics: Metrics,
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._stream = stream
        self._flight = flight
        self._watcher = watcher
        self._lease = lease
        self._dispatcher = dispatcher
        self._deleter = deleter
        self._instance = instance
        self._failed_pod_ttl = failed_pod_ttl
        self._retention = retention
        self._dead_retention = dead_retention
        self._dead_stream = dead_stream
        self._now = now  # by the API server's clock
        self._metrics = metrics
        self._stop = stop
        self._beat = beat
        self._unclaimed: deque[PodView] = deque(maxlen=UNCLAIMED_AT_ONCE)
        self._woken = threading.Event()
        self._sights: dict[str, int] = {}  # UID: how often it was seen left over, without a break
        self._settling: set[WorkerId] = set()
        self._sweeps = 0
        self._going: set[str] = set()
        least, most = HOUSEKEEPING_SECONDS
        self._house_every = min(most, max(least, retention / 4))
        self._next_sweep = 0.0
        self._next_house = 0.0

    def unclaimed(self, view: PodView) -> None:
        """A Pod ended or went that no worker here waits for."""
        self._unclaimed.append(view)
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
        """One round: adoptees that ended, then the sweep and the housekeeping where they are due."""
        while self._unclaimed and not self._stop.is_set():
            view = self._unclaimed.popleft()
            if view.worker is not None and self._flight.knows(view.worker.event_id):
                self._settle(view.worker)
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweeps += 1
            self._settle_adoptees(running_too=self._sweeps % SWEEPS_BETWEEN_LIMITS == 0)
            self._let_go_of_cancelled()
            if self._watcher.health()[0]:
                self._sweep()
            flood.sweep()
            self._measure()
        if now >= self._next_house:
            self._next_house = now + self._house_every
            self._keep_house()

    # --- adopted workers that wait for a slot

    def _settle(self, worker: WorkerId) -> None:
        if worker in self._settling:
            return
        self._settling.add(worker)

        def settle() -> None:
            try:
                self._dispatcher.settle(worker)
            finally:
                self._settling.discard(worker)

        self._deleter.run(settle)

    def _settle_adoptees(self, *, running_too: bool) -> None:
        """Those whose Pod has ended or gone by now, whatever the watch told at the time; and every now and
        then the others, which may be over a limit."""
        waiting = self._dispatcher.adoptees()
        if not waiting:
            return
        views = {view.worker: view for view in self._watcher.views()}
        for task in waiting:
            view = views.get(task.worker)
            if running_too or view is None or view.terminal:
                self._settle(task.worker)

    # --- workers that were cancelled while they waited for a slot

    def _let_go_of_cancelled(self) -> None:
        """They keep their place in hand no longer than this, though no slot comes free for hours."""
        if self._dispatcher.free > 0:
            return
        for event_id, _ in self._ended(self._flight.fresh()):
            fresh = self._flight.fresh(event_id)
            for at in range(0, len(fresh), STATES_A_SCRIPT):
                ended = self._ended(fresh[at : at + STATES_A_SCRIPT])
                self._flight.skip(event_id, {index for _, index in ended})

    def _ended(self, workers: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those of the workers whose end the ledger has."""
        return [
            worker
            for worker, (event, _owner, state, _intent) in zip(
                workers, self._ledger.states(workers), strict=True
            )
            if event == "finished" or (state is not None and state.kind == "done")
        ]

    # --- Pods that nobody waits for

    def _sweep(self) -> None:
        views = [v for v in self._watcher.views() if self._concerns_us(v)]
        seen: dict[str, int] = {}
        for at in range(0, len(views), STATES_A_SCRIPT):
            part = views[at : at + STATES_A_SCRIPT]
            keys = [(v.worker.event_id, v.worker.index) for v in part if v.worker is not None]
            for view, (event, _owner, state, _intent) in zip(part, self._ledger.states(keys), strict=True):
                self._decide(view, event, state, seen)
        self._sights = seen

    def _concerns_us(self, view: PodView) -> bool:
        return (
            view.worker is not None
            and view.instance == self._instance
            and view.installation in self._lease.held_installations
            and not view.deleting
            and view.uid not in self._going
            and not self._watcher.claimed(view.name)
        )

    def _decide(self, view: PodView, event: str, state: IndexState | None, seen: dict[str, int]) -> None:
        assert view.worker is not None
        if state is not None and state.kind == "begun" and state.attempt == view.worker.attempt:
            if state.uid and state.uid != view.uid:
                log.warning("duplicate_pod", "another Pod of this attempt came first", **view.about)
                self._delete(view)
            return
        outdated = state is not None and state.attempt > view.worker.attempt
        if outdated and not view.terminal:  # a create that was on its way when its replica froze
            # Not on sight: between its owner's retry and its delete, every Pod that failed looks so.
            self._again(view, seen, self._delete, SIGHTS)
            return
        over = event == "finished" or outdated or (state is not None and state.kind == "done")
        if over:
            if not self._is_kept(view):
                self._again(view, seen, self._delete)
        elif not view.terminal:
            return  # what Redis does not know (any more) is no evidence against a Pod that runs
        elif event == "below" and view.installation == self._ledger.installation:
            self._again(view, seen, self._delete)  # its event ended, and the retention time is over
        elif event in ("below", "missing"):
            self._again(view, seen, self._report)

    def _again(
        self, view: PodView, seen: dict[str, int], act: Callable[[PodView], None], enough: int = 0
    ) -> None:
        sights = self._sights.get(view.uid, 0) + 1
        if sights < (enough or (SIGHTS_BESIDE_OTHERS if self._lease.peers else SIGHTS)):
            seen[view.uid] = sights
        else:
            act(view)

    def _is_kept(self, view: PodView) -> bool:
        return (
            view.phase is Phase.FAILED
            and seconds_since(view.finished_at or view.created_at, self._now()) < self._failed_pod_ttl
        )

    def _delete(self, view: PodView) -> None:
        self._going.add(view.uid)
        log.info("pod_swept", "a Pod whose end is recorded was left over and is deleted", **view.about)
        self._deleter.delete(view.name, view.uid, lambda: self._going.discard(view.uid), view.about)

    def _report(self, view: PodView) -> None:
        """Redis was emptied, and this Pod's owner with it: what its labels still tell is told, once."""
        assert view.worker is not None
        judgement = (
            judge(view, age_seconds=0, waiting_seconds=0, pending_timeout_seconds=1)
            if view.terminal
            else vanished(view)
        )
        outcome = Outcome(
            judgement.status,
            judgement.reason,
            judgement.message,
            judgement.exit_code,
            view.name,
            view.node,
            millis(view.created_at),
            millis(view.started_at),
            millis(view.finished_at) or timestamp(),
        )
        word = self._ledger.report_orphan(view.worker, view.uid, view.task_id, view.metadata, outcome)
        if word in ("ok", "recorded"):
            log.warning(
                "orphan_reported",
                f"the worker {outcome.status.words}; Redis had lost its event",
                **view.about,
            )
            self._delete(view)

    # --- Redis

    def _keep_house(self) -> None:
        low, ledgers, entries = self._ledger.housekeeping(
            self._retention, self._dead_retention, HOUSEKEEPING_BATCH
        )
        if ledgers or entries:
            log.debug("house_kept", f"{ledgers} ledgers and {entries} entries expired; low-water mark {low}")
        if ledgers == HOUSEKEEPING_BATCH or entries == HOUSEKEEPING_BATCH:
            self._next_house = 0.0

    def _measure(self) -> None:
        """What only Redis can tell of the streams, for the scrapes until the next round."""
        stream, group = self._stream.stream, self._stream.group
        dead, pending, groups = self._stream.pipeline(
            [("XLEN", self._dead_stream), ("XPENDING", stream, group), ("XINFO", "GROUPS", stream)]
        )
        self._metrics.dead_letters.set(int(dead))
        self._metrics.stream_pending.set(int(pending[0]))
        self._metrics.oldest_pending.set(_age(pending[1]))
        self._metrics.stream_lag.set(_lag(groups, group))


def _age(entry_id: bytes | None) -> float:
    """Seconds since an entry's id was given; 0 for none, and for an id that is no time."""
    if entry_id is None:
        return 0.0
    age = time.time() - int(entry_id.partition(b"-")[0]) / 1000
    return age if 0 < age < 31 * 86_400 else 0.0


def _lag(groups: list[list[Any]], name: str) -> float:
    """Entries not delivered yet; NaN where Redis does not know (before 7.0, or after deletions)."""
    for flat in groups:
        known = dict(zip(flat[::2], flat[1::2], strict=True))
        if known.get(b"name") == name.encode() and known.get(b"lag") is not None:
            return float(known[b"lag"])
    return math.nan
