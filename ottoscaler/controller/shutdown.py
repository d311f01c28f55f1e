"""The order in which a stop ends the parts, within one deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ottoscaler.controller.dispatcher import STILL_SECONDS, Dispatcher
from ottoscaler.controller.handover import AGAIN_SECONDS, HANDOVER_SECONDS, Handover
from ottoscaler.controller.last_calls import CALL_SECONDS
from ottoscaler.errors import RedisError
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.heartbeats import LONGEST_BEAT_SECONDS
from ottoscaler.ledger.lease import Lease
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.threads import Threads

log = get_logger(__name__)

READ_END_SECONDS = 2.0  # for the listener's blocked read to be ended from another connection
UNBLOCK_SECONDS = 0.1  # between two tries: a try just before the read blocks ends nothing
LEAST_TRIES = 5  # so many are made even if this machine stands still meanwhile
JOIN_LOOK_SECONDS = 0.1  # between two checks whether Redis still answers, while threads are waited for
PARTS_SECONDS = 10.0  # how long threads may take to end after the grace period
THREADS_SECONDS = 0.3  # for threads to end, before Redis is asked whether they wait for it
WATCH_END_SECONDS = 0.3  # for an open watch to notice that it was cut
# What a stop may take past the grace period if Redis or the API server hangs, or both: the workers that hang,
# one call to Redis and its repetition, and the watch.
OVERRUN_SECONDS = STILL_SECONDS + CALL_SECONDS + AGAIN_SECONDS + WATCH_END_SECONDS


@dataclass(frozen=True, slots=True)
class Phases:
    """The steps of a stop, in this order. An event that is set stays set."""

    stopping: threading.Event = field(default_factory=threading.Event)  # nothing is read or created any more
    abandon: threading.Event = field(default_factory=threading.Event)  # running workers are not waited for
    ended: threading.Event = field(default_factory=threading.Event)  # the lease and the watch end too


class Shutdown:
    """Called by the stop thread.

    ``wake_ups`` end the waits of the inbox, of the takeover and of the reconciler. ``end_read`` ends the
    listener's read if it blocks.
    """

    def __init__(
        self,
        phases: Phases,
        threads: Threads,
        wake_ups: Sequence[Callable[[], None]],
        end_read: Callable[[], None],
        handover: Handover,
        dispatcher: Dispatcher,
        lease: Lease,
        watcher: PodWatcher,
    ) -> None:
        self._phases = phases
        self._threads = threads
        self._wake_ups = wake_ups
        self._end_read = end_read
        self._handover = handover
        self._calls = handover.calls
        self._dispatcher = dispatcher
        self._lease = lease
        self._watcher = watcher

    def begin(self) -> None:
        """Read and create nothing more, and wake the threads that do so that they end."""
        self._phases.stopping.set()
        log.info("stopping", "stopping: nothing more is read or created; waiting for running workers")
        for wake in self._wake_ups:
            wake()
        deadline = time.monotonic() + READ_END_SECONDS
        tries = 0
        while (time.monotonic() < deadline or tries < LEAST_TRIES) and self._calls.answering:
            tries += 1
            try:
                self._calls.make(self._end_read)
            except RedisError as error:
                log.debug("unblock_failed", f"the read ends by itself: {error}")
            if not self._threads.join("listener", seconds=UNBLOCK_SECONDS):
                return

    def hand_over(self, deadline: float) -> list[str]:
        """Hand over every event. Those with running workers go at ``deadline`` (monotonic) at the latest.

        Returns the names of threads that did not end.
        """
        stuck = self._join("listener", "takeover", "dispatcher", "reconciler", "templates", deadline=deadline)
        self._dispatcher.take_rest()
        self._handover.while_workers_run(deadline)
        if self._phases.abandon.is_set():  # the next heartbeat may find Redis well again
            deadline = min(deadline, time.monotonic() + LONGEST_BEAT_SECONDS)
        self.leave_workers()
        self._dispatcher.join(HANDOVER_SECONDS, deadline)
        # A replica that never registered owns nothing: it need not wait for a Redis that never answered.
        if self._lease.registered.is_set() and self._handover.everything(deadline):
            stuck += self._leave()
        return stuck

    def _join(self, *names: str, deadline: float) -> list[str]:
        """Wait for threads. Returns the names of those that did not end.

        A call to a Redis that hangs cannot be cut. So if Redis does not answer, threads that still run at the
        deadline are left to end with the process, and none is returned.
        """
        begun = time.monotonic()
        while running := self._threads.join(*names, seconds=JOIN_LOOK_SECONDS):
            now = time.monotonic()
            patience = THREADS_SECONDS if self._calls.answering else 0.0
            if now > max(self._until(deadline), begun + patience) and not self._calls.answers_now():
                log.info("thread_left", f"still waiting for Redis, and abandoned: {', '.join(running)}")
                return []
            if now > begun + PARTS_SECONDS and self._calls.answering:
                return running
        return []

    def _until(self, deadline: float) -> float:
        """The deadline until which threads are waited for; a second signal means now."""
        return 0.0 if self._phases.abandon.is_set() else deadline

    def leave_workers(self) -> None:
        """Stop waiting for running workers. Any thread."""
        self._phases.abandon.set()
        self._watcher.wake_all()

    def _leave(self) -> list[str]:
        """Release the consumer name. The heartbeat must end first, or it would register the name again."""
        self._phases.ended.set()
        stuck = self._join("lease", deadline=0.0)
        try:
            self._calls.make(self._lease.leave)
        except RedisError as error:
            flood.warning("handover_failed", f"the consumer name could not be released: {error}")
        return stuck

    def end(self, closers: Sequence[Callable[[], None]]) -> list[str]:
        """End the other threads. Returns the names of those that did not end.

        ``closers`` end background work without waiting for it.
        """
        self._phases.ended.set()
        self._watcher.interrupt()
        for close in closers:
            close()
        stuck = self._join("lease", deadline=0.0)
        # A request that a hanging API server never answers cannot be cut. The watch thread only reads, so
        # leaving it does no harm.
        if self._threads.join("watch", seconds=WATCH_END_SECONDS):
            log.info("thread_left", "the watch thread is still waiting for an answer and is abandoned")
        return stuck
