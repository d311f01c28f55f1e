"""The controller's stages on a real Redis, without their threads: a test calls one step and looks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from ottoscaler.config import limits as policy
from ottoscaler.config.settings import Settings
from ottoscaler.controller.head_starts import HeadStarts
from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.intake import Intake
from ottoscaler.controller.leaving import Leaving
from ottoscaler.controller.listener import Listener
from ottoscaler.controller.offers import Offers
from ottoscaler.controller.reach import Reach
from ottoscaler.controller.reading import EventReader
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.controller.stream_reader import StreamReader
from ottoscaler.controller.takeover import Takeover
from ottoscaler.errors import KubernetesError
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.server_health import ServerHealth
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.surveys import Surveys
from ottoscaler.model import PodView, ScaleDown
from ottoscaler.pods.plan import PodPlan
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.threads import Control
from ottoscaler.workers.early_create import EarlyCreates
from ottoscaler.workers.head_start import HeadStart, OpenCreate
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun, Task
from tests.harness.fake_pods import FakePods
from tests.harness.pod_makers import LIVE
from tests.harness.redis_fixture import Book

STREAM = "otto:scale:events"


class Downs:
    """Stands for the stage of scale_downs, and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[ScaleDown] = []
        self.held_for = 0.0  # for how long what is asked for must have been here

    def submit(self, event: ScaleDown, epoch: int) -> bool:
        self.given.append(event)
        return True

    def owned(self, *, seconds: float = 0.0) -> list[tuple[str, int]]:
        self.held_for = seconds
        return [(event.event_id, 1) for event in self.given]

    def knows(self, event_id: str) -> bool:
        return any(event.event_id == event_id for event in self.given)


@dataclass
class Pods:
    """Stands for the watch and the deleter: what is to be seen, and what was asked to go."""

    views: dict[str, PodView] = field(default_factory=dict)
    elsewhere: dict[str, PodView] = field(default_factory=dict)  # other replicas' Pods
    list_error: KubernetesError | None = None  # for who looks at them
    lists: list[list[str]] = field(default_factory=list)  # the events whose Pods were looked for
    patience: list[float] = field(default_factory=list)  # for how long each look was to wait
    cached: bool = False  # whether the last list might come from the API server's cache
    namespace: str = ""  # where the watch shows Pods
    deleted: list[str] = field(default_factory=list)
    included: list[Any] = field(default_factory=list)  # owners whose Pods are to be seen
    awaited: set[str] = field(default_factory=set)  # for which a worker here waits
    woken: int = 0
    healthy: bool = True

    def view(self, name: str) -> PodView | None:
        return self.views.get(name)

    def look_at_events(
        self, event_ids: list[str], *, cached: bool, seconds: float = math.inf
    ) -> dict[str, PodView]:
        self.lists.append(list(event_ids))
        self.patience.append(seconds)
        self.cached = cached
        if self.list_error is not None:
            raise self.list_error
        return self.elsewhere

    def health(self) -> tuple[bool, str]:
        return self.healthy, ""

    def include(self, owners: Any) -> None:
        self.included.append(owners)

    def wake_all(self) -> None:
        self.woken += 1

    def asked_to_go(self, _reply: Any) -> None:
        """Nobody waits for them here."""

    def delete(self, name: str, _uid: str, gone: Callable[[], None], _about: Any, _told: Any = None) -> None:
        self.deleted.append(name)
        gone()

    def run(self, job: Callable[[], None]) -> None:
        job()

    def call(self, _event: str, job: Callable[[], None]) -> None:
        job()

    def claimed(self, name: str) -> bool:
        return name in self.awaited


