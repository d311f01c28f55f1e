"""The sweep and the waiting workers, step by step: real Redis, Pods as the watch shows them, no threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ottoscaler.controller.sweep import SIGHTS_BESIDE_OTHERS, USUAL_SIGHTS, Sweep
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.model import Phase, PodView, ScaleUp, WorkerId
from ottoscaler.pods.view import parse_pod
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.ledger_steps import DONE
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]

PREFIX = "otto:scale:events:ottoscaler:"


@dataclass
class Stage:
    """A sweep, what it may see, and what it asks to be deleted."""

    ledger: Ledger
    views: list[PodView] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    peers: int = 0
    ttl: float = 0.0
    now: float = 1000.0
    metrics: Metrics = field(default_factory=Metrics)

    def sweep(self) -> Sweep:
        stage = self

        class Deletes:
            def delete(self, name: str, uid: str, gone: Callable[[], None], about: Any) -> None:
                stage.deleted.append(name)

        lease = SimpleNamespace(held_installations={"inst", "older"}, peers=self.peers)
        return Sweep(
            self.ledger,
            lambda name: name in stage.claimed,
            lambda view: not view.owner,
            cast(Any, lease),
            cast(Any, Deletes()),
            self.metrics,
            instance="one",
            ttl={Phase.FAILED: self.ttl},
            now=lambda: stage.now,
        )


@pytest.fixture
def stage(book: Book) -> Stage:
    return Stage(book.ledger())


def pod(worker: WorkerId, uid: str = "u", phase: Phase = Phase.SUCCEEDED, **other: Any) -> PodView:
    facts: dict[str, Any] = {"instance": "one", "installation": "inst", "exit_code": 0, "task_id": "t"}
    return parse_pod({})._replace(name=f"pod-{uid}", uid=uid, worker=worker, phase=phase, **facts | other)


def begun(stage: Stage, book: Book, count: int = 1, uid: str = "u") -> WorkerId:
    """An open event whose first worker has begun."""
    event_id = str(book.redis.xadd("otto:scale:events", {"type": "scale_up", "pod_count": count}))
    event = ScaleUp(event_id, "t", count)
    stage.ledger.take(event, Entry(event_id, ((b"type", b"scale_up"),)))
    worker = WorkerId(event_id, 0, 0)
    stage.ledger.start(worker, 1)
    stage.ledger.created(worker, 1, uid)
    return worker


def test_pod_whose_result_stands_is_deleted_when_it_was_seen_twice(stage: Stage, book: Book) -> None:
    worker = begun(stage, book)
    stage.views = [pod(worker)]
    sweep = stage.sweep()
    sweep.step(stage.views)
    sweep.step(stage.views)
    assert stage.deleted == [], "its owner looks after it"
    stage.ledger.record(worker, 1, "u", DONE)
    for _ in range(USUAL_SIGHTS - 1):
        sweep.step(stage.views)
    assert stage.deleted == []
    sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == ["pod-u"], "its delete is on its way"


def test_beside_other_replicas_a_leftover_is_given_more_time(stage: Stage, book: Book) -> None:
    stage.peers = 1
    worker = begun(stage, book)
    stage.ledger.record(worker, 1, "u", DONE)
    stage.views = [pod(worker)]
    sweep = stage.sweep()
    for _ in range(SIGHTS_BESIDE_OTHERS - 1):
        sweep.step(stage.views)
    assert stage.deleted == []
    sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]


def test_beside_other_replicas_a_leftover_that_is_nobody_elses_is_deleted_as_soon(
    stage: Stage, book: Book
) -> None:
    stage.peers = 1
    worker = begun(stage, book)
    stage.ledger.record(worker, 1, "u", DONE)
    stage.views = [pod(worker, owner="1")]
    sweep = stage.sweep()
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]


def test_late_pod_of_an_event_that_another_replica_owns_is_left_to_that_one(stage: Stage, book: Book) -> None:
    stage.sweep().look_at_arrivals([late_pod_of_another(stage, book, "somebody's")])
    assert stage.deleted == []


def test_late_pod_goes_by_whom_it_froze_with_too(stage: Stage, book: Book) -> None:
    """Its create went out when this replica was thawed, hours after others had stopped to expect it."""
    stage.sweep().look_at_arrivals([late_pod_of_another(stage, book, "1")])
    assert stage.deleted == ["pod-late"]


def test_late_pod_of_an_event_that_is_ours_goes_whoever_created_it(stage: Stage, book: Book) -> None:
    """Its creator froze, and this replica has taken the event over and skipped the attempt."""
    worker = begun(stage, book, uid="")
    stage.ledger.skip(worker, 1)
    stage.sweep().look_at_arrivals([pod(worker, "late", Phase.PENDING, owner="somebody's")])
    assert stage.deleted == ["pod-late"]


def test_late_pod_of_an_event_that_has_ended_goes_though_another_replica_owned_it(
    stage: Stage, book: Book
) -> None:
    worker = begun(stage, book)
    book.redis.hset(f"{PREFIX}event:{worker.event_id}", "owner", book.ledger("b", "2").owner)
    book.ledger("b", "2").record(worker, 1, "u", DONE)
    stage.sweep().look_at_arrivals([pod(worker, "late", Phase.PENDING, owner="somebody's")])
    assert stage.deleted == ["pod-late"]


def test_pod_that_has_just_arrived_and_whose_attempt_goes_on_is_left_alone(stage: Stage, book: Book) -> None:
    noted, not_noted = begun(stage, book), begun(stage, book, uid="")
    stage.sweep().look_at_arrivals([pod(noted), pod(not_noted, "v", Phase.RUNNING)])
    assert stage.deleted == []


def late_pod_of_another(stage: Stage, book: Book, owner: str) -> PodView:
    """A Pod of that owner whose attempt the event's present owner, another replica, has skipped."""
    worker = begun(stage, book, uid="")
    other = book.ledger("b", "2")
    book.redis.hset(f"{PREFIX}event:{worker.event_id}", "owner", other.owner)
    other.skip(worker, 1)
    return pod(worker, "late", Phase.PENDING, owner=owner)


