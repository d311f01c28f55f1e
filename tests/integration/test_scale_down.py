"""scale_down, as docs/events.md and docs/results.md promise it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import (
    FOREVER,
    NEVER_STARTS,
    deleting,
    ended_container,
    intents,
    ledger,
    local_only,
    phases,
    served,
    set_phase,
)
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import COUNTED_SOON, lose_pods, paused, running
from tests.harness.waiting import stays, wait_for

one_replica = served()


def blocked_reads(place: Sandbox) -> int:
    """How many clients wait for the stream."""
    return int(place.redis.info("clients")["blocked_clients"])


@pytest.fixture
def two_slots() -> Iterator[Sandbox]:
    """One replica with two slots, which reads no more than two events ahead."""
    with sandbox(OTTO_MAX_WORKERS="2", OTTO_MAX_EVENTS_IN_HAND="2", bounds=COUNTED_SOON) as made:
        made.start()
        yield made


def test_by_task_all_its_workers_go_and_no_others(one_replica: Sandbox) -> None:
    place = one_replica
    first = place.scale_up(2, run_seconds=FOREVER, task_id="build 1")
    second = place.scale_up(1, run_seconds=FOREVER, task_id="build 1")
    other = place.scale_up(1, run_seconds=FOREVER, task_id="build-1")
    for event_id, count in ((first, 2), (second, 1), (other, 1)):
        place.wait_workers(event_id, "Running", count)
    down = place.send("scale_down", task_id="build 1")
    entry = place.wait_event(down)
    assert entry == {
        "kind": "event", "event_id": down, "task_id": "build 1", "type": "scale_down", "status": "succeeded",
        "pod_count": "", "succeeded": "0", "failed": "0", "cancelled": "3",
        "duration_ms": entry["duration_ms"], "metadata": "{}",
    }  # fmt: skip
    for event_id, count in ((first, 2), (second, 1)):
        ended = place.wait_event(event_id)
        assert (ended["status"], ended["cancelled"]) == ("cancelled", str(count))
        workers = place.workers(event_id)
        assert [(w["status"], w["reason"], w["attempt"]) for w in workers] == [
            ("cancelled", "Cancelled", "0")
        ] * count
        assert all(w["pod"] and w["node"] and w["created_at"] and w["started_at"] for w in workers)
        assert all(down in w["message"] for w in workers)
    assert phases(place, other) == {0: "Running"}
    assert place.wait_event(place.send("scale_down", task_id="build-1"))["cancelled"] == "1"


def test_count_and_task_together_take_so_many_of_that_task(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(3, run_seconds=FOREVER, task_id="some")
    other = place.scale_up(1, run_seconds=FOREVER, task_id="newer")
    place.wait_workers(event_id, "Running", 3)
    place.wait_workers(other, "Running", 1)
    entry = place.wait_event(place.send("scale_down", task_id="some", pod_count=2))
    assert (entry["pod_count"], entry["cancelled"]) == ("2", "2")
    wait_for(lambda: len(place.workers(event_id)) == 2, "two are recorded")
    assert [w["index"] for w in place.workers(event_id)] == ["1", "2"]
    assert phases(place, event_id) == {0: "Running"}
    assert phases(place, other) == {0: "Running"}
    assert place.wait_event(place.send("scale_down", pod_count=2))["cancelled"] == "2"
    assert place.wait_event(event_id)["status"] == "cancelled"


def test_running_keep_spares_those_that_run(one_replica: Sandbox) -> None:
    place = one_replica
    running = place.scale_up(2, run_seconds=FOREVER, task_id="keep")
    pending = place.scale_up(1, env=NEVER_STARTS, task_id="keep")
    place.wait_workers(running, "Running", 2)
    place.wait_workers(pending, "Pending", 1)
    down = place.send("scale_down", task_id="keep", running="keep")
    assert place.wait_event(down)["cancelled"] == "1"
    assert place.wait_event(pending)["status"] == "cancelled"
    assert phases(place, running) == {0: "Running", 1: "Running"}
    assert place.wait_event(place.send("scale_down", task_id="keep"))["cancelled"] == "2"
    place.wait_event(running)


@local_only
def test_running_keep_spares_a_worker_whose_start_the_watch_has_not_shown(one_replica: Sandbox) -> None:
    place = one_replica
    assert place.cluster is not None
    event_id = place.scale_up(2, env=NEVER_STARTS, task_id="unseen")
    first = place.wait_workers(event_id, "Pending", 2)[0]
    index = int(first["metadata"]["labels"]["ottoscaler.io/index"])
    place.cluster.faults.silence_watches()
    set_phase(place, first, "Running")
    down = place.send("scale_down", task_id="unseen", running="keep")
    wait_for(lambda: len(phases(place, event_id)) < 2, "one is asked to go")
    place.cluster.faults.expire_watches()
    assert place.wait_event(down)["cancelled"] == "1"
    assert phases(place, event_id) == {index: "Running"}
    assert place.wait_event(place.send("scale_down", task_id="unseen"))["cancelled"] == "1"
    place.wait_event(event_id)


def test_nothing_to_take_is_a_success_and_later_events_are_spared(one_replica: Sandbox) -> None:
    place = one_replica
    down = place.send("scale_down", pod_count=5, task_id="nobody")
    later = place.scale_up(1, task_id="nobody")
    entry = place.wait_event(down)
    assert (entry["status"], entry["pod_count"], entry["cancelled"]) == ("succeeded", "5", "0")
    assert place.wait_event(later)["status"] == "succeeded"


def test_a_worker_that_waits_for_its_next_attempt_is_cancelled_without_a_pod(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = running(place, task_id="waits")
    with paused(place):  # or the retry might begin before it is seen to be planned
        lose_pods(place, event_id)
        wait_for(lambda: ledger(place, event_id).get("i:0", "").startswith("w:1:"), "the retry is planned")
        place.send("scale_down", task_id="waits")
        assert place.wait_event(event_id)["status"] == "cancelled"
    assert [(w["status"], w["attempt"], w["pod"]) for w in place.workers(event_id)] == [
        ("cancelled", "1", "")
    ]
    stays(lambda: not place.kube.workers(event_id), "a cancelled worker got another Pod", 1.2)


def test_workers_that_end_while_they_are_cancelled_are_told_once_each(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(24, run_seconds=0.6, task_id="race")
    wait_for(lambda: place.workers(event_id), "the first result is told")  # its Pod goes within milliseconds
    place.wait_event(place.send("scale_down", task_id="race"))
    entry = place.wait_event(event_id)
    told = place.workers(event_id)
    assert [int(w["index"]) for w in told] == list(range(24))
    assert {w["status"] for w in told} <= {"succeeded", "cancelled"}
    assert int(entry["succeeded"]) + int(entry["cancelled"]) == 24
    assert int(entry["succeeded"]) >= 1


def test_order_is_not_created_then_pending_then_running_newest_first() -> None:
    with sandbox(OTTO_MAX_WORKERS="4") as place:
        place.start()
        oldest = place.scale_up(2, run_seconds=FOREVER)
        newer = place.scale_up(1, run_seconds=FOREVER)
        pending = place.scale_up(1, env=NEVER_STARTS)
        place.wait_workers(oldest, "Running", 2)
        place.wait_workers(newer, "Running", 1)
        place.wait_workers(pending, "Pending", 1)
        uncreated = place.scale_up(2)
        wait_for(lambda: ledger(place, uncreated), "it is read")
        expected = [(uncreated, "1"), (uncreated, "0"), (pending, "0"), (newer, "0"), (oldest, "1")]
        for count in range(1, len(expected) + 1):
            place.wait_event(place.send("scale_down", pod_count=1))
            wait_for(lambda n=count: len(place.results("worker")) == n, "one more has gone")  # type: ignore[misc]
            taken = [(w["event_id"], w["index"]) for w in place.results("worker")]
            assert taken == expected[:count]
        assert phases(place, oldest) == {0: "Running"}
        assert [w["pod"] for w in place.workers(uncreated)] == ["", ""]


def test_unread_events_of_the_task_never_run_and_later_ones_do(two_slots: Sandbox) -> None:
    place = two_slots
    blockers = place.scale_up(2, run_seconds=FOREVER, task_id="blocker")
    place.wait_workers(blockers, "Running", 2)
    in_hand = [place.scale_up(1, task_id="in hand") for _ in range(2)]
    wait_for(lambda: all(ledger(place, i) for i in in_hand), "the hand is full")
    unread = place.scale_up(2, task_id="gone")
    down = place.send("scale_down", task_id="gone")
    later = place.scale_up(1, task_id="gone")
    assert place.wait_event(down, 5.0)["cancelled"] == "0"
    assert not ledger(place, unread)
    place.send("scale_down", task_id="blocker")
    assert place.wait_event(unread)["status"] == "cancelled"
    assert [(w["status"], w["reason"], w["pod"]) for w in place.workers(unread)] == [
        ("cancelled", "Cancelled", "")
    ] * 2
    assert place.wait_event(later)["status"] == "succeeded"
    assert {place.wait_event(i)["status"] for i in in_hand} == {"succeeded"}
    place.wait_nothing_pending()
    place.wait_no_pods()


@pytest.mark.parametrize("count", [1, 5, 12])
def test_scale_ups_and_their_scale_down_that_were_there_before_the_service_never_run(count: int) -> None:
    with sandbox() as place:
        gone = [place.scale_up(1, task_id="gone") for _ in range(count)]
        others = [place.scale_up(1, task_id=f"other-{i}", run_seconds=0.1) for i in range(10)]
        down = place.send("scale_down", task_id="gone")
        place.start()
        assert {place.wait_event(i)["status"] for i in gone} == {"cancelled"}
        assert {place.wait_event(i)["status"] for i in others} == {"succeeded"}
        assert place.wait_event(down)["status"] == "succeeded"
        assert [w["pod"] for i in gone for w in place.workers(i)] == [""] * count


def test_a_scale_up_that_comes_with_its_scale_down_never_runs(one_replica: Sandbox) -> None:
    place = one_replica
    wait_for(lambda: blocked_reads(place), "the listener waits for the stream")
    pipe = place.redis.pipeline(transaction=True)
    pipe.xadd("otto:scale:events", {"type": "scale_up", "pod_count": "2", "task_id": "at once"})
    pipe.xadd("otto:scale:events", {"type": "scale_down", "task_id": "at once"})
    up, down = pipe.execute()
    assert place.wait_event(up)["status"] == "cancelled"
    assert place.wait_event(down)["status"] == "succeeded"
    assert [w["pod"] for w in place.workers(up)] == ["", ""]


def test_what_was_cancelled_in_a_full_hand_leaves_room_to_read_on(two_slots: Sandbox) -> None:
    place = two_slots
    place.wait_workers(place.scale_up(2, run_seconds=FOREVER, task_id="blocker"), "Running", 2)
    in_hand = [place.scale_up(3, task_id="in hand") for _ in range(2)]
    wait_for(lambda: all(ledger(place, i) for i in in_hand), "the hand is full")
    place.send("scale_down", task_id="in hand")
    for event_id in in_hand:
        assert place.wait_event(event_id)["status"] == "cancelled"
    # No slot comes free, and yet the next events are read.
    place.wait_dead(place.send("scale_up", pod_count="none"))


def test_a_full_pool_and_a_thousand_unread_events_delay_it_less_than_5_seconds(two_slots: Sandbox) -> None:
    place = two_slots
    term = {"SIM_TERM_SECONDS": "20"}
    blockers = place.scale_up(2, run_seconds=FOREVER, task_id="blocker", env=term)
    place.wait_workers(blockers, "Running", 2)
    pipe = place.redis.pipeline(transaction=False)
    env = json.dumps({"SIM_RUN_SECONDS": "0.1"})
    for _ in range(1000):
        pipe.xadd("otto:scale:events", {"type": "scale_up", "pod_count": "1", "env": env})
    pipe.execute()
    down = place.send("scale_down", task_id="blocker")
    # Without a look ahead it would be read when the two have ended, which is never.
    wait_for(lambda: len(deleting(place, blockers)) == 2, "the victims are being deleted")
    # The Pods keep their own grace, and are told as cancelled only when they have gone.
    assert {p["metadata"]["deletionGracePeriodSeconds"] for p in deleting(place, blockers)} == {30}
    assert place.workers(blockers) == []
    assert place.wait_event(down)["cancelled"] == "2"


def test_victims_may_belong_to_another_replica_that_is_frozen_even() -> None:
    with sandbox(OTTO_LEASE_SECONDS="20", bounds=COUNTED_SOON) as place:
        owner = place.start(OTTO_POLL_SECONDS="0.1")
        event_id = place.scale_up(2, run_seconds=FOREVER, task_id="elsewhere")
        place.wait_workers(event_id, "Running", 2)
        owner.freeze()
        # Redis still hands the next entry to a read that a frozen process has open.
        wait_for(lambda: blocked_reads(place) == 0, "the frozen replica's read is over")
        place.start()
        down = place.send("scale_down", task_id="elsewhere")
        assert place.wait_event(down)["cancelled"] == "2"
        wait_for(lambda: not place.kube.workers(event_id), "the Pods are gone")
        assert place.workers(event_id) == []
        owner.thaw()
        assert place.wait_event(event_id)["status"] == "cancelled"
        assert {w["attempt"] for w in place.workers(event_id)} == {"0"}


def test_it_is_applied_once_though_its_replica_is_killed_between_intent_and_deletion() -> None:
    with sandbox(OTTO_LEASE_SECONDS="1") as place:
        first = place.start()
        # A real cluster's deletes cannot be held up, but its Pods' ends can: so the intents can be seen.
        event_id = place.scale_up(4, run_seconds=FOREVER, env={"SIM_TERM_SECONDS": "3"})
        place.wait_workers(event_id, "Running", 4)
        if place.cluster is not None:
            place.cluster.faults.hang("delete", times=None)
        down = place.send("scale_down", pod_count=2)
        wait_for(lambda: intents(place, event_id) == [2, 3], "the intents are durable")
        first.kill()
        if place.cluster is not None:
            assert not deleting(place, event_id)
            place.cluster.faults.clear()
        place.start()
        assert place.wait_event(down)["cancelled"] == "2"
        wait_for(lambda: len(place.workers(event_id)) == 2, "both are told")
        assert [(w["index"], w["status"]) for w in place.workers(event_id)] == [
            ("2", "cancelled"),
            ("3", "cancelled"),
        ]
        assert phases(place, event_id) == {0: "Running", 1: "Running"}
        assert len(place.results("event", down)) == 1


@pytest.mark.parametrize("sidecar", [False, True])
def test_victim_that_had_ended_while_its_owner_was_dead_is_told_as_it_ended(sidecar: bool) -> None:
    """Whoever takes the event over has seen neither the end nor the answer to the delete."""
    with sandbox(OTTO_LEASE_SECONDS="8", bounds=COUNTED_SOON) as place:
        owner = place.start()
        event_id = running(place, 2, task_id="elsewhere")
        owner.kill()
        place.start("carries-it-out")
        ended, runs = place.kube.workers(event_id)
        if sidecar:  # it runs on after its worker
            place.kube.set_status(
                ended["metadata"]["name"], {"containerStatuses": ended_container(ended, exitCode=0)}
            )
        else:
            set_phase(place, ended, "Succeeded")
        down = place.send("scale_down", task_id="elsewhere")
        index = int(runs["metadata"]["labels"]["ottoscaler.io/index"])
        wait_for(lambda: index not in phases(place, event_id), "the other one goes")
        if not sidecar:
            place.replicas[-1].kill()
            place.start("takes-it-over")
        assert place.wait_event(event_id)["status"] == "partial"
        assert sorted(w["status"] for w in place.workers(event_id)) == ["cancelled", "succeeded"]
        place.wait_event(down)
        place.wait_no_pods()
