"""The only place where the parts are made, joined, started and stopped.

Redis stream                                                             Kubernetes
    |                                                                        ^
 listener --> intake --> queue --> dispatcher --> slot --> worker (pool) ----+ create, delete
    |            |                     |                     |   ^           |
    |         ledger <-- lease      scale-down            ledger |        watcher (one watch)
    |            ^                                               |           |
    +--------- recovery: what the dead, full and stopped left    +-- ticket -+--> reconciler
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from ottoscaler import policy
from ottoscaler.attempt import Shop, WorkerLimits
from ottoscaler.deleters import Deleters
from ottoscaler.dispatcher import Dispatcher
from ottoscaler.errors import LiveTwin, RedisCluster, RedisError, Stopping
from ottoscaler.flight import Flight
from ottoscaler.intake import Arrival, Intake
from ottoscaler.lease import Lease
from ottoscaler.ledger import Ledger
from ottoscaler.listener import Listener
from ottoscaler.model import ScaleDown
from ottoscaler.patience import Patience
from ottoscaler.pods import connect
from ottoscaler.podspec import selector
from ottoscaler.reconciler import Reconciler
from ottoscaler.recovery import Recovery
from ottoscaler.scaledown import ScaleDowns
from ottoscaler.settings import Settings
from ottoscaler.stream import Stream
from ottoscaler.telemetry.health import Beacon, Health
from ottoscaler.telemetry.http import HttpServer
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.templates import Templates
from ottoscaler.watcher import PodWatcher
from ottoscaler.worker import Workers

log = get_logger(__name__)

HANDOVER_SECONDS = 3.0  # for the last writes of a stop, if Redis is slow or away
PARTS_SECONDS = 10.0  # for all threads to end, past the grace period
WATCH_END_SECONDS = 1.0  # for an open watch to notice that it was cut
LOOK_SECONDS = 0.05  # between two looks at what may be handed over during a stop


class App:
    """One replica. The main thread starts it and hurries it; the stop thread stops it."""

    def __init__(self, settings: Settings, templates: Templates) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.health = Health()
        self.stopping = threading.Event()  # nothing is read or created any more
        self.abandon = threading.Event()  # running workers are not waited for any more
        self._lease_stop = threading.Event()
        self._registered = threading.Event()
        self._threads: list[threading.Thread] = []
        self._beacons: dict[str, Beacon] = {}
        self.exit_code = 0
        self.finished = threading.Event()
        self._make_adapters()
        self._make_parts(templates)

    # --- making

    def _make_adapters(self) -> None:
        s = self.settings
        self._stream = Stream(s)
        self._lease_stream = Stream(s)
        self._listen_stream = Stream(s, answer_seconds=s.poll_seconds + 3.0)
        self._ledger = Ledger(self._stream)
        self._pods = connect(s.kubeconfig, s.namespace, s.kube_qps, s.kube_burst, self._observe)
        self.flight = Flight(s.max_events_in_hand)
        self._ledger.forgotten = self.flight.forget

    def _observe(self, verb: str, code: int, seconds: float) -> None:
        self.metrics.kube_request.observe(seconds, verb, str(code) if code else "none")

    def _make_parts(self, templates: Templates) -> None:
        s, beat = self.settings, self._beat
        self.watcher = PodWatcher(
            self._pods,
            selector(s.instance),
            poll_seconds=s.poll_seconds,
            stop=self._lease_stop,
            unclaimed=lambda view: self.reconciler.unclaimed(view),  # noqa: PLW0108 - made later
            restarted=self.metrics.watch_restarts.inc,
            beat=beat("watch"),
        )
        lease_ledger = Ledger(self._lease_stream)
        self.lease = Lease(
            lease_ledger,
            self._ledger,
            consumer=s.redis_consumer,
            pod_uid=s.pod_uid,
            seconds=s.lease_seconds,
            describe=self._describe,
            surveyed=lambda survey, same: self.recovery.surveyed(survey, same),  # noqa: PLW0108 - made later
            emptied=lambda: self.recovery.emptied(),  # noqa: PLW0108 - made later
            lost=lambda: self.dispatcher.leave_all(),  # noqa: PLW0108 - made later
            beat=beat("lease"),
            redis_run=self._lease_stream.run_id,
            is_cluster=self._lease_stream.is_cluster,
        )
        shop = Shop(
            ledger=self._ledger,
            pods=self._pods,
            watcher=self.watcher,
            lease=self.lease,
            metrics=self.metrics,
            limits=WorkerLimits(
                s.instance,
                float(s.pending_timeout_seconds),
                float(s.worker_timeout_seconds),
                s.max_retries,
                s.failed_pod_ttl_seconds,
            ),
            stopping=self.stopping,
            abandon=self.abandon,
            patience=Patience(self.abandon),
            start_patience=Patience(self.stopping),
        )
        self.workers = Workers(shop)
        self.deleters = Deleters(self._pods, self.abandon)
        self.scale_downs = ScaleDowns(
            self._ledger,
            self.flight,
            self.watcher,
            self.deleters,
            instance=s.instance,
            metrics=self.metrics,
            stop=self.abandon,
            wake=lambda: self.dispatcher.wake(),  # noqa: PLW0108 - made later
        )
        self.dispatcher = Dispatcher(
            self.flight,
            self.workers,
            self._ledger,
            max_workers=s.max_workers,
            scale_down=self._scale_down,
            metrics=self.metrics,
            stop=self.stopping,
            beat=beat("dispatcher"),
        )
        self._make_intake(templates)
        self.http = HttpServer(s.http_address, s.http_port, self.health, self.metrics)
        self.metrics.lease_seconds.set_function(self.lease.remaining)
        self.metrics.kube_rate_limit.set_function(self._pods.rate)
        self.health.condition("redis", self.lease.redis_health)
        self.health.condition("lease", self.lease.health)
        self.health.condition("watch", self.watcher.health)

    def _make_intake(self, templates: Templates) -> None:
        s, beat = self.settings, self._beat
        self.intake = Intake(
            self._ledger,
            self.flight,
            limits=policy.limits(s),
            templates=templates,
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
            beat=beat("listener"),
        )
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
            beat=beat("recovery"),
        )
        self.reconciler = Reconciler(
            self._ledger,
            self._stream,
            self.flight,
            self.watcher,
            self.lease,
            self.dispatcher,
            self.deleters,
            instance=s.instance,
            failed_pod_ttl=s.failed_pod_ttl_seconds,
            retention=s.retention_seconds,
            dead_retention=s.dead_retention_seconds,
            dead_stream=s.redis_dead_stream,
            now=self._pods.now,
            metrics=self.metrics,
            stop=self.stopping,
            beat=beat("reconciler"),
        )

    def _beat(self, name: str) -> Callable[[], None]:
        """A thread's sign of progress: the same beacon for all who ask by its name."""
        if name not in self._beacons:
            self._beacons[name] = self.health.beacon(name)
        return self._beacons[name].beat

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

    def _scale_down(self, arrival: Arrival) -> None:
        assert isinstance(arrival, tuple)
        event, epoch = arrival
        assert isinstance(event, ScaleDown)
        self.scale_downs.submit(event, epoch)

    # --- running

    def start(self) -> None:
        """Start every thread; each waits by itself for what it needs."""
        self.http.start()
        self.dispatcher.start()
        self.scale_downs.start()
        self.deleters.start()
        self._spawn("lease", self._hold_lease)
        self._spawn("watch", self.watcher.run)
        self._spawn("dispatcher", self.dispatcher.run)
        self._spawn("listener", lambda: self._once_ready("listener", self.listener.run))
        self._spawn("recovery", lambda: self._once_ready("recovery", self.recovery.run))
        self._spawn("reconciler", lambda: self._once_ready("reconciler", self.reconciler.run))

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
        beat = self._beat(name)
        for event in (self._registered, self.watcher.synced):
            while not event.wait(0.1):
                beat()
                if self.stopping.is_set():
                    return
        run()

    def _spawn(self, name: str, run: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                run()
            except Stopping:
                log.debug("thread_stopped", f"{name} stopped")
            except LiveTwin as error:
                log.error("live_twin", str(error))
                self._die(2)
            except RedisCluster as error:
                log.error("redis_cluster", str(error))
                self._die(2)
            except BaseException as error:  # noqa: BLE001 - a thread that dies takes the process down
                log.error("thread_died", f"the {name} thread died: {error}", exc=error)
                self._die(1)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

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
        self._wake_everybody()
        self._join("listener", "recovery", "dispatcher", "reconciler")
        self._hand_over_until(begun + self.settings.shutdown_grace_seconds)
        self.abandon.set()
        self.watcher.wake_all()
        self.dispatcher.join(HANDOVER_SECONDS)
        self._release_all()
        self._end_threads()
        flood.sweep(all_windows=True)

    def hurry(self) -> None:
        """A second signal: hand over everything at once."""
        log.warning("hurrying", "a second signal: running workers are left to the next replica")
        self.abandon.set()
        self.watcher.wake_all()

    def _wake_everybody(self) -> None:
        self.flight.changed()
        self.dispatcher.wake()
        self.recovery.wake()
        self.reconciler.wake()
        self.listener.unblock(self._stream)

    def _hand_over_until(self, deadline: float) -> None:
        """Events without a running worker go at once, the others as their workers end."""
        while True:
            self._release([r for r in self.flight.snapshot() if not r.active])
            if not self.dispatcher.busy or self.abandon.is_set() or time.monotonic() > deadline:
                return
            self.abandon.wait(LOOK_SECONDS)

    def _release(self, runs: list[Any]) -> None:
        if not runs:
            return
        try:
            for run in runs:
                self.dispatcher.unbegin(run)
            self._ledger.release([(r.event.event_id, r.epoch) for r in runs])
        except RedisError as error:
            flood.warning("handover_failed", f"events could not be handed over: {error}")
            return
        for run in runs:
            self.flight.drop(run)
            log.info("event_handed_over", "handed over to the next replica", event_id=run.event.event_id)

    def _release_all(self) -> None:
        if not self._registered.is_set():
            return  # nothing was ever owned, so a Redis that never answered need not be waited for
        deadline = time.monotonic() + HANDOVER_SECONDS
        while True:
            self._release(self.flight.snapshot())
            try:
                self._ledger.release(list(self.flight.downs.items()))
                if not self.flight.snapshot():
                    self._leave()
                    return
            except RedisError as error:
                flood.warning("handover_failed", f"events could not be handed over: {error}")
            if time.monotonic() > deadline:
                log.error("handover_failed", "Redis is away; others take over when the lease has run out")
                return
            self.finished.wait(0.2)

    def _leave(self) -> None:
        """The heartbeat ends before the name is given free, or it would enter it again."""
        self._lease_stop.set()
        self._join("lease")
        self.lease.leave()

    def _end_threads(self) -> None:
        self._lease_stop.set()
        self.watcher.interrupt()
        self.scale_downs.close()
        self.deleters.close()
        self.dispatcher.close()
        self._join("lease")
        # A request that a hanging API server never answers cannot be cut, and the watch thread only reads.
        self._join("watch", seconds=WATCH_END_SECONDS, harmless=True)
        self.http.stop()
        for stream in (self._stream, self._lease_stream, self._listen_stream):
            try:
                stream.close()
            except RedisError as error:
                log.debug("close_failed", str(error))

    def _join(self, *names: str, seconds: float = PARTS_SECONDS, harmless: bool = False) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.name in names:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive() and harmless:
                    log.debug("thread_left", f"the {thread.name} thread waits for an answer and is left")
                elif thread.is_alive():
                    log.error("thread_stuck", f"the {thread.name} thread would not stop")
                    self.exit_code = self.exit_code or 1
