"""A replica that Kubernetes cannot be reached from lets go of what has no Pod yet, and takes nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ottoscaler.controller.offers import OFFER_AFTER_SECONDS
from ottoscaler.controller.reach import WATCH_MAY_FAIL_SECONDS
from ottoscaler.kube.server_health import ServerSign
from tests.harness.cluster_state import ledger, local_only
from tests.harness.kubeconfigs import leading_to, server_of
from tests.harness.proxy import Proxy
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import SHORT_LISTS, SHORT_WATCHES
from tests.harness.stages import STREAM, Stages, add
from tests.harness.waiting import wait_for

__all__ = ["book", "redis_server"]

LEASE = 3.0


@contextmanager
def behind_proxy(place: Sandbox) -> Iterator[tuple[Proxy, str]]:
    """A proxy between one replica and the API server, and the kubeconfig that leads through it."""
    address, _, port = server_of(place).rpartition(":")
    proxy = Proxy(int(port))
    try:
        yield proxy, leading_to(place, f"{address}:{proxy.port}")
    finally:
        proxy.close()


@local_only
@pytest.mark.parametrize("how", ["refused", "hanging"])
def test_events_of_a_replica_that_is_cut_off_end_at_the_others(place: Sandbox, how: str) -> None:
    with behind_proxy(place) as (proxy, kubeconfig):
        place.bounds.update(SHORT_WATCHES | SHORT_LISTS)  # a call that hangs is noticed when it times out
        cut = place.start("cut", KUBECONFIG=kubeconfig, OTTO_KUBE_CREATE_SECONDS=2)
        place.bounds.clear()
        for name in ("second", "third"):
            place.start(name)
        if how == "refused":
            proxy.refuse()
            proxy.cut_now()
        else:
            proxy.hang()
        events = [place.scale_up() for _ in range(20)]
        allowance = 2 * LEASE if how == "refused" else 45.0
        for event_id in events:
            assert place.wait_event(event_id, allowance)["status"] == "succeeded"
        assert cut.get("/healthz")[0] == 200
        proxy.flow()
        proxy.accept() if how == "refused" else None
        wait_for(cut.ready, "it works again", 20)


@local_only
def test_what_a_cut_off_replica_had_taken_before_is_let_go(place: Sandbox) -> None:
    """Its create was refused: begun in the ledger, without a Pod."""
    with behind_proxy(place) as (proxy, kubeconfig):
        place.start("cut", KUBECONFIG=kubeconfig, OTTO_MAX_WORKERS=2)
        proxy.refuse()
        proxy.cut_now()
        events = [place.scale_up(2) for _ in range(3)]
        place.start("second")
        for event_id in events:
            assert place.wait_event(event_id, 4 * LEASE)["status"] == "succeeded"
            assert [w["attempt"] for w in place.workers(event_id)] == ["0", "0"]


@local_only
def test_where_every_replica_is_cut_off_work_goes_on_when_one_is_not(place: Sandbox) -> None:
    assert place.cluster is not None
    for name in ("first", "second"):
        place.start(name)
    running = place.scale_up(1, run_seconds=2.0)
    place.wait_workers(running, "Running", 1)
    place.cluster.faults.go_away("refused")
    waits = place.scale_up(2)
    wait_for(lambda: not ledger(place, waits) or ledger(place, waits)["owner"] == "", "nobody holds it", 10)
    place.cluster.faults.come_back()
    for event_id in (running, waits):
        assert place.wait_event(event_id, 15)["status"] == "succeeded"


# --- step by step


def cut(stages: Stages) -> None:
    stages.server.note("list", ServerSign.UNREACHED)


def test_cut_off_listener_reads_nothing(book: Book) -> None:
    stages = Stages(book)
    stages.listener.step(0.0)
    cut(stages)
    add(book, pod_count=1)
    add(book, "scale_down", pod_count=1)
    stages.listener.step(1e9)
    assert book.redis.xpending(STREAM, "ottoscaler")["pending"] == 0
    assert stages.downs.given == []


def test_scale_down_that_nobody_reads_is_taken_by_a_replica_that_is_cut_off(book: Book) -> None:
    """All are cut off, as where the API server refuses creates. Before, no task could be cancelled then."""
    stages = Stages(book)
    stages.listener.step(0.0)
    cut(stages)
    seconds, micros = book.redis.time()
    old = f"{seconds * 1000 + micros // 1000 - 2500}-0"
    fields = {"type": "scale_down", "task_id": "t"}
    book.redis.xadd(STREAM, {"type": "scale_up", "pod_count": 1}, id="1-0")
    book.redis.xadd(STREAM, fields, id=old)
    book.redis.xadd(STREAM, fields)  # somebody may be about to read it
    for _ in range(2):
        stages.listener.step(1e9)
    assert [event.event_id for event in stages.downs.given] == [old]
    assert stages.known() == []


def test_cut_off_replica_leaves_a_scale_down_unread_whose_choice_needs_the_pods(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With running=keep it would spare each worker whose Pod cannot be looked at, and be over. Without a
    watch it would choose by what was true before the outage."""
    stages = Stages(book)
    stages.listener.step(0.0)
    cut(stages)
    book.redis.xadd(STREAM, {"type": "scale_down", "task_id": "t", "running": "keep"}, id="1-0")
    stages.listener.step(1e9)
    assert stages.downs.given == []
    book.redis.xadd(STREAM, {"type": "scale_down", "pod_count": 1}, id="2-0")
    monkeypatch.setattr(stages.pods, "health", lambda: (False, ""))
    stages.listener.step(1e9)
    assert stages.downs.given == []
    monkeypatch.undo()
    stages.listener.step(1e9)
    assert [event.event_id for event in stages.downs.given] == ["2-0"]


