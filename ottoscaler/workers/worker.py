"""One Pod's life: create, monitor, record, delete. One pool thread has a worker from creation to deletion.

The order is a promise. The Pod is created only after the ledger has allowed it, and deleted only after its
result is durable. If the process dies in between, the next replica finds the ledger and the Pod, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ottoscaler.errors import NoRight
from ottoscaler.model import Judgement, Reason, Status, Verdict
from ottoscaler.retry import Retrier
from ottoscaler.workers.attempt import Attempt, Ended, Next, WorkerDeps
from ottoscaler.workers.create import create
from ottoscaler.workers.monitor import CANCELLED, cancelled_elsewhere, holds, is_gone, judgement, monitor
from ottoscaler.workers.run import Task
from ottoscaler.workers.settle import out_of_sight, settle

BRIEF_TRIES = 3  # of each call in a thread that others wait for


class Workers:
    """Works on tasks. Pool threads call ``work`` and ``give_up``. The deleter's threads call
    ``settle_if_ended``, for adopted workers that wait for a slot."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps
        self._brief = replace(deps, retrier=Retrier(deps.abandon, BRIEF_TRIES))

    def work(self, task: Task, under_way: Callable[[], None] = lambda: None) -> Ended:
        """Run one attempt to its end.

        ``under_way`` is called as soon as the attempt no longer waits for its turn to create its Pod. Raises
        Fenced if another replica owns the event, and Stopping if the worker is left to the next replica.
        """
        sent = task.head_start.sent if task.head_start is not None else None
        subscription = sent.subscription if sent else self._deps.watcher.subscribe(self._deps.name(task))
        try:
            if task.run.dropped:
                return Ended(Next.DROPPED)
            attempt = Attempt(self._deps.where(task), task, subscription, under_way=under_way)
            ended = create(attempt)
            under_way()
            return ended if ended is not None else settle(attempt, monitor(attempt))
        except NoRight as error:
            return out_of_sight(attempt, f"its Pod could not be looked at until its deadline: {error}")
        finally:
            if sent is not None:
                sent.turn.leave()
            self._deps.watcher.unsubscribe(subscription)

    def settle_if_ended(self, task: Task) -> Ended | None:
        """Settle an adopted worker whose Pod has ended or reached a limit. ``None`` if it still runs.

        It never waits for a Pod to go, and gives a call up after BRIEF_TRIES. Raises what :meth:`work`
        raises, and NotYet, RedisError and KubernetesError: then the caller tries again later.
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
                    return None  # once it has a slot, its thread looks for the Pod
                watcher.identify(subscription, subscription.view.uid)
            gone = is_gone(attempt)
            if not gone and cancelled_elsewhere(attempt):
                return settle(attempt, CANCELLED)
            found = judgement(attempt)
            over = found.verdict is not Verdict.WAIT and (gone or holds(attempt, found))
            return settle(attempt, found) if over else None
        finally:
            watcher.unsubscribe(subscription)

    def give_up(self, task: Task, why: str) -> Ended:
        """Record as failed a worker on which Ottoscaler itself failed, and delete its Pod.

        ``why`` becomes the result's message. Raises what :meth:`work` raises, RedisError and KubernetesError.
        """
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