class _EarlyCreates:
    """Stands for the creates that the listener sends, and notes what is asked of it."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def open(self, run: EventRun, head_start: HeadStart) -> None:
        self._stages.look_at_early("open")
        head_start.opened = OpenCreate(cast(PodPlan, None), self._stages.turns.open_turn(b"{}", "", ""))

    def complete(self, run: EventRun, head_start: HeadStart) -> None:
        self._stages.look_at_early("complete")


class Stages:
    """One replica's stages. ``granted`` is the lease's grant; 0 means that none holds."""

    def __init__(self, book: Book, name: str = "a", incarnation: str = "1", **settings: Any) -> None:
        self.book = book
        self.granted = 0
        self.early: list[str] = []  # what was done with early creates
        self.turns = FakePods()  # that opens them
        self.look_at_early: Callable[[str], None] = self.early.append
        self.peers = 0  # other replicas, as the lease would say
        self.settings = Settings(redis_url=book.url, redis_consumer=name, poll_seconds=0.01, **settings)
        self.ledger = book.ledger(name, incarnation)
        self.client = book.stream(name)
        self.metrics = Metrics()
        self.pods = Pods(namespace=self.settings.namespace)
        self.downs = Downs()
        self.server = ServerHealth()
        self.stop = book.stop
        self._make_state()
        self._make_dispatching()
        self._make_reading()

    def _make_state(self) -> None:
        s = self.settings
        self.in_hand = InHand(s.max_events_in_hand, s.max_events_waiting)
        self.registry = RunRegistry(s.max_workers, self.in_hand)
        self.inbox = Inbox()
        self.pause = Pause(lambda _: self.inbox.wake())
        self.surveys = Surveys(s.lease_seconds)
        self.reach = Reach(cast(PodWatcher, self.pods), self.server)
        self.leaving = Leaving(self.registry, cast(PodWatcher, self.pods), self.inbox)

    def _make_dispatching(self) -> None:
        self.scale_downs = ScaleDowns(
            self.ledger,
            self.in_hand,
            cast(PodWatcher, self.pods),
            cast(PodDeleter, self.pods),
            instance="test",
            metrics=self.metrics,
            stop=self.stop,
            wake=self.inbox.wake,
        )
        self.offers = Offers(
            self.registry,
            cast(ScaleDowns, self.downs),
            self.ledger,
            self.reach,
            self.pause,
            self.settings.lease_seconds,
        )

    def _make_reading(self) -> None:
        s = self.settings
        control = Control(self.stop, lambda: None)
        creates = cast(EarlyCreates, _EarlyCreates(self))
        self.intake = Intake(
            EventReader(policy.limits(s), LIVE, policy.pod_defaults(s), self.ledger.identity),
            self.ledger,
            self.registry,
            self.inbox,
            cast(ScaleDowns, self.downs),
            HeadStarts(self.registry, cast(Lease, _Grant(self)), self.inbox, creates),
            self.metrics,
            self.pods.include,
        )
        self.listener = Listener(
            StreamReader(self.client, s.poll_seconds, self.metrics),
            self.ledger,
            self.in_hand,
            self.intake,
            self.reach,
            self.pause,
            lambda: self.peers,
            control,
        )
        self.takeover = Takeover(
            self.surveys,
            self.ledger,
            self.registry,
            self.intake,
            self.leaving,
            self.reach,
            self.listener.reread_own,
            control,
        )

    def known(self) -> list[str]:
        """The events in this replica's hands."""
        return [run.event.event_id for run in self.registry.snapshot()]

    def handed_on(self) -> list[EventRun | Task]:
        """What the dispatcher finds in its inbox."""
        found: list[EventRun | Task | None] = []
        self.inbox.wake()
        while None not in found:
            found += self.inbox.take(1.0)
        return [one for one in found if one is not None]

    def admit(self) -> list[Task]:
        """What the dispatcher does with what was handed to it. Returns the workers that start at once."""
        early = []
        for one in self.handed_on():
            if isinstance(one, Task):
                early.append(one)
            else:
                self.registry.admit(one)
        return early

    def survey(self, now: float) -> None:
        """What the lease's thread does at a heartbeat, at a time that the test says."""
        survey = self.ledger.replicas.beat("{}", survey=True)
        assert survey is not None
        self.surveys.tell(survey, now, same_run=True)


class _Grant:
    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def granted(self) -> int:
        return self._stages.granted


def add(book: Book, kind: str = "scale_up", **fields: Any) -> str:
    """XADD an event, as a producer would; its id."""
    return str(book.redis.xadd(STREAM, {"type": kind, **fields}))


def dead(book: Book) -> list[dict[str, str]]:
    """The dead letters."""
    return [fields for _, fields in book.redis.xrange("otto:scale:dead")]
