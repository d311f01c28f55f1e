"""A terminal Pod is an end, also while a finalizer that nobody removes keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.cluster_state import FOREVER
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    """One replica with a single slot."""
    with sandbox(OTTO_MAX_WORKERS="1", OTTO_MAX_RETRIES="1") as made:
        made.start()
        yield made


def set_finalizers(place: Sandbox, name: str, *finalizers: str) -> None:
    path = f"/api/v1/namespaces/{place.kube.namespace}/pods/{name}"

    def put() -> bool:
        code, pod = place.kube.request("GET", path)
        assert code == 200, pod
        pod["metadata"]["finalizers"] = list(finalizers)
        return place.kube.request("PUT", path, pod)[0] == 200

    wait_for(put, f"{name} has its finalizers")


def held(place: Sandbox, **fields: Any) -> tuple[str, str]:
    """An event whose one worker runs and has a finalizer; and its Pod's name."""
    event_id = place.scale_up(1, **{"run_seconds": FOREVER, **fields})
    name = place.wait_workers(event_id, "Running", 1)[0]["metadata"]["name"]
    set_finalizers(place, name, "example.org/hold")
    return event_id, name


def frees_the_slot(place: Sandbox, name: str) -> None:
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"
    set_finalizers(place, name)
    place.wait_no_pods()


def test_a_cancelled_worker_is_recorded_when_its_pod_is_terminal(place: Sandbox) -> None:
    event_id, name = held(place, task_id="held")
    place.wait_event(place.send("scale_down", task_id="held"))
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"]) == ("cancelled", "Cancelled")
    frees_the_slot(place, name)


def test_a_worker_that_ended_by_itself_is_recorded_all_the_same(place: Sandbox) -> None:
    event_id, name = held(place, run_seconds="1.5")
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"]) == ("succeeded", "Completed")
    frees_the_slot(place, name)


def test_a_worker_that_somebody_else_deleted_is_tried_again_beside_what_is_left_of_it(place: Sandbox) -> None:
    event_id, name = held(place)
    place.kube.delete_pod(name)
    others = lambda: [p for p in place.wait_workers(event_id, "Running", 1) if p["metadata"]["name"] != name]  # noqa: E731
    wait_for(others, "another attempt of it runs")
    place.send("scale_down", pod_count="1")
    assert place.only_worker(event_id)["attempt"] == "1"
    frees_the_slot(place, name)
