"""The order in which a stop ends the parts, against one deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ottoscaler.controller.dispatcher import Dispatcher
from ottoscaler.controller.handover import HANDOVER_SECONDS, OVERRUN_SECONDS, Handover
from ottoscaler.errors import RedisError
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.lease import Lease
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.threads import PARTS_SECONDS, Threads

log = get_logger(__name__)

READ_END_SECONDS = 2.0  # for the listener's blocked read to be ended from another connection
UNBLOCK_SECONDS = 0.1  # between two tries: one may come just before the read blocks, and end nothing
WATCH_END_SECONDS = 1.0  # for an open watch to notice that it was cut


@dataclass(frozen=True, slots=True)
class Phases:
    """The steps of a stop: events that stay set, each after the one before it."""

    stopping: threading.Event = field(default_factory=threading.Event)  # nothing is read or created any more
    abandon: threading.Event = field(default_factory=threading.Event)  # running workers are not waited for
    ended: threading.Event = field(default_factory=threading.Event)  # the lease and the watch end too


class Shutdown:
    """The stop thread's. ``wake_ups`` end the waits of the threads that read; ``end_read`` the listener's
    blocked read, if it blocks; ``closers`` end what works in the background without waiting.
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
        self._dispatcher = dispatcher
        self._lease = lease
        self._watcher = watcher

    def begin(self) -> None:
        """Read and create nothing more, and end the threads that do."""
        self._phases.stopping.set()
        log.info("stopping", "stopping: nothing more is read or created; waiting for running workers")
        for wake in self._wake_ups:
            wake()
        deadline = time.monotonic() + READ_END_SECONDS
        while time.monotonic() < deadline and self._answering():
            self._end_read()
            if not self._threads.join("listener", seconds=UNBLOCK_SECONDS):
                return

    def hand_over(self, deadline: float) -> list[str]:
        """Hand over every event, those with running workers at ``deadline`` (monotonic) at the latest.

        Returns the threads that would not end, as :meth:`end` does.
        """
        stuck = self._join("listener", "takeover", "dispatcher", "reconciler", "templates", deadline=deadline)
        self._handover.while_workers_run(deadline)
        self.leave_workers()
        self._dispatcher.join(HANDOVER_SECONDS if self._answering() else OVERRUN_SECONDS)
        # what was never registered owns nothing, so a Redis that never answered need not be waited for
        if self._lease.registered.is_set() and self._handover.everything(deadline):
            stuck += self._leave()
        return stuck

    def _answering(self) -> bool:
        return self._lease.redis_health()[0]

    def _join(self, *names: str, deadline: float) -> list[str]:
        """Wait for threads. A call to a Redis that hangs cannot be cut: past the deadline, those that may be
        in one are left, and end with the process."""
        left = max(OVERRUN_SECONDS, deadline - time.monotonic())
        running = self._threads.join(*names, seconds=PARTS_SECONDS if self._answering() else left)
        if running and not self._answering():
            log.debug("thread_left", f"still waiting for Redis, and abandoned: {', '.join(running)}")
            return []
        return running

    def leave_workers(self) -> None:
        """Any thread: wait for running workers no longer."""
        self._phases.abandon.set()
        self._watcher.wake_all()

    def _leave(self) -> list[str]:
        """The heartbeat ends before the name is given free, or it would enter it again."""
        self._phases.ended.set()
        stuck = self._threads.join("lease")
        try:
            self._lease.leave()
        except RedisError as error:
            flood.warning("handover_failed", f"the consumer name could not be released: {error}")
        return stuck

    def end(self, closers: Sequence[Callable[[], None]]) -> list[str]:
        """End the other threads."""
        self._phases.ended.set()
        self._watcher.interrupt()
        for close in closers:
            close()
        stuck = self._join("lease", deadline=0.0)
        # A request that a hanging API server never answers cannot be cut, and the watch thread only reads.
        if self._threads.join("watch", seconds=WATCH_END_SECONDS):
            log.debug("thread_left", "the watch thread is still waiting for an answer and is abandoned")
        return stuck
