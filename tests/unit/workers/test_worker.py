"""What a worker's thread may do before Redis has answered that its event is taken: nothing that leaves."""

from __future__ import annotations

import os
import threading
from typing import Any, cast

import pytest

from ottoscaler.errors import Stopping
from ottoscaler.kube.server_health import ServerHealth
from ottoscaler.kube.subscription import Subscription
from ottoscaler.ledger.records import Record
from ottoscaler.retry import Retrier
from ottoscaler.workers.attempt import Ended, Next, WorkerDeps, WorkerLimits
from ottoscaler.workers.head_start import LASTS_SECONDS, HeadStart, SentCreate
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.worker import Workers
from tests.harness.fake_pods import FakePods
from tests.harness.pod_makers import planned, scale_up
from tests.harness.worker_bench import LOGS


class Outside:
    """Stands for Kubernetes, Redis, the lease and the watch, and notes what leaves the process."""

    namespace = "default"

    def __init__(self) -> None:
        self.left: list[str] = []
        self.policy = -1  # of the kernel, when the create began
        self.made = 0  # creates that were made ready
        self.health = ServerHealth()

    def subscribe(self, name: str) -> Subscription:
        return Subscription(name)

    def unsubscribe(self, _subscription: Subscription) -> None:
        """Nobody watches here."""

    def create_turn(self, _body: bytes, _event: str, _profile: str) -> Any:
        self.made += 1

    def granted(self) -> int:
        return 1

    def grant(self, _stop: threading.Event) -> int:
        self.policy = os.sched_getscheduler(0)
        raise Stopping("the process stops")

    def unstart(self, _worker: Any, _epoch: int) -> Any:
        self.left.append("unstart")
        return type("Reply", (), {"word": None})


def work(outside: Outside, head_start: HeadStart, *, dropped: bool = False) -> Ended:
    limits = WorkerLimits("test", "default", 900, 3600, 2, 0, 0, 30, LOGS)
    retrier = Retrier(threading.Event())
    part = cast(Any, outside)
    deps = WorkerDeps(part, part, part, part, part, part, limits, retrier, retrier)
    event = scale_up(pod_count=1)
    record, pod_plan = Record(event.event_id, 1, 0, b"[]", count=1), planned(event)
    run = EventRun(event, pod_plan, record, lambda _: pod_plan)
    run.dropped = dropped
    return Workers(deps).work(Task(run, 0, 0, head_start=head_start))


def test_worker_whose_event_was_dropped_before_its_thread_began_gives_its_sent_create_up() -> None:
    pods = FakePods()
    turn = pods.open_turn(planned(scale_up()).body(0, 0), "1-0", "default")
    assert turn.complete()
    sent = SentCreate(planned(scale_up()), turn, Subscription("a"), 0.1)
    assert work(Outside(), HeadStart(1, 0.0, sent=sent), dropped=True) == Ended(Next.DROPPED)
    assert pods.turns_left == 1


def test_stop_after_the_event_was_taken_takes_its_begin_back() -> None:
    outside, head_start = Outside(), HeadStart(1, 0.0)
    with pytest.raises(Stopping):
        work(outside, head_start)
    assert outside.left == ["unstart"]


def test_head_start_counts_only_under_its_grant_and_for_a_while() -> None:
    """A replica that froze has another grant when it goes on, or that time is over: it asks the ledger."""
    head_start = HeadStart(7, 10.0)
    assert head_start.counts(7, 10.0 + LASTS_SECONDS)
    assert not head_start.counts(8, 10.0)
    assert not head_start.counts(7, 10.1 + LASTS_SECONDS)
