"""Workers in hand that wait for a slot but no longer need one.

An adopted worker whose Pod has ended is settled. A worker that was cancelled before it began is forgotten.
Both happen without a slot, since none may come free for hours.
"""

from __future__ import annotations

from ottoscaler.controller.adoptees import Adoptees
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.records import EventState, IndexStage
from ottoscaler.model import PodView, WorkerId
from ottoscaler.threads import Mailbox
from ottoscaler.workers.registry import RunRegistry

STEPS_BETWEEN_LIMITS = 10  # how often adopted workers that still run are checked against their limits


class WaitingWorkers:
    """Called by the reconciler's thread. ``unclaimed`` brings Pods that have ended or gone and that no worker
    here waits for."""

    def __init__(
        self,
        ledger: Ledger,
        registry: RunRegistry,
        watcher: PodWatcher,
        adoptees: Adoptees,
        deleter: PodDeleter,
        pause: Pause,
        unclaimed: Mailbox[PodView],
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._watcher = watcher
        self._adoptees = adoptees
        self._deleter = deleter
        self._pause = pause
        self._unclaimed = unclaimed
        self._settling: set[WorkerId] = set()
        self._steps = 0

    def settle_unclaimed(self) -> None:
        """Settle the adopted workers whose Pods the watch has reported in ``unclaimed``."""
        while (view := self._unclaimed.take()) is not None:
            if view.worker is not None:
                self._settle(view.worker)

    def step(self) -> None:
        """Check every waiting worker, whatever the watch has reported. Raises RedisError."""
        self._steps += 1
        self._settle_adoptees(running_too=self._steps % STEPS_BETWEEN_LIMITS == 0)
        self._let_go_of_cancelled()

    def _settle(self, worker: WorkerId) -> None:
        if worker in self._settling:
            return
        self._settling.add(worker)

        def settle() -> None:
            try:
                self._adoptees.end_if_over(worker)
            finally:
                self._settling.discard(worker)

        self._deleter.call(worker.event_id, settle)

    def _settle_adoptees(self, *, running_too: bool) -> None:
        """Settle the workers whose Pod has ended or gone.

        With ``running_too``, check the others as well, since they may be over a limit.
        """
        waiting = self._registry.adoptees()
        if not waiting:
            return
        views = {view.worker: view for view in self._watcher.views()}
        listed = self._watcher.caught_up  # if not, the list that shows their Pods is still on its way
        for task in waiting:
            view = views.get(task.worker)
            if running_too or (view.terminal if view is not None else listed):
                self._settle(task.worker)

    def _let_go_of_cancelled(self) -> None:
        if self._registry.free > 0 and not self._pause.on:
            return
        for event_id, _ in self._ended(self._registry.fresh()):
            ended = self._ended(self._registry.fresh(event_id))
            self._registry.skip(event_id, {index for _, index in ended})

    def _ended(self, workers: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """The workers whose end is in the ledger."""
        states = self._ledger.upkeep.states(workers)
        return [
            worker
            for worker, (event, _owner, state, _intent) in zip(workers, states, strict=True)
            if event is EventState.FINISHED or (state is not None and state.stage is IndexStage.DONE)
        ]
