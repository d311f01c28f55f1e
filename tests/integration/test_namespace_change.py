"""NAMESPACE changes while workers run: they are followed to their ends there, and never run twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import FOREVER, local_only
from tests.harness.observer import Json, Kube
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import OFTEN, SWEPT_OFTEN, end_workers
from tests.harness.waiting import stays, wait_for


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(OTTO_LEASE_SECONDS="1", bounds=OFTEN) as made:
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
    event_id = place.scale_up(2, run_seconds=FOREVER)
    pods = taken_over(place, other, event_id, 2)
    stays(lambda: not other.workers(), "an attempt runs a second time", 1.5)
    end_workers(place, event_id)
    assert place.wait_event(event_id)["status"] == "succeeded"
    told = [(w["attempt"], w["status"], w["pod"]) for w in place.workers(event_id)]
    assert told == [("0", "succeeded", name) for name in sorted(p["metadata"]["name"] for p in pods)]
    place.wait_no_pods()
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"
    assert place.kube.workers() == []


def test_what_has_not_begun_runs_in_the_new_namespace(place: Sandbox, other: Kube) -> None:
    place.settings["OTTO_MAX_WORKERS"] = "1"
    event_id = place.scale_up(2, run_seconds=FOREVER)
    taken_over(place, other, event_id, 1)
    end_workers(place, event_id)

    def second_runs() -> list[Json]:
        return [pod for pod in other.workers(event_id) if pod["status"].get("phase") == "Running"]

    (pod,) = wait_for(second_runs, "the second worker runs in the new namespace")
    other.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert {w["attempt"] for w in place.workers(event_id)} == {"0"}


def test_pods_that_were_recorded_but_not_deleted_are_swept_in_the_former_namespace(
    place: Sandbox, other: Kube
) -> None:
    first = place.start(OTTO_FAILED_POD_TTL_SECONDS="3600")
    event_id = place.scale_up(1, env={"SIM_EXIT_CODE": "1"})
    assert place.wait_event(event_id)["status"] == "failed"
    first.kill()
    assert len(place.kube.workers(event_id)) == 1
    place.bounds.update(SWEPT_OFTEN)
    second = place.start("second", NAMESPACE=other.namespace)
    (told,) = wait_for(lambda: second.lines(action="namespace_former"), "the start tells of it")
    assert place.kube.namespace in told["message"]
    place.wait_no_pods()


def test_scale_down_reaches_workers_in_the_former_namespace_that_wait_for_a_slot(
    place: Sandbox, other: Kube
) -> None:
    event_id = place.scale_up(3, run_seconds=FOREVER, task_id="t")
    first = place.start()
    place.wait_workers(event_id, "Running", 3)
    first.kill()
    place.bounds.update(SWEPT_OFTEN)  # it looks after workers that wait for a slot, too
    second = place.start("second", NAMESPACE=other.namespace, OTTO_MAX_WORKERS="1")
    wait_for(lambda: second.lines(action="pod_adopted"), "one of them has the slot")
    place.wait_event(place.send("scale_down", pod_count=2, task_id="t"))
    wait_for(lambda: len(place.workers(event_id)) == 2, "two are cancelled")
    assert {w["status"] for w in place.workers(event_id)} == {"cancelled"}


@local_only
def test_without_a_right_in_the_former_namespace_a_worker_ends_when_its_pod_must_have(
    place: Sandbox, other: Kube
) -> None:
    assert place.cluster is not None
    place.settings["OTTO_PENDING_TIMEOUT_SECONDS"] = "1"
    event_id = place.scale_up(1, run_seconds=FOREVER, timeout_seconds=3)
    first = place.start()
    place.wait_workers(event_id, "Running", 1)
    first.kill()
    place.cluster.faults.answer(403, 1_000_000, "get", f"namespaces/{place.kube.namespace}/pods/")
    place.start("second", NAMESPACE=other.namespace)
    assert place.wait_event(event_id)["status"] == "failed"
    (worker,) = place.workers(event_id)
    assert worker["message"].startswith("its Pod could not be looked at until its deadline: in namespace t-")
    assert other.workers() == []
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"


def test_scale_down_reaches_workers_in_the_former_namespace(place: Sandbox, other: Kube) -> None:
    event_id = place.scale_up(2, run_seconds=FOREVER, task_id="t")
    taken_over(place, other, event_id, 2)
    assert place.wait_event(place.send("scale_down", task_id="t"))["cancelled"] == "2"
    place.wait_no_pods()
    assert place.wait_event(event_id)["cancelled"] == "2"
