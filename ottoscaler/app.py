"""The only place where the parts are made, joined, started and stopped.

Redis stream                                                             Kubernetes
    |                                                                        ^
 listener --> intake --> queue --> dispatcher --> slot --> worker (pool) ----+ create, delete
    |            |                     |                     |   ^           |
    |         ledger <-- lease      scale-down            ledger |        watcher (one watch)
    |            ^                                               |           |
    +--------- recovery: what the dead, full and stopped left    +-- subscription -+--> reconciler
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from ottoscaler.config import limits as policy
from ottoscaler.config.settings import Settings
from ottoscaler.controller.backlog import Backlog
from ottoscaler.controller.dispatcher import Dispatcher
from ottoscaler.controller.handover import HANDOVER_SECONDS, Handover
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.controller.intake import Arrival, Intake
from ottoscaler.controller.listener import Listener
from ottoscaler.controller.reconciler import Reconciler
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.controller.sweep import Sweep
from ottoscaler.controller.takeover import Recovery
from ottoscaler.errors import RedisError
from ottoscaler.kube.client import connect
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import ScaleDown
from ottoscaler.pods.labels import selector
from ottoscaler.pods.templates import Templates
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.health import Health
from ottoscaler.telemetry.http import HttpServer
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.threads import Threads
from ottoscaler.workers.attempt import WorkerDeps, WorkerLimits
from ottoscaler.workers.registry import Flight
from ottoscaler.workers.worker import Workers

log = get_logger(__name__)

THREADS = ("lease", "watch", "dispatcher", "listener", "recovery", "reconciler")
READ_END_SECONDS = 2.0  # for the listener's blocked read to be ended from here
UNBLOCK_SECONDS = 0.1  # between two tries: one may come just before the read blocks, and end nothing
WATCH_END_SECONDS = 1.0  # for an open watch to notice that it was cut


class App:
    """One replica. The main thread starts it and hurries it; the stop thread stops it."""

    def __init__(self, settings: Settings, templates: Templates) -> None:
        self.settings = settings
        self.templates = templates
        self.metrics = Metrics()
        self.health = Health()
        self.stopping = threading.Event()  # nothing is read or created any more
        self.abandon = threading.Event()  # running workers are not waited for any more
        self.finished = threading.Event()
        self.exit_code = 0
        self._lease_stop = threading.Event()
        self._registered = threading.Event()
        self._threads = Threads(self._die)
        self._beats = {name: self.health.beacon(name).beat for name in THREADS}
        self._make_adapters()
        self._make_shared()
        self._make_workers()
        self._make_intake()
        self._make_upkeep()
        self._make_signals()

    # --- making: each part is given those before it; what comes later is reached by a lambda

    def _make_adapters(self) -> None:
        s = self.settings
        self._stream = RedisClient(s)
        self._lease_stream = RedisClient(s)
        self._listen_stream = RedisClient(s, answer_seconds=s.poll_seconds + 3.0)
        self._pods = connect(s.kubeconfig, s.namespace, s.kube_qps, s.kube_burst, self._observe)

    def _observe(self, verb: str, code: int, seconds: float) -> None:
        self.metrics.kube_request.observe(seconds, verb, str(code) if code else "none")

    def _make_shared(self) -> None:
        """What every stage looks at: the events in flight, the ledger, the lease and the one watch."""
        s = self.settings
        self.flight = Flight(s.max_events_in_hand)
        self._ledger = Ledger(self._stream)
        self._ledger.forgotten = self.flight.forget
        self.watcher = PodWatcher(
            self._pods,
            selector(s.instance),
            poll_seconds=s.poll_seconds,
            stop=self._lease_stop,
            unclaimed=lambda view: self.reconciler.unclaimed(view),  # noqa: PLW0108 - made later
            restarted=self.metrics.watch_restarts.inc,
            beat=self._beats["watch"],
        )
        self.lease = Lease(
            Ledger(self._lease_stream),
            self._ledger,
            consumer=s.redis_consumer,
            pod_uid=s.pod_uid,
            seconds=s.lease_seconds,
            describe=self._describe,
            surveyed=lambda survey, same: self.recovery.surveyed(survey, same),  # noqa: PLW0108 - made later
            emptied=lambda: self.recovery.emptied(),  # noqa: PLW0108 - made later
            lost=lambda: self.dispatcher.leave_all(),  # noqa: PLW0108 - made later
            beat=self._beats["lease"],
            redis_run=self._lease_stream.run_id,
            is_cluster=self._lease_stream.is_cluster,
        )

    def _make_workers(self) -> None:
        s = self.settings
        deps = WorkerDeps(
            ledger=self._ledger,
            pods=self._pods,
            watcher=self.watcher,
            lease=self.lease,
            metrics=self.metrics,
            limits=WorkerLimits(
                s.instance,
                s.pending_timeout_seconds,
                s.worker_timeout_seconds,
                s.max_retries,
                s.failed_pod_ttl_seconds,
            ),
            stopping=self.stopping,
            abandon=self.abandon,
            retrier=Retrier(self.abandon),
            start_retrier=Retrier(self.stopping),
        )
        self.deleter = PodDeleter(self._pods, self.abandon)
        self.scale_downs = ScaleDowns(
            self._ledger,
            self.flight,
            self.watcher,
            self.deleter,
            instance=s.instance,
            metrics=self.metrics,
            stop=self.abandon,
            wake=lambda: self.dispatcher.wake(),  # noqa: PLW0108 - made later
        )
        self.dispatcher = Dispatcher(
            self.flight,
            Workers(deps),
            self._ledger,
            max_workers=s.max_workers,
            scale_down=self._scale_down,
            metrics=self.metrics,
            stop=self.stopping,
            beat=self._beats["dispatcher"],
        )

    def _scale_down(self, arrival: Arrival) -> None:
        assert isinstance(arrival, tuple)
        event, epoch = arrival
        assert isinstance(event, ScaleDown)
        self.scale_downs.submit(event, epoch)

    def _make_intake(self) -> None:
        s = self.settings
        self.intake = Intake(
            self._ledger,
            self.flight,
            limits=policy.limits(s),
            templates=self.templates,
            defaults=policy.pod_defaults(s),
            metrics=self.metrics,
            deliver=self.dispatcher.deliver,
            idle_grant=lambda: self.lease.granted() if self.dispatcher.idle else 0,
        )
        self.listener = Listener(
            self._listen_stream,
            self._ledger,
            self.flight,
            self.intake,
            poll_seconds=s.poll_seconds,
            metrics=self.metrics,
            stop=self.stopping,
            beat=self._beats["listener"],
        )

    def _make_upkeep(self) -> None:
        """Who takes over what others left, who sweeps, and who hands over at a stop."""
        s = self.settings
        self.recovery = Recovery(
            self._ledger,
            self.flight,
            self.intake,
            consumer=s.redis_consumer,
            lease_seconds=s.lease_seconds,
            free_slots=lambda: self.dispatcher.free,
            reread_own=self.listener.reread_own,
            leave=self.dispatcher.leave,
            stop=self.stopping,
            beat=self._beats["recovery"],
        )
        self.reconciler = Reconciler(
            Backlog(self._ledger, self.flight, self.watcher, self.dispatcher, self.deleter),
            Sweep(
                self._ledger,
                self.watcher,
                self.lease,
                self.deleter,
                instance=s.instance,
                failed_pod_ttl=s.failed_pod_ttl_seconds,
                now=self._pods.now,
            ),
            Housekeeping(
                self._ledger,
                self._stream,
                self.metrics,
                retention=s.retention_seconds,
                dead_retention=s.dead_retention_seconds,
            ),
            stop=self.stopping,
            beat=self._beats["reconciler"],
        )
        self.handover = Handover(self._ledger, self.flight, self.dispatcher, self.watcher, self.abandon)

    def _make_signals(self) -> None:
        s = self.settings
        self.http = HttpServer(s.http_address, s.http_port, self.health, self.metrics)
        self.metrics.lease_seconds.set_function(self.lease.remaining)
        self.metrics.kube_rate_limit.set_function(self._pods.rate)
        self.health.condition("redis", self.lease.redis_health)
        self.health.condition("lease", self.lease.health)
        self.health.condition("watch", self.watcher.health)

    def _describe(self) -> dict[str, Any]:
        """What a heartbeat tells of this replica, for ``status``."""
        s = self.settings
        return {
            "workers": self.dispatcher.busy,
            "workers_max": s.max_workers,
            "in_hand": self.flight.in_hand(),
            "lease_seconds": s.lease_seconds,
            "stopping": self.stopping.is_set(),
            "at": time.time(),
        }

    # --- running

    def start(self) -> None:
        """Start every thread; each waits by itself for what it needs."""
        self.http.start()
        self.dispatcher.start()
        self.scale_downs.start()
        self.deleter.start()
        self._threads.start("lease", self._hold_lease)
        self._threads.start("watch", self.watcher.run)
        self._threads.start("dispatcher", self.dispatcher.run)
        self._threads.start("listener", lambda: self._once_ready("listener", self.listener.run))
        self._threads.start("recovery", lambda: self._once_ready("recovery", self.recovery.run))
        self._threads.start("reconciler", lambda: self._once_ready("reconciler", self.reconciler.run))

    def _hold_lease(self) -> None:
        self.lease.register(self.stopping)
        self._registered.set()
        log.info(
            "registered",
            f"serving {self.settings.redis_stream} as {self.settings.redis_consumer}",
            instance=self.settings.instance,
            namespace=self.settings.namespace,
        )
        self.lease.run(self._lease_stop)

    def _once_ready(self, name: str, run: Callable[[], None]) -> None:
        """No thread works before the lease holds and the first list of Pods is in."""
        beat = self._beats[name]
        for event in (self._registered, self.watcher.synced):
            while not event.wait(0.1):
                beat()
                if self.stopping.is_set():
                    return
        run()

    def _die(self, code: int) -> None:
        self.exit_code = self.exit_code or code
        self.abandon.set()
        self.stopping.set()
        os.kill(os.getpid(), signal.SIGTERM)

    # --- stopping

    def stop(self) -> None:
        """The stop thread: hand everything over in order, against one deadline, then end the threads."""
        begun = time.monotonic()
        try:
            self._stop(begun)
        except BaseException as error:
            log.error("stop_failed", "an error of Ottoscaler's own while stopping", exc=error)
            self.exit_code = self.exit_code or 1
            raise
        finally:
            log.info("stopped", f"stopped in {time.monotonic() - begun:.1f} s", exit_code=self.exit_code)
            self.finished.set()

    def _stop(self, begun: float) -> None:
        self.stopping.set()
        log.info("stopping", "nothing is read or created any more; running workers are waited for")
        self.flight.changed()
        self.dispatcher.wake()
        self.recovery.wake()
        self.reconciler.wake()
        self._end_the_read()
        self._join("listener", "recovery", "dispatcher", "reconciler")
        self.handover.while_workers_run(begun + self.settings.shutdown_grace_seconds)
        self.abandon.set()
        self.watcher.wake_all()
        self.dispatcher.join(HANDOVER_SECONDS)
        # what was never registered owns nothing, so a Redis that never answered need not be waited for
        if self._registered.is_set() and self.handover.everything():
            self._leave()
        self._end_threads()
        flood.sweep(all_windows=True)

    def hurry(self) -> None:
        """A second signal: hand over everything at once."""
        log.warning("hurrying", "a second signal: running workers are left to the next replica")
        self.abandon.set()
        self.watcher.wake_all()

    def _end_the_read(self) -> None:
        """End the listener's blocked read now instead of within its poll interval."""
        deadline = time.monotonic() + READ_END_SECONDS
        while time.monotonic() < deadline:
            self.listener.unblock(self._stream)
            if not self._threads.join("listener", seconds=UNBLOCK_SECONDS):
                return

    def _leave(self) -> None:
        """The heartbeat ends before the name is given free, or it would enter it again."""
        self._lease_stop.set()
        self._join("lease")
        try:
            self.lease.leave()
        except RedisError as error:
            flood.warning("handover_failed", f"the consumer name could not be given free: {error}")

    def _end_threads(self) -> None:
        self._lease_stop.set()
        self.watcher.interrupt()
        self.scale_downs.close()
        self.deleter.close()
        self.dispatcher.close()
        self._join("lease")
        # A request that a hanging API server never answers cannot be cut, and the watch thread only reads.
        if self._threads.join("watch", seconds=WATCH_END_SECONDS):
            log.debug("thread_left", "the watch thread waits for an answer and is left")
        self.http.stop()
        for stream in (self._stream, self._lease_stream, self._listen_stream):
            try:
                stream.close()
            except RedisError as error:
                log.debug("close_failed", str(error))

    def _join(self, *names: str) -> None:
        for name in self._threads.join(*names):
            log.error("thread_stuck", f"the {name} thread would not stop")
            self.exit_code = self.exit_code or 1