def test_cut_off_replica_takes_nothing_over(book: Book) -> None:
    other = Stages(book, "b")
    event_id = add(book, pod_count=1)
    for _ in range(2):
        other.listener.step(0.0)
    other.ledger.release([(event_id, 1)])
    stages = Stages(book)
    cut(stages)
    stages.survey(0.0)
    stages.takeover.wait()
    stages.takeover.step(0.0)
    assert stages.known() == []


def test_let_go_is_what_has_no_pod_after_a_third_of_a_lease(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    stages = Stages(book, lease_seconds=LEASE)
    with_pod, without, begun = (add(book, pod_count=1) for _ in range(3))
    for _ in range(3):
        stages.listener.step(0.0)
    stages.admit()
    tasks = {t.run.event.event_id: t for t in iter(lambda: stages.registry.next_task(0.0), None)}
    tasks[with_pod].run.note_begun(0, 0, "uid")
    stages.registry.ended(tasks[without], left=True)
    cut(stages)
    stages.pods.healthy = False
    began = stages.server.trouble_since()
    stages.offers.step(began + 0.9)
    assert len(stages.known()) == 3
    stages.offers.step(began + 1.1)
    assert sorted(stages.known()) == sorted([with_pod, begun])
    assert tasks[begun].run.leaving
    stages.registry.ended(tasks[begun], left=True)
    stages.offers.step(began + 1.2)
    assert stages.known() == [with_pod]
    assert stages.ledger.owner_of(without) == ""
    stages.offers.step(began + 1.3)
    assert caplog.text.count("the event is for other replicas") == 2, "each is let go of once"


def test_replica_has_been_cut_off_since_the_first_of_its_troubles(book: Book) -> None:
    stages = Stages(book, lease_seconds=LEASE)
    cut(stages)
    began = stages.server.trouble_since()
    stages.pods.healthy = False
    stages.reach.cut_off_for(began + 1)
    assert stages.reach.cut_off_for(began + WATCH_MAY_FAIL_SECONDS + 2) == WATCH_MAY_FAIL_SECONDS + 2


def test_while_only_creates_fail_one_event_is_kept_to_see_when_they_work_again(book: Book) -> None:
    stages = Stages(book, lease_seconds=LEASE)
    first, second = add(book, pod_count=1), add(book, pod_count=1)
    for _ in range(3):
        stages.listener.step(0.0)
    for _ in range(2):
        stages.server.note("create", ServerSign.TROUBLED)
    stages.offers.step(stages.server.trouble_since() + 2)
    assert stages.known() == [first]
    assert stages.ledger.owner_of(second) == ""


def test_event_that_has_begun_no_worker_in_time_is_offered_to_others_unless_in_a_pause(book: Book) -> None:
    stages = Stages(book, lease_seconds=LEASE)
    add(book, pod_count=1)
    for _ in range(2):
        stages.listener.step(0.0)
    stages.admit()
    (run,) = stages.registry.snapshot()
    late = run.taken_at + OFFER_AFTER_SECONDS + 1
    stages.pause.tell(True)
    stages.offers.step(late)
    assert not run.offered
    stages.pause.tell(False)
    stages.offers.step(late)
    assert run.offered
