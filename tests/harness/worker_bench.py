"""Workers on a real Redis and a fake Pod API: a test calls one step of an attempt, and looks."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import cast

from ottoscaler.kube.reflector import Reflector
from ottoscaler.kube.selection import WantedOwners
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.records import Entry
from ottoscaler.model import KeepLogs, PodView, ScaleUp
from ottoscaler.pods.plan import PodDefaults, plan
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.threads import Control
from ottoscaler.workers.attempt import Attempt, LogRules, WorkerDeps, WorkerLimits
from ottoscaler.workers.run import EventRun, Task
from tests.harness.fake_pods import FakePods
from tests.harness.pod_makers import BUILTIN, held_plan
from tests.harness.redis_fixture import Book

STREAM = "otto:scale:events"
INSTANCE = "test"
LOGS = LogRules(KeepLogs.FAILED, most_bytes=65536, total_bytes=64 << 20, retention=86400.0)


class HeldLease:
    """Stands for the lease: the test says which grant holds."""

    def __init__(self, installation: str) -> None:
        self.generation = 1
        self.checks_left = 1000  # it holds for so many checks more
        self.peers = 0  # other replicas
        self.held_installations = frozenset({installation})

    def grant(self, stop: threading.Event) -> int:
        return self.generation

    def granted(self) -> int:
        return self.generation

    def holds(self, generation: int) -> bool:
        self.checks_left -= 1
        return generation == self.generation and self.checks_left >= 0


class WorkerBench:
    """One replica's workers. ``pods`` is the API server, ``watcher`` sees it at each ``watch``."""

    def __init__(self, book: Book, *, pending_timeout: float = 900, retries: int = 0) -> None:
        self.book = book
        self.ledger = book.ledger()
        self.pods = FakePods()
        self.pause = Pause(lambda _: None)
        self.lease = HeldLease(self.ledger.installation)
        self.stopping, self.abandon = threading.Event(), threading.Event()
        self.unclaimed: list[PodView] = []
        self.arrived: list[PodView] = []
        self.watcher = PodWatcher(
            self.pods,
            WantedOwners(INSTANCE, lambda: self.ledger.identity.incarnations),
            unclaimed=self.unclaimed.append,
            arrived=self.arrived.append,
        )
        self._reflector = Reflector(
            self.pods,
            self.watcher,
            poll_seconds=1,
            restarted=lambda: None,
            control=Control(self.abandon, lambda: None),
        )
        self.deps = WorkerDeps(
            ledger=self.ledger,
            pods=self.pods,
            watcher=self.watcher,
            lease=cast(Lease, self.lease),
            pause=self.pause,
            metrics=Metrics(),
            limits=WorkerLimits(
                INSTANCE, self.pods.namespace, pending_timeout, 3600, retries, 0, 0, 30.0, LOGS
            ),
            retrier=Retrier(self.abandon),
            start_retrier=Retrier(self.stopping),
        )

    def set_logs(self, keep: KeepLogs) -> None:
        """Whose logs are kept, of attempts from now on."""
        self.deps = replace(self.deps, limits=replace(self.deps.limits, logs=replace(LOGS, keep=keep)))

    def take(self, pod_count: int = 1) -> EventRun:
        """Own a new scale_up."""
        fields = {"type": "scale_up", "pod_count": str(pod_count)}
        event_id = str(self.book.redis.xadd(STREAM, fields))
        event = ScaleUp(event_id, event_id, pod_count)
        pairs = tuple((k.encode(), v.encode()) for k, v in fields.items())
        record = self.ledger.take(event, Entry(event_id, pairs)).record
        assert record is not None
        me = self.ledger.identity
        defaults = PodDefaults(
            INSTANCE, me.installation, "workers", "busybox:latest", 900, 3600, 2, me.incarnation
        )
        return EventRun(event, plan(event, BUILTIN.get(event.profile), defaults), record, held_plan)

    def attempt(
        self, run: EventRun, index: int = 0, *, number: int = 0, adopt: bool = False, former: str = ""
    ) -> Attempt:
        """An attempt, as a pool thread has it in hand."""
        task = Task(run, index, number, adopt=adopt, former=former)
        return Attempt(self.deps, task, self.watcher.subscribe(self.deps.name(task)))

    def intend_to_cancel(self, run: EventRun) -> None:
        """Let the ledger have an intent to cancel the run's first worker."""
        key = f"{self.ledger.redis.prefix}event:{run.event.event_id}"
        self.book.redis.hset(key, "c:0", "1:9-0:cancelled by 9-0")

    def watch(self) -> None:
        """Let the watch see all that has happened."""
        self._reflector.step(0.0)

    def results(self) -> list[tuple[str, str]]:
        """Status and reason of each worker's entry."""
        return [(entry["status"], entry["reason"]) for entry in self.book.results("worker")]
