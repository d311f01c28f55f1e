"""The same happening gives the same answer, whenever one looks: a worker's own end, and its Pod's fate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cluster_state import FOREVER, ended_container
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import stays, wait_for

SIDECAR = """\
apiVersion: v1
kind: Pod
metadata: {annotations: {ottoscaler.io/accepts: "*"}}
spec:
  containers:
    - {name: log, image: "busybox:latest", env: [{name: SIM_RUN_SECONDS, value: inf}]}
    - {name: worker, image: "busybox:latest"}
"""
EVICTION = {"reason": "Evicted", "message": "The node was low on resource: memory."}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One replica whose profile ``beside`` has a sidecar that never ends by itself."""
    templates: Path = tmp_path_factory.mktemp("templates")
    (templates / "beside.yaml").write_text(SIDECAR)
    with sandbox(OTTO_TEMPLATES_DIR=str(templates), OTTO_PENDING_TIMEOUT_SECONDS="60") as made:
        made.start()
        yield made


def replica(place: Sandbox) -> Replica:
    return place.replicas[-1]


def begin(place: Sandbox, **fields: Any) -> tuple[str, dict[str, Any]]:
    event_id = place.scale_up(1, run_seconds=FOREVER, profile="beside", **fields)
    return event_id, place.wait_workers(event_id, "Running", 1)[0]


def write(place: Sandbox, pod: dict[str, Any], code: int | None, phase: str, **status: Any) -> None:
    """The Pod's status, with its worker ended so and its sidecar as it was (or killed with the Pod)."""
    containers = pod["status"]["containerStatuses"] if code is None else ended_container(pod, exitCode=code)
    if phase == "Failed":
        killed = {"terminated": {"exitCode": 137, "reason": "Error"}}
        containers = [{**c, "state": killed} if "running" in c["state"] else c for c in containers]
    place.kube.set_status(
        pod["metadata"]["name"], {"phase": phase, "containerStatuses": containers, **status}
    )


@pytest.mark.parametrize(
    ("code", "status", "reason"), [(0, "succeeded", "Completed"), (3, "failed", "Error")]
)
def test_an_eviction_while_nobody_looked_changes_nothing_about_an_end_before_it(
    place: Sandbox, code: int, status: str, reason: str
) -> None:
    event_id, pod = begin(place)
    replica(place).freeze()
    try:
        write(place, pod, code, "Running")
        write(place, pod, code, "Failed", **EVICTION)
    finally:
        replica(place).thaw()
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"], worker["attempt"]) == (status, reason, "0")
    assert worker["exit_code"] == str(code)


def test_an_evicted_worker_that_ended_with_0_succeeded_also_for_who_sees_only_the_last_of_it(
    place: Sandbox,
) -> None:
    event_id, pod = begin(place)
    write(place, pod, 0, "Failed", **EVICTION)  # what an old kubelet shows; a new one shows Succeeded
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("succeeded", "Completed", "0")


def test_a_worker_that_ended_with_0_beside_a_sidecar_has_succeeded_though_its_pod_vanishes(
    place: Sandbox,
) -> None:
    event_id, pod = begin(place)
    replica(place).freeze()
    try:
        write(place, pod, 0, "Running")
        place.kube.delete_pod(pod["metadata"]["name"], grace=0)
    finally:
        replica(place).thaw()
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("succeeded", "Completed", "0")


def test_a_sidecar_whose_image_does_not_come_fails_no_worker_however_long_it_runs(place: Sandbox) -> None:
    event_id, pod = begin(place, timeout_seconds="60")
    waits = {"waiting": {"reason": "InvalidImageName", "message": "no such name"}}
    containers = [
        {**c, "state": waits, "ready": False} if c["name"] == "log" else c
        for c in pod["status"]["containerStatuses"]
    ]
    # A Pod is Pending as long as one of its containers has not started.
    place.kube.set_status(pod["metadata"]["name"], {"phase": "Pending", "containerStatuses": containers})
    stays(lambda: not place.results("worker", event_id), "the sidecar ended the worker", 1.0)
    spared = place.send("scale_down", pod_count="1", running="keep")
    assert place.wait_event(spared)["cancelled"] == "0"  # it is running, whatever the Pod's phase
    write(place, {**pod, "status": {**pod["status"], "containerStatuses": containers}}, 0, "Pending")
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"]) == ("succeeded", "Completed")
    wait_for(lambda: not place.kube.workers(event_id), "its Pod is deleted")
