"""No verdict rests on a difference between two machines' clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness.cluster_state import FOREVER, ended_container, intents, local_only, set_phase
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import wait_started
from tests.harness.waiting import stays, wait_for

AHEAD = [-5.0, -1.0, -0.3, 5.0]  # seconds; negative: the nodes' clocks lag


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with sandbox(OTTO_LEASE_SECONDS="1") as made:
        made.start()
        yield made


def shift(place: Sandbox, seconds: float) -> None:
    assert place.cluster is not None
    for node in place.kube.request("GET", "/api/v1/nodes")[1]["items"]:
        place.cluster.faults.shift_node_clock(node["metadata"]["name"], seconds)


def end(place: Sandbox, pod: dict[str, Any], code: int, ahead: float) -> None:
    """Its worker ends now, by the clock of its node."""
    now = (datetime.now(UTC) + timedelta(seconds=ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (began,) = (one["state"]["running"]["startedAt"] for one in pod["status"]["containerStatuses"])
    reason = "Error" if code else "Completed"
    ended = ended_container(pod, exitCode=code, reason=reason, startedAt=began, finishedAt=now)
    set_phase(place, pod, "Failed" if code else "Succeeded", containerStatuses=ended)


def ends(place: Sandbox, event_id: str) -> list[tuple[str, str]]:
    place.wait_event(event_id)
    return [(worker["status"], worker["reason"]) for worker in place.workers(event_id)]


@local_only
@pytest.mark.parametrize("ahead", AHEAD)
def test_workers_that_obey_sigterm_are_cancelled_whatever_their_nodes_clocks_say(
    place: Sandbox, ahead: float
) -> None:
    shift(place, ahead)
    sent = [
        place.scale_up(4, run_seconds=FOREVER, task_id=f"obeys {ahead}", env={"SIM_TERM_EXIT_CODE": code})
        for code in ("143", "0", "3")
    ]
    for event_id in sent:
        place.wait_workers(event_id, "Running", 4)
    place.wait_event(place.send("scale_down", task_id=f"obeys {ahead}"))
    for event_id in sent:
        assert ends(place, event_id) == [("cancelled", "Cancelled")] * 4


@local_only
@pytest.mark.parametrize("ahead", AHEAD)
def test_workers_that_had_ended_before_the_intent_stay_what_they_were(place: Sandbox, ahead: float) -> None:
    assert place.cluster is not None
    shift(place, ahead)
    good, bad = (place.scale_up(1, run_seconds=FOREVER, task_id=f"ended {ahead}") for _ in range(2))
    pods = [place.wait_workers(event_id, "Running", 1)[0] for event_id in (good, bad)]
    place.cluster.faults.silence_watches()  # the replica does not see the ends before it is told to cancel
    for pod, code in zip(pods, (0, 3), strict=True):
        end(place, pod, code, ahead)
    down = place.send("scale_down", task_id=f"ended {ahead}")
    wait_for(lambda: not [p for p in place.kube.workers() if p["status"]["phase"] != "Running"], "they go")
    place.cluster.faults.expire_watches()  # and a list does not show them any more: the replies do
    assert ends(place, good) == [("succeeded", "Completed")]
    assert ends(place, bad) == [("failed", "Error")]
    place.wait_event(down)


@local_only
def test_a_replica_that_comes_after_the_intent_cancels_what_it_sees_running(place: Sandbox) -> None:
    assert place.cluster is not None
    shift(place, -5.0)
    event_id = place.scale_up(2, run_seconds=FOREVER, task_id="orphans")
    place.wait_workers(event_id, "Running", 2)
    place.cluster.faults.hang("delete", times=None)
    place.send("scale_down", task_id="orphans")
    wait_for(lambda: intents(place, event_id) == [0, 1], "the intents stand")
    place.replicas[-1].kill()
    place.cluster.faults.clear()
    shift(place, -5.0)
    place.start()
    assert ends(place, event_id) == [("cancelled", "Cancelled")] * 2


@local_only
@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_an_adopted_worker_s_limit_is_not_taken_from_its_nodes_clock(place: Sandbox, ahead: float) -> None:
    shift(place, ahead)
    long = place.scale_up(1, run_seconds=FOREVER, timeout_seconds="600", task_id=f"adopted {ahead}")
    short = place.scale_up(1, run_seconds=FOREVER, timeout_seconds="3")
    for event_id in (long, short):
        wait_started(place, event_id)
    place.replicas[-1].kill()
    place.start()
    assert ends(place, short) == [("failed", "DeadlineExceeded")]
    stays(lambda: not place.workers(long), "it was ended by another clock", 0.5)
    place.send("scale_down", task_id=f"adopted {ahead}")
    assert ends(place, long) == [("cancelled", "Cancelled")]
