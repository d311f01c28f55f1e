"""The only place where the parts are made and joined. Each is made after the parts that it needs.

Redis stream                                                             Kubernetes
    |                                                                        ^
 listener --> intake --> inbox --> dispatcher --> slot --> worker (pool) ----+ create, delete
    |          |   |                   |                     |   ^           |
    |          |   +-> scale-down   registry               ledger |        watcher (one watch)
    |        ledger <-- lease                                    |           |
    |            ^                                               |           |
    +--------- takeover: what the dead, full and stopped left    +- subscription +--> reconciler
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ottoscaler.client.sentences import sentence
from ottoscaler.config.limits import limits, pod_defaults
from ottoscaler.config.settings import Settings
from ottoscaler.controller.adoptees import Adoptees, EndedPods
from ottoscaler.controller.arrivals import Arrivals
from ottoscaler.controller.dispatcher import Dispatcher
from ottoscaler.controller.handover import Handover
from ottoscaler.controller.head_starts import HeadStarts
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.intake import Intake
from ottoscaler.controller.last_calls import LastCalls
from ottoscaler.controller.leaving import Leaving
from ottoscaler.controller.listener import Listener
from ottoscaler.controller.offers import Offers
from ottoscaler.controller.reach import Reach
from ottoscaler.controller.reading import EventReader
from ottoscaler.controller.reconciler import Reconciler
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.controller.shutdown import Phases, Shutdown
from ottoscaler.controller.stream_reader import StreamReader
from ottoscaler.controller.sweep import Sweep
from ottoscaler.controller.takeover import Takeover
from ottoscaler.controller.template_watch import TemplateWatch
from ottoscaler.controller.unwatched import Unwatched
from ottoscaler.controller.visible_pods import VisiblePods
from ottoscaler.controller.waiting_workers import WaitingWorkers
from ottoscaler.kube.client import connect
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.reflector import Reflector
from ottoscaler.kube.selection import WantedOwners
from ottoscaler.kube.throttle import Throttle
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.identity import ReplicaIdentity, kept_installation
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.redis_connections import sentinel_clients
from ottoscaler.ledger.sentinel_watch import SentinelWatch
from ottoscaler.ledger.surveys import EVERYBODY, Surveys
from ottoscaler.ledger.unbegun import UnbegunEnds
from ottoscaler.model import KeepLogs, Phase, PodView
from ottoscaler.pods.live_templates import LiveTemplates
from ottoscaler.pods.templates import TemplateDirectory, Templates
from ottoscaler.retry import Retrier
from ottoscaler.status.page import Page
from ottoscaler.telemetry.health import Health
from ottoscaler.telemetry.http import HttpServer
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.telemetry.recent import Recent
from ottoscaler.telemetry.status_page import StatusPage
from ottoscaler.threads import Control, Mailbox, Threads
from ottoscaler.workers.attempt import LogRules, WorkerDeps, WorkerLimits
from ottoscaler.workers.early_create import EarlyCreates
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.replica_description import ReplicaDescription
from ottoscaler.workers.worker import Workers

READ_ANSWER_SECONDS = 3.0  # beyond the time for which the listener's read may block
UNCLAIMED_AT_ONCE = 10_000  # Pods remembered between two of the reconciler's steps; the sweep finds the rest


class Parts:
    """Makes every part of one replica and starts none. ``App`` starts and stops them."""

    def __init__(self, settings: Settings, templates: Templates, phases: Phases, threads: Threads) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.health = Health()
        self._phases = phases
        self._threads = threads
        self._make_adapters()
        self._make_state()
        self._make_workers()
        self._make_templates(templates)
        self._make_dispatcher()
        self._make_listener()
        self._make_takeover()
        self._make_reconciler()
        self._make_shutdown()
        self._make_signals()

    def _make_adapters(self) -> None:
        s = self.settings
        self._redis = RedisClient(s)
        self._lease_redis = RedisClient(s, self._redis.endpoint)
        self._listener_redis = RedisClient(
            s, self._redis.endpoint, answer_seconds=s.poll_seconds + READ_ANSWER_SECONDS, bounded_entries=True
        )
        self._page_redis = RedisClient(s, self._redis.endpoint)
        self.redis_clients = (self._redis, self._lease_redis, self._listener_redis, self._page_redis)
        self.sentinel_watch: SentinelWatch | None = None
        if sentinels := sentinel_clients(s):
            control = self._control("sentinels", self._phases.ended)
            self.sentinel_watch = SentinelWatch(sentinels, self._redis.endpoint, control)
        self._reader = StreamReader(self._listener_redis, s.poll_seconds, self.metrics)
        self._pods = connect(
            s.kubeconfig,
            s.namespace,
            Throttle(s.kube_qps, s.kube_burst, s.kube_most_qps),
            self._observe,
            s.kube_create_seconds,
            self.metrics.watch_bytes.inc,
        )

    def _observe(self, verb: str, code: int, seconds: float) -> None:
        self.metrics.kube_request.observe(seconds, verb, str(code) if code else "none")

    def _make_state(self) -> None:
        """Make what every stage uses: the runs, the ledger, the lease and the one watch."""
        s = self.settings
        self._in_hand = InHand(s.max_events_in_hand, s.max_events_waiting)
        self.registry = RunRegistry(s.max_workers, self._in_hand)
        self._inbox = Inbox()
        self._pause = Pause(self._pause_changed)
        self._surveys = Surveys(s.lease_seconds)
        self._unclaimed: Mailbox[PodView] = Mailbox(UNCLAIMED_AT_ONCE)
        self._arrivals = Arrivals(self.registry, self._unclaimed.wake)
        identity = ReplicaIdentity(s.redis_consumer, pod_uid=s.pod_uid)
        ends = UnbegunEnds(self.metrics)
        self._ledger = Ledger(self._redis, identity, self.registry.lose, ends.tell)
        self.watcher = PodWatcher(
            self._pods,
            WantedOwners(s.instance, lambda: identity.incarnations),
            unclaimed=EndedPods(self.registry, self._unclaimed).note,
            arrived=self._arrivals.note,
        )
        self.reflector = Reflector(
            self._pods,
            self.watcher,
            poll_seconds=s.poll_seconds,
            restarted=self.metrics.watch_restarts.inc,
            control=self._control("watch", self._phases.ended),
            explain=self._pods.explain,
        )
        self._reach = Reach(self.watcher, self._pods.health)
        self._leaving = Leaving(self.registry, self.watcher, self._inbox)
        self.lease = Lease(
            Ledger(self._lease_redis, identity),
            self._surveys,
            seconds=s.lease_seconds,
            description=ReplicaDescription(self._describe, Recent(self.metrics), self.watcher.claimed_views),
            lost=self._leaving.leave_all,
            pause=self._pause,
            control=self._control("lease", self._phases.ended),
            explain=partial(sentence, s),
        )

    def _pause_changed(self, on: bool) -> None:
        """End an open read at once: while it blocks, it would still take new events."""
        if on:
            self._reader.unblock(self._lease_redis)
        self._inbox.wake()

    def _control(self, name: str, stop: threading.Event | None = None) -> Control:
        return Control(stop or self._phases.stopping, self.health.beacon(name).progress)

    def _describe(self) -> dict[str, Any]:
        """What a heartbeat tells of this replica, for ``status``."""
        s = self.settings
        return {
            "workers": self.registry.busy,
            "workers_max": s.max_workers,
            "in_hand": self._in_hand.count(),
            "lease_seconds": s.lease_seconds,
            "stopping": self._phases.stopping.is_set(),
            "watches": EVERYBODY if self.watcher.owners is None else " ".join(sorted(self.watcher.owners)),
            "at": time.time(),
            "page_address": s.http_address,
            "page_port": s.http_port if s.status_page != "off" else 0,
        }

    def _make_workers(self) -> None:
        s, phases = self.settings, self._phases
        deps = WorkerDeps(
            ledger=self._ledger,
            pods=self._pods,
            watcher=self.watcher,
            lease=self.lease,
            pause=self._pause,
            metrics=self.metrics,
            limits=WorkerLimits(
                instance=s.instance,
                namespace=s.namespace,
                pending_timeout=s.pending_timeout_seconds,
                default_timeout=s.worker_timeout_seconds,
                default_retries=s.max_retries,
                failed_pod_ttl=s.failed_pod_ttl_seconds,
                succeeded_pod_ttl=s.succeeded_pod_ttl_seconds,
                pull_grace=s.image_pull_grace_seconds,
                logs=LogRules(KeepLogs(s.logs), s.log_bytes, s.logs_total_bytes, s.retention_seconds),
            ),
            retrier=Retrier(phases.abandon),
            start_retrier=Retrier(phases.stopping),
        )
        self._workers = Workers(deps)
        self._early_creates = EarlyCreates(deps)
        self.deleter = PodDeleter(self._pods, phases.abandon)

    def _make_templates(self, first: Templates) -> None:
        """Make the templates of Pods, and the thread that watches their files if there are any."""
        s = self.settings
        self.template_watch: TemplateWatch | None = None
        directory = TemplateDirectory(s.templates_dir or "", s.agent_image, s.namespace)
        self._templates = LiveTemplates(directory, first)
        if directory.path:
            self.template_watch = TemplateWatch(self._templates, self._control("templates"))

    def _make_dispatcher(self) -> None:
        """Make the last stages that an event passes: slots for its workers, or the choice of victims."""
        s = self.settings
        self.scale_downs = ScaleDowns(
            self._ledger,
            self._in_hand,
            self.watcher,
            self.deleter,
            instance=s.instance,
            metrics=self.metrics,
            stop=self._phases.abandon,
            wake=self._inbox.wake,
        )
        self.dispatcher = Dispatcher(
            self.registry,
            self._inbox,
            self._workers,
            Offers(self.registry, self.scale_downs, self._ledger, self._reach, self._pause, s.lease_seconds),
            self._reach,
            self._pause,
            self._leaving,
            self._control("dispatcher"),
        )

    def _make_listener(self) -> None:
        """Make the first stages: the reads of the stream, and the intake of what was read."""
        s = self.settings
        self._intake = Intake(
            EventReader(limits(s), self._templates, pod_defaults(s), self._ledger.identity),
            self._ledger,
            self.registry,
            self._inbox,
            self.scale_downs,
            HeadStarts(self.registry, self.lease, self._inbox, self._early_creates),
            self.metrics,
            self.watcher.include,
        )
        self.listener = Listener(
            self._reader,
            self._ledger,
            self._in_hand,
            self._intake,
            self._reach,
            self._pause,
            lambda: self.lease.peers,
            self._control("listener"),
        )

    def _make_takeover(self) -> None:
        """Make the part that takes over events of replicas that are dead, full or stopped."""
        self.takeover = Takeover(
            self._surveys,
            self._ledger,
            self.registry,
            self._intake,
            self._leaving,
            self._reach,
            self.listener.reread_own,
            self._control("takeover"),
        )

    def _make_reconciler(self) -> None:
        """Make the part for adopted workers without a slot, leftover Pods and Redis's upkeep."""
        s = self.settings
        adoptees = Adoptees(self.registry, self._workers, self._leaving, self._inbox)
        self.reconciler = Reconciler(
            self._unclaimed,
            self._arrivals,
            WaitingWorkers(
                self._ledger,
                self.registry,
                self.watcher,
                adoptees,
                self.deleter,
                self._pause,
                self._unclaimed,
            ),
            VisiblePods(self._ledger, self.watcher, self._pods, self.deleter, instance=s.instance),
            # What this replica did not create, another one's worker may wait for.
            self._sweep_of(lambda view: view.owner != self._ledger.identity.incarnation, self.deleter),
            Unwatched(
                self._ledger,
                self._pods,
                self.watcher,
                self.deleter,
                self._surveys,
                self._sweep_of,
                instance=s.instance,
            ),
            Housekeeping(
                self._ledger,
                self.metrics,
                retention=s.retention_seconds,
                dead_retention=s.dead_retention_seconds,
                logs_total_bytes=s.logs_total_bytes,
            ),
            self._control("reconciler"),
        )

    def _make_shutdown(self) -> None:
        """Make the part that stops the others in order and hands the events over."""
        self.shutdown = Shutdown(
            self._phases,
            self._threads,
            (self._inbox.wake, self._surveys.wake, self._unclaimed.wake),
            partial(self._reader.unblock, self._redis),
            Handover(
                self._ledger,
                self.registry,
                self.scale_downs,
                self.watcher,
                self._phases.abandon,
                LastCalls(lambda: self.lease.redis_health()[0], lambda: kept_installation(self._redis)),
                self.takeover.rewrite_lost,
            ),
            self.dispatcher,
            self.lease,
            self.watcher,
        )

    def _sweep_of(self, shared: Callable[[PodView], bool], deleter: PodDeleter) -> Sweep:
        s = self.settings
        return Sweep(
            self._ledger,
            self.watcher.claimed,
            shared,
            self.lease,
            deleter,
            self.metrics,
            instance=s.instance,
            ttl={Phase.FAILED: s.failed_pod_ttl_seconds, Phase.SUCCEEDED: s.succeeded_pod_ttl_seconds},
            now=time.monotonic,
        )

    def _make_signals(self) -> None:
        s = self.settings
        self.http = HttpServer(
            s.http_address,
            s.http_port,
            self.health,
            self.metrics,
            StatusPage(s.status_page, Page(self._page_redis, s.instance)),
        )
        self.metrics.workers_max.set(s.max_workers)
        self.metrics.template_problems.set_function(lambda: len(self._templates.current.problems))
        self.metrics.workers.set_function(lambda: self.registry.busy)
        self.metrics.events_in_hand.set_function(self._in_hand.count)
        self.metrics.paused.set_function(lambda: float(self._pause.on))
        self.metrics.lease_seconds.set_function(self.lease.remaining)
        self.metrics.kube_rate_limit.set_function(self._pods.rate)
        self.health.condition("redis", self.lease.redis_health)
        self.health.condition("lease", self.lease.health)
        self.health.condition("watch", self.watcher.health)
