"""Adopted workers that wait for a slot: they end without one, as soon as their Pods have ended."""

from __future__ import annotations

from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.leaving import Leaving
from ottoscaler.errors import Fenced, OttoscalerError
from ottoscaler.model import WorkerId
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.workers.attempt import Ended
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import Task
from ottoscaler.workers.worker import Workers

log = get_logger(__name__)


class Adoptees:
    """Thread-safe; ``end_if_over`` may wait for Redis and Kubernetes, for a few tries."""

    def __init__(self, registry: RunRegistry, workers: Workers, leaving: Leaving, inbox: Inbox) -> None:
        self._registry = registry
        self._workers = workers
        self._leaving = leaving
        self._inbox = inbox

    def waiting(self) -> list[Task]:
        """Those that wait for a slot."""
        return self._registry.adoptees()

    def end_if_over(self, worker: WorkerId) -> None:
        """End a worker that waits for a slot, if its Pod has ended. Harmless for any other."""
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