def test_second_pod_of_an_attempt_is_deleted_on_sight(
    stage: Stage, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    stage.views = [pod(begun(stage, book), "late", Phase.RUNNING)]
    stage.sweep().step(stage.views)
    assert stage.deleted == ["pod-late"]
    assert "late: this attempt already has another Pod" in caplog.text


def test_pod_of_an_attempt_that_a_failover_has_lost_is_left_to_its_events_owner(
    stage: Stage, book: Book
) -> None:
    worker = begun(stage, book)
    stage.views = [pod(replace(worker, attempt=1), "later", Phase.RUNNING)]
    sweep = stage.sweep()
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == []


@pytest.mark.parametrize(
    "attempt", [0, 1], ids=["the recorded attempt", "a later one, which a failover has lost"]
)
def test_pod_of_a_worker_whose_result_stands_goes_though_its_event_goes_on(
    stage: Stage, book: Book, attempt: int
) -> None:
    worker = begun(stage, book, count=2)
    stage.ledger.record(worker, 1, "u", DONE)
    stage.views = [pod(replace(worker, attempt=attempt), phase=Phase.RUNNING)]
    sweep = stage.sweep()
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]


def test_pod_of_an_attempt_that_was_retried_goes_though_it_runs(
    stage: Stage, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    worker = begun(stage, book)
    stage.ledger.retry(worker, 1, "u", 0.0, "")
    stage.views = [pod(worker, phase=Phase.RUNNING)]
    sweep = stage.sweep()
    sweep.step(stage.views)
    assert stage.deleted == []
    caplog.set_level("INFO")
    sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]
    assert "deleted: two attempts must not run beside each other" in caplog.text


def test_failed_pod_is_kept_for_its_time_whatever_its_nodes_clock_says(stage: Stage, book: Book) -> None:
    stage.ttl = 3600.0
    worker = begun(stage, book)
    stage.ledger.record(worker, 1, "u", DONE)
    stage.views = [
        pod(worker, "ahead", Phase.FAILED, finished_at="2099-01-01T00:16:30Z"),
        pod(worker, "behind", Phase.FAILED, finished_at="1969-12-31T00:00:00Z"),
    ]
    sweep = stage.sweep()
    for stage.now in (1000.0, 4599.0):
        sweep.step(stage.views)
    assert stage.deleted == []
    for stage.now in (4600.0, 4603.0):
        sweep.step(stage.views)
    assert stage.deleted == ["pod-ahead", "pod-behind"]


