"""The dispatcher thread: it gives slots to the workers of owned events and starts them in the pool.

Adopted workers come first, then the event whose turn it is (:mod:`ottoscaler.workers.turns`). A slot is
reserved before a task is submitted, since the executor's own queue has no bound.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.leaving import Leaving
from ottoscaler.controller.offers import Offers
from ottoscaler.controller.reach import Reach
from ottoscaler.errors import Fenced, Stopping
from ottoscaler.ledger.pause import Pause
from ottoscaler.scheduling import wake_without_preempting
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.threads import Control, Loop
from ottoscaler.workers.attempt import Ended, Next, Once
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import Task
from ottoscaler.workers.worker import Workers

log = get_logger(__name__)

IDLE_SECONDS = 1.0  # the longest sleep of the dispatcher
LEAST_SLEEP_SECONDS = 0.001
MOST_INTERNAL_ERRORS = 5  # on one worker, before it is recorded as failed
ERROR_PAUSE_SECONDS = 5.0
JOIN_LOOK_SECONDS = 0.05  # between two checks whether the workers have ended
STILL_SECONDS = 0.5  # at a stop: if no worker has ended for so long, those that are left hang
LEAST_LOOKS = 10  # in that time, even if this machine stands still meanwhile

# The stack of each thread. A TLS handshake, getaddrinfo (which loads the system's name services) and a JSON
# scanner at its recursion limit each need most of 256 KiB, and a stack that overflows is a segmentation
# fault. Only touched pages cost memory, but with thousands of threads the default of 8 MiB costs address
# space and page tables.
STACK_BYTES = 512 * 1024


class Dispatcher(Loop):
    """Owns the pool, reads the inbox and makes the offers."""

    def __init__(
        self,
        registry: RunRegistry,
        inbox: Inbox,
        workers: Workers,
        offers: Offers,
        reach: Reach,
        pause: Pause,
        leaving: Leaving,
        control: Control,
    ) -> None:
        super().__init__(control)
        self._registry = registry
        self._inbox = inbox
        self._workers = workers
        self._offers = offers
        self._reach = reach
        self._pause = pause
        self._leaving = leaving
        self._pool = ThreadPoolExecutor(  # its threads start with the first tasks
            registry.slots, thread_name_prefix="worker", initializer=wake_without_preempting
        )

    # --- the dispatcher thread

    def wait(self) -> None:
        """Wait for an event, a wake-up or the next retry, at most IDLE_SECONDS. Take what came."""
        due = self._registry.due_in(time.monotonic())
        self._take(IDLE_SECONDS if due is None else max(LEAST_SLEEP_SECONDS, min(IDLE_SECONDS, due)))

    def _take(self, seconds: float) -> None:
        """Admit the events that came, and start a worker with a head start."""
        for one in self._inbox.take(seconds):
            if isinstance(one, Task):
                self._submit(one)
            elif one is not None:
                self._registry.admit(one)

    def step(self, now: float) -> None:
        """Start every worker that may start now. Offer events that cannot begin here to other replicas.

        While this replica is cut off from Kubernetes, or the group is paused, only workers that have begun
        already are started.
        """
        creating = not (self._pause.on or self._reach.cut_off(now))
        while not self._stop.is_set():
            task = self._registry.next_task(now, creating=creating)
            if task is None:
                break
            self._submit(task)
        self._offers.step(now)

    def _submit(self, task: Task) -> None:
        try:
            self._pool.submit(self._work, task)
        except BaseException:
            self._registry.under_way(task)
            self._registry.ended(task, left=True)
            raise

    # --- pool threads

    def _under_way(self, task: Task) -> None:
        if self._registry.under_way(task):
            self._inbox.wake()

    def _work(self, task: Task) -> None:
        """What a pool thread runs. It never raises, and always gives the slot back."""
        ended: Ended | None = None
        again: Task | None = None
        delay = 0.0
        under_way = Once(partial(self._under_way, task))
        try:
            ended = self._workers.work(task, under_way)
        except Fenced:
            log.info("event_left_alone", "another replica owns the event now", **task.about)
            self._leaving.leave(task.run)
        except Stopping:
            log.debug("worker_left", "left to the next replica", **task.about)
        except BaseException as error:  # noqa: BLE001 - one worker's error must not spread to another
            ended = self._internal_error(task, error)
            if ended is None:
                again = replace(task, adopt=True, uid="", head_start=None, errors=task.errors + 1)
                delay = ERROR_PAUSE_SECONDS
        finally:
            under_way()
            if ended is not None:
                again, delay = ended.following(task), ended.delay
            if ended is not None and ended.next is Next.NOT_BEGUN:
                full = False
                self._registry.put_back(task)
            else:
                full = self._registry.ended(task, again=again, delay=delay, left=ended is None)
            if full or ended is None or ended.next is not Next.DONE or task.run.strikes:
                self._inbox.wake()

    def _internal_error(self, task: Task, error: BaseException) -> Ended | None:
        """Log an internal error. After ``MOST_INTERNAL_ERRORS`` of them, give the worker up.

        ``None``: the worker is to be tried again.
        """
        tell = log.bind(**task.about)
        tell.error("worker_error", "internal error; the worker is tried again", exc=error)
        if task.errors + 1 >= MOST_INTERNAL_ERRORS:
            try:
                return self._workers.give_up(
                    task, f"Ottoscaler failed on it {MOST_INTERNAL_ERRORS} times: {error}"
                )
            except Exception as last:  # noqa: BLE001 - whatever it is, the worker must not be forgotten
                tell.error("worker_left", "giving the worker up failed; it is tried again", exc=last)
        return None

    # --- the stop thread

    def take_rest(self) -> None:
        """Take what came after the dispatcher's thread had ended.

        A worker with a head start holds a slot, and must give it and its begin back.
        """
        self._take(0.0)

    def join(self, seconds: float, grace_ends: float) -> bool:
        """Wait for the pool's workers to end, ``seconds`` at most. True if none is left.

        Workers wait for Redis and the API server, and a request that hangs cannot be cut. So past
        ``grace_ends`` (monotonic), those that are left are abandoned when none has ended for STILL_SECONDS.
        What they have begun is in the ledger.
        """
        deadline = time.monotonic() + seconds
        before, since, looks = self._registry.busy, time.monotonic(), 0
        while (busy := self._registry.busy) and (now := time.monotonic()) < deadline:
            looks += 1
            if busy != before:
                before, since, looks = busy, now, 0
            elif looks > LEAST_LOOKS and now > max(grace_ends, since + STILL_SECONDS):
                log.info("workers_left", f"{busy} workers still wait for an answer, and are abandoned")
                return False
            time.sleep(JOIN_LOOK_SECONDS)
        return self._registry.busy == 0

    def close(self) -> None:
        """End the pool without waiting for its workers."""
        self._pool.shutdown(wait=False, cancel_futures=True)
