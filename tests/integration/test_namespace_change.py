"""NAMESPACE changes while workers run: they are followed to their ends there, and never run twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import FOREVER
from tests.harness.sandbox import Json, Kube, Sandbox, sandbox
from tests.harness.waiting import stays, wait_for


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(OTTO_LEASE_SECONDS="1") as made:
        yield made


@pytest.fixture
def other(place: Sandbox) -> Iterator[Kube]:
    """The namespace that the next replica creates in."""
    kube = Kube(place.kube.kubeconfig, f"{place.kube.namespace}-new")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kube.namespace}}
    assert kube.request("POST", "/api/v1/namespaces", body)[0] == 201
    accounts = f"/api/v1/namespaces/{kube.namespace}/serviceaccounts/default"
    wait_for(lambda: kube.request("GET", accounts)[0] == 200, "the default service account exists")
    yield kube
    kube.request("DELETE", f"/api/v1/namespaces/{kube.namespace}")


def taken_over(place: Sandbox, other: Kube, event_id: str, count: int) -> list[Json]:
    """The event's running Pods, after their replica was killed and one with another namespace took over."""
    first = place.start()
    pods = place.wait_workers(event_id, "Running", count)
    first.kill()
    second = place.start("second", NAMESPACE=other.namespace)
    wait_for(lambda: second.lines(action="namespace_differs"), "the other namespace is told")
    return pods


def test_workers_in_the_former_namespace_end_there_and_nothing_runs_twice(
    place: Sandbox, other: Kube
) -> None:
    event_id = place.scale_up(2, run_seconds=8)
    pods = taken_over(place, other, event_id, 2)
    stays(lambda: not other.workers(), "an attempt runs a second time", 3)
    assert place.wait_event(event_id)["status"] == "succeeded"
    told = [(w["attempt"], w["status"], w["pod"]) for w in place.workers(event_id)]
    assert told == [("0", "succeeded", name) for name in sorted(p["metadata"]["name"] for p in pods)]
    place.wait_no_pods()
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"
    assert place.kube.workers() == []


def test_what_has_not_begun_runs_in_the_new_namespace(place: Sandbox, other: Kube) -> None:
    place.settings["OTTO_MAX_WORKERS"] = "1"
    event_id = place.scale_up(2, run_seconds=6)
    taken_over(place, other, event_id, 1)
    wait_for(lambda: other.workers(event_id), "the second worker runs in the new namespace")
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert {w["attempt"] for w in place.workers(event_id)} == {"0"}


def test_scale_down_reaches_workers_in_the_former_namespace(place: Sandbox, other: Kube) -> None:
    event_id = place.scale_up(2, run_seconds=FOREVER, task_id="t")
    taken_over(place, other, event_id, 2)
    assert place.wait_event(place.send("scale_down", task_id="t"))["cancelled"] == "2"
    place.wait_no_pods()
    assert place.wait_event(event_id)["cancelled"] == "2"
