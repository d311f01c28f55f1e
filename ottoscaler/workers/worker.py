"""One Pod's life: create, monitor, record, delete. One pool thread a worker, from creation to deletion.

The order is the promise: the ledger allows it, then the Pod is created; its result is durable, then the Pod
is deleted. Whatever dies in between, the next replica finds the ledger and the Pod and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ottoscaler.errors import NoRight
from ottoscaler.model import Judgement, Reason, Status, Verdict
from ottoscaler.retry import Retrier
from ottoscaler.workers.attempt import Attempt, Ended, WorkerDeps
from ottoscaler.workers.create import create
from ottoscaler.workers.monitor import CANCELLED, cancelled_elsewhere, is_gone, judgement, monitor
from ottoscaler.workers.run import Task
from ottoscaler.workers.settle import out_of_sight, settle

BRIEF_TRIES = 3  # of a call in a thread that others wait for


class Workers:
    """The worker's function. ``work`` runs in pool threads, ``settle_if_ended`` in the reconciler's, for
    Pods that wait for a slot to be adopted."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps
        self._brief = replace(deps, retrier=Retrier(deps.abandon, BRIEF_TRIES))

    def work(self, task: Task, under_way: Callable[[], None] = lambda: None) -> Ended:
        """Run one attempt to its end. Raises Fenced (the event is another's), Stopping (left to the next).

        ``under_way`` is called as soon as it no longer waits for its turn to be created.
        """
        subscription = self._deps.watcher.subscribe(self._deps.name(task))
        try:
            attempt = Attempt(self._deps.where(task), task, subscription, under_way=under_way)
            ended = create(attempt)
            under_way()
            return ended if ended is not None else settle(attempt, monitor(attempt))
        except NoRight as error:
            return out_of_sight(attempt, f"its Pod could not be looked at until its deadline: {error}")
        finally:
            self._deps.watcher.unsubscribe(subscription)

    def settle_if_ended(self, task: Task) -> Ended | None:
        """End an adopted worker whose Pod needs no more waiting; ``None`` where it still runs.

        Never waits for a Pod to go, and gives a call up after a few tries. Raises as :meth:`work`, NotYet,
        RedisError and KubernetesError, upon which the caller comes again later.
        """
        watcher = self._deps.watcher
        subscription = watcher.subscribe(self._deps.name(task))
        try:
            if task.uid:
                watcher.identify(subscription, task.uid)
                subscription.gone = subscription.gone or (subscription.view is None and watcher.health()[0])
            attempt = Attempt(self._brief.where(task), task, subscription, waits=False)
            if not task.uid:
                if subscription.view is None or not attempt.is_ours(subscription.view):
                    return None  # with a slot, it is looked for
                watcher.identify(subscription, subscription.view.uid)
            gone = is_gone(attempt)
            found = CANCELLED if not gone and cancelled_elsewhere(attempt) else judgement(attempt)
            return settle(attempt, found) if found.verdict is not Verdict.WAIT else None
        finally:
            watcher.unsubscribe(subscription)

    def give_up(self, task: Task, why: str) -> Ended:
        """Record a worker as failed that Ottoscaler itself cannot carry on with, and delete its Pod."""
        watcher = self._deps.watcher
        subscription = watcher.subscribe(self._deps.name(task))
        try:
            attempt = Attempt(self._deps.where(task), task, subscription)
            if subscription.view is not None and attempt.is_ours(subscription.view):
                watcher.identify(subscription, subscription.view.uid)
            verdict = Judgement(Verdict.FINISHED, Status.FAILED, Reason.UNKNOWN, why)
            return settle(attempt, verdict)
        finally:
            watcher.unsubscribe(subscription)
