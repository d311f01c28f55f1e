"""Between events in hand: higher priority first, and in turn among equals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.cluster_state import FOREVER, ledger
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for


@pytest.fixture
def one_slot() -> Iterator[Sandbox]:
    """One slot, and a worker that holds it until its task, ``blocker``, is scaled down."""
    with sandbox(OTTO_MAX_WORKERS="1") as place:
        place.start()
        place.wait_workers(place.scale_up(1, run_seconds=FOREVER, task_id="blocker"), "Running", 1)
        yield place


def in_hand(place: Sandbox, *events: str) -> None:
    wait_for(lambda: all(ledger(place, event_id) for event_id in events), "all are in hand")


def started(place: Sandbox, events: set[str]) -> list[str]:
    """The events' ids in the order in which their workers were created, by the results."""
    found = [w for w in place.results("worker") if w["event_id"] in events]
    return [w["event_id"] for w in sorted(found, key=created)]


def created(worker: dict[str, str]) -> tuple[str, Any]:
    return worker["created_at"], worker["finished_at"]


def test_higher_priorities_go_first_whenever_they_came(one_slot: Sandbox) -> None:
    place = one_slot
    run = {"run_seconds": 0.05}
    low = place.scale_up(1, priority="-5", **run)  # type: ignore[arg-type]
    usual = place.scale_up(1, **run)  # type: ignore[arg-type]
    high = place.scale_up(1, priority="7", **run)  # type: ignore[arg-type]
    in_hand(place, low, usual, high)
    place.send("scale_down", task_id="blocker")
    for event_id in (low, usual, high):
        place.wait_event(event_id)
    order = [w["event_id"] for w in place.results("worker") if w["event_id"] in (low, usual, high)]
    assert order == [high, usual, low]


def test_idle_replica_begins_with_the_highest_priority_of_what_it_reads_together() -> None:
    with sandbox(OTTO_MAX_WORKERS="1") as place:
        place.start()
        with place.redis.pipeline(transaction=True) as together:
            for priority in ("0", "7"):
                fields = {"type": "scale_up", "pod_count": "1", "priority": priority, "task_id": priority}
                together.xadd("otto:scale:events", {**fields, "env": '{"SIM_RUN_SECONDS": "0.05"}'})
            low, high = together.execute()
        for event_id in (low, high):
            place.wait_event(event_id)
        assert [worker["event_id"] for worker in place.results("worker")] == [high, low]


def test_equals_take_turns(one_slot: Sandbox) -> None:
    place = one_slot
    first = place.scale_up(3, run_seconds=0.05)
    second = place.scale_up(3, run_seconds=0.05)
    in_hand(place, first, second)
    place.send("scale_down", task_id="blocker")
    for event_id in (first, second):
        place.wait_event(event_id)
    order = [w["event_id"] for w in place.results("worker") if w["event_id"] in (first, second)]
    assert order == [first, second] * 3


def test_five_hundred_pods_delay_one_pod_by_no_more_than_a_slots_time() -> None:
    with sandbox(OTTO_MAX_WORKERS="4") as place:
        replica = place.start()
        crowd = place.scale_up(500, run_seconds=1.0, task_id="crowd")
        place.wait_workers(crowd, "Running", 4)
        single = place.scale_up(1, run_seconds=0.05)
        assert place.wait_event(single)["status"] == "succeeded"
        told = [(line["action"], line.get("event_id")) for line in replica.lines()]
        behind = told[told.index(("event_taken", single)) : told.index(("pod_created", single))]
        # When the first of the four slots comes free, the single one has its turn.
        assert behind.count(("pod_created", crowd)) < 20
        place.wait_event(place.send("scale_down", task_id="crowd"))


@pytest.mark.parametrize(("hands", "newcomers", "between"), [(2, 60, 2), (16, None, 20)])
def test_big_event_keeps_its_share_while_newcomers_pass(
    hands: int, newcomers: int | None, between: int
) -> None:
    """Four slots, equal priorities: 40 workers of one event, and 100 events of one worker behind it."""
    with sandbox(OTTO_MAX_WORKERS="4", OTTO_MAX_EVENTS_IN_HAND=str(hands)) as place:
        replica = place.start()
        big = place.scale_up(40, run_seconds=0.02)
        small = [place.scale_up(1, run_seconds=0.02) for _ in range(100)]
        place.wait_event(big, 60)
        order = [line["event_id"] for line in replica.lines(action="pod_created")]
        places = [at for at, event_id in enumerate(order) if event_id == big]
        assert len(places) == 40
        passed = order[: places[-1]]
        assert len([each for each in passed if each in small]) < (newcomers or len(small) + 1)
        # Creates under way together may be told in another order than they were started in.
        gaps = [b - a - 1 for a, b in itertools.pairwise(places)]
        assert max(gaps) <= between + 4, gaps
