"""Adopted workers that wait for a slot. A worker whose Pod has ended is settled without one."""

from __future__ import annotations

from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.leaving import Leaving
from ottoscaler.errors import Fenced, OttoscalerError
from ottoscaler.model import PodView, WorkerId
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.threads import Mailbox
from ottoscaler.workers.attempt import Ended
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.worker import Workers

log = get_logger(__name__)


class EndedPods:
    """Leaves a Pod that has ended to the reconciler if a worker without a slot may wait for it.

    Otherwise the delete of each worker's Pod would wake the reconciler for nothing.
    """

    def __init__(self, registry: RunRegistry, unclaimed: Mailbox[PodView]) -> None:
        self._registry = registry
        self._unclaimed = unclaimed

    def note(self, view: PodView) -> None:
        """Note a Pod that has ended or gone, and that no thread here waits for. Any thread; never waits."""
        if view.worker is not None and self._registry.has_adoptees(view.worker.event_id):
            self._unclaimed.put(view)


class Adoptees:
    """Thread-safe. ``end_if_over`` may wait for Redis and Kubernetes, for a few tries of each call."""

    def __init__(self, registry: RunRegistry, workers: Workers, leaving: Leaving, inbox: Inbox) -> None:
        self._registry = registry
        self._workers = workers
        self._leaving = leaving
        self._inbox = inbox

    def end_if_over(self, worker: WorkerId) -> None:
        """Settle the worker if it waits for a slot and its Pod has ended. Otherwise do nothing."""
        task = self._registry.claim_adoptee(worker)
        if task is None:
            return
        ended: Ended | None = None
        try:
            ended = self._workers.settle_if_ended(task)
        except Fenced:
            self._leaving.leave(task.run)
        except OttoscalerError as error:
            log.debug("settle_waits", str(error), **task.about)
        finally:
            if ended is None:
                self._registry.return_adoptee(task)
            else:
                self._registry.adoptee_ended(task, again=ended.following(task), delay=ended.delay)
            self._inbox.wake()