def test_failed_pod_is_kept_for_its_time_though_its_events_retention_time_is_over(
    stage: Stage, book: Book
) -> None:
    stage.ttl = 3600.0
    worker = begun(stage, book)
    book.stream("a").read(count=1)
    stage.ledger.record(worker, 1, "u", DONE)
    stage.views = [pod(worker, phase=Phase.FAILED)]
    sweep = stage.sweep()
    sweep.step(stage.views)
    assert stage.ledger.upkeep.expire(0, 10, 0).ledgers == 1
    stage.now += 3599
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == []
    stage.now += 2
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]
    assert len(book.results("worker")) == 1, "it was told, and is not told again"


def test_pod_that_redis_does_not_know_is_reported_once_when_it_has_ended(stage: Stage, book: Book) -> None:
    lost = WorkerId("9999999999999-0", 3, 0)
    stage.views = [pod(lost, phase=Phase.RUNNING)]
    sweep = stage.sweep()
    for _ in range(3):
        sweep.step(stage.views)
    assert (stage.deleted, book.results("worker")) == ([], [])
    stage.views = [pod(lost)]
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]
    assert [(w["event_id"], w["index"], w["status"]) for w in book.results("worker")] == [
        (lost.event_id, "3", "succeeded")
    ]
    stage.sweep().step(stage.views)
    assert len(book.results("worker")) == 1
    assert dict(stage.metrics.workers_total.by("status"))["succeeded"] == 1


def test_pod_that_another_replica_has_reported_is_deleted_and_not_counted_twice(
    stage: Stage, book: Book
) -> None:
    stage.views = [pod(WorkerId("9999999999999-0", 3, 0))]
    sweep = stage.sweep()
    sweep.step(stage.views)
    other = replace(stage, ledger=book.ledger("b", "2"), deleted=[], metrics=Metrics()).sweep()
    for _ in range(USUAL_SIGHTS):
        other.step(stage.views)
    sweep.step(stage.views)
    assert stage.deleted == ["pod-u"]
    assert dict(stage.metrics.workers_total.by("status"))["succeeded"] == 0


def test_pod_from_before_redis_was_emptied_is_told_though_its_event_is_below_the_new_mark(
    stage: Stage, book: Book
) -> None:
    """The mark tells nothing of events of another installation."""
    book.redis.set(f"{PREFIX}low-water", "9999999999999-5")
    earlier = WorkerId("9999999999999-0", 3, 0)
    stage.views = [pod(earlier, "older", installation="older"), pod(earlier, "ours")]
    sweep = stage.sweep()
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert sorted(stage.deleted) == ["pod-older", "pod-ours"]
    assert len(book.results("worker")) == 1


def test_nothing_becomes_of_a_pod_whose_ledger_holds_nonsense_and_all_others_are_judged(
    stage: Stage, book: Book
) -> None:
    """Before, the thread that sweeps ended, and the process with it."""
    broken, ended = begun(stage, book), begun(stage, book, uid="w")
    stage.ledger.record(ended, 1, "w", DONE)
    book.redis.hset(f"{PREFIX}event:{broken.event_id}", "i:0", "junk")
    stage.views = [pod(broken), pod(ended, "w")]
    sweep = stage.sweep()
    for _ in range(USUAL_SIGHTS):
        sweep.step(stage.views)
    assert stage.deleted == ["pod-w"]


def test_pods_of_others_and_those_that_a_worker_waits_for_are_never_touched(stage: Stage, book: Book) -> None:
    worker = begun(stage, book)
    stage.ledger.record(worker, 1, "u", DONE)
    stage.claimed = {"pod-waited"}
    stage.views = [
        pod(worker, "waited"),
        pod(worker, "strange", installation="another"),
        pod(worker, "neighbour", instance="two"),
        pod(worker, "going", deleting=True),
        pod(worker, "unlabelled")._replace(worker=None),
    ]
    sweep = stage.sweep()
    for _ in range(3):
        sweep.step(stage.views)
    sweep.look_at_arrivals(stage.views)
    assert stage.deleted == []
