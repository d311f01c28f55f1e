"""Failures told apart, live: what a Pod shows decides between an end, a new attempt, and waiting."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.harness.cluster_state import (
    FOREVER,
    deleting,
    ended_container,
    ledger,
    local_only,
    phases,
    served,
    set_phase,
)
from tests.harness.invariants import lives
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import SHORT_PAUSES
from tests.harness.waiting import stays, wait_for

one_replica = served(OTTO_PENDING_TIMEOUT_SECONDS="60")


@pytest.fixture(scope="module")
def real_containers() -> Iterator[Sandbox]:
    """Workers that are processes of this machine, so that exit codes and log lines are their own."""
    with sandbox(kubelet="process") as made:
        made.start(OTTO_ALLOWED_IMAGES="*,busybox:latest")
        yield made


def running_pod(place: Sandbox, event_id: str) -> dict[str, Any]:
    return place.wait_workers(event_id, "Running", 1)[0]


def attempt(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"]["ottoscaler.io/attempt"])


def test_exit_codes_and_oom_are_the_workers_own_and_never_retried(one_replica: Sandbox) -> None:
    place = one_replica
    error = place.scale_up(1, env={"SIM_EXIT_CODE": "42"})
    oom = place.scale_up(1, env={"SIM_EXIT_CODE": "137", "SIM_REASON": "OOMKilled"})
    for event_id, reason, code in ((error, "Error", "42"), (oom, "OOMKilled", "137")):
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"], worker["exit_code"]) == ("failed", reason, code)
        assert worker["attempt"] == "0"
        assert worker["message"]
        assert place.wait_event(event_id)["status"] == "failed"


def test_an_image_without_a_valid_name_fails_at_once_and_one_that_does_not_come_is_waited_for(
    one_replica: Sandbox,
) -> None:
    place = one_replica
    invalid = place.scale_up(1, env={"SIM_WAITING": "InvalidImageName"})
    slow = place.scale_up(1, env={"SIM_WAITING": "ImagePullBackOff"}, task_id="slow")
    worker = place.only_worker(invalid)
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "ImagePull", "0")
    assert "InvalidImageName" in worker["message"]
    stays(lambda: phases(place, slow) == {0: "Pending"}, "it did not wait for the image", 1.0)
    place.wait_event(place.send("scale_down", task_id="slow"))


def test_an_evicted_worker_gets_another_attempt_that_prefers_another_node(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(1, run_seconds=FOREVER, task_id="evicted")
    first = running_pod(place, event_id)
    sentence = "The node was low on resource: memory."
    set_phase(place, first, "Failed", reason="Evicted", message=sentence)
    second = wait_for(
        lambda: [p for p in place.kube.workers(event_id) if attempt(p) == "1"], "there is a new attempt"
    )[0]
    assert second["metadata"]["name"] == first["metadata"]["name"][:-1] + "1"
    affinity = second["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [t["preference"]["matchExpressions"] for t in affinity] == [
        [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [first["spec"]["nodeName"]]}]
    ]
    wait_for(lambda: [attempt(p) for p in place.kube.workers(event_id)] == ["1"], "the first one is deleted")
    assert place.results("worker", event_id) == []
    place.wait_event(place.send("scale_down", task_id="evicted"))


GONE = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByPodGC",
    "message": "PodGC: node no longer exists",
}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {  # reason: what the Pod shows, and words of its message
    "Evicted": ({"reason": "Evicted", "message": "The node was low on resource: memory."}, "low on resource"),
    "NodeLost": ({"conditions": [GONE]}, "no longer exists"),
    "NodeShutdown": ({"reason": "Terminated", "message": "Pod was terminated: node shutdown."}, "shutdown"),
    "Preempted": ({"reason": "Preempting", "message": "Preempted to admit a critical pod"}, "critical"),
    "Admission": ({"reason": "OutOfcpu", "message": "Node didn't have enough cpu"}, "enough cpu"),
}


def test_with_no_attempt_left_each_infrastructure_failure_has_its_own_reason(one_replica: Sandbox) -> None:
    place = one_replica
    sent = {reason: place.scale_up(1, run_seconds=FOREVER, max_retries="0") for reason in FAULTS}
    for reason, event_id in sent.items():
        set_phase(place, running_pod(place, event_id), "Failed", **FAULTS[reason][0])
    for reason, event_id in sent.items():
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"]) == ("failed", reason)
        assert FAULTS[reason][1] in worker["message"]
        assert worker["attempt"] == "0"


def test_a_deleted_pod_without_an_attempt_left_is_told_as_deleted(one_replica: Sandbox) -> None:
    place = one_replica
    at_once = place.scale_up(1, run_seconds=FOREVER, max_retries="0")
    gently = place.scale_up(1, run_seconds=FOREVER, max_retries="0")
    place.kube.delete_pod(running_pod(place, at_once)["metadata"]["name"], grace=0)
    place.kube.delete_pod(running_pod(place, gently)["metadata"]["name"])
    for event_id in (at_once, gently):
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "Deleted", "0")
        assert "delete" in worker["message"]


def test_the_eviction_api_takes_a_pod_and_it_is_retried(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(1, run_seconds=FOREVER, task_id="drained")
    name = running_pod(place, event_id)["metadata"]["name"]
    versions = ("policy/v1", "policy/v1beta1")
    path = f"/api/v1/namespaces/{place.kube.namespace}/pods/{name}/eviction"
    codes = []
    for version in versions:
        body = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": name}}
        codes.append(place.kube.request("POST", path, body)[0])
        if codes[-1] < 300:
            break
    assert codes[-1] < 300, codes
    wait_for(lambda: [p for p in place.kube.workers(event_id) if attempt(p) == "1"], "a new attempt")
    place.wait_event(place.send("scale_down", task_id="drained"))


def test_retries_end_and_then_the_last_failure_is_told(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(1, run_seconds=FOREVER, max_retries="1")
    for number in ("0", "1"):
        pod = wait_for(
            lambda n=number: [  # type: ignore[misc]
                p
                for p in place.kube.workers(event_id)
                if attempt(p) == n and p["status"].get("phase") == "Running"
            ],
            f"attempt {number} runs",
        )[0]
        set_phase(place, pod, "Failed", reason="NodeLost", message="Node n is not heard of")
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "NodeLost", "1")
    assert worker["pod"].endswith("-0-1")


def test_a_full_quota_is_waited_for_and_disturbs_nobody() -> None:
    with sandbox() as place:
        place.start()
        path = f"/api/v1/namespaces/{place.kube.namespace}/resourcequotas"
        quota = {
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "two"},
            "spec": {"hard": {"pods": "2"}},
        }  # fmt: skip
        status, answer = place.kube.request("POST", path, quota)
        assert status == 201, answer
        counted = lambda: place.kube.request("GET", f"{path}/two")[1].get("status", {}).get("hard")  # noqa: E731
        wait_for(counted, "the quota is in force")
        holders = place.scale_up(2, run_seconds=FOREVER, task_id="holds the quota")
        place.wait_workers(holders, "Running", 2)
        waits = place.scale_up(1)
        wait_for(lambda: ledger(place, waits).get("i:0"), "it was tried")
        stays(lambda: not place.kube.workers(waits) and not place.workers(waits), "it did not wait", 1.0)
        place.wait_event(place.send("scale_down", task_id="holds the quota"))
        assert place.wait_event(waits)["status"] == "succeeded"
        assert [w["attempt"] for w in place.workers(waits)] == ["0"]


def test_a_quota_that_stays_full_ends_as_quota_at_the_pending_timeout() -> None:
    with sandbox(OTTO_PENDING_TIMEOUT_SECONDS="1", bounds=SHORT_PAUSES) as place:
        place.start()
        path = f"/api/v1/namespaces/{place.kube.namespace}/resourcequotas"
        quota = {
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}},
        }  # fmt: skip
        assert place.kube.request("POST", path, quota)[0] == 201
        counted = lambda: place.kube.request("GET", f"{path}/none")[1].get("status", {}).get("hard")  # noqa: E731
        wait_for(counted, "the quota is in force")
        event_id = place.scale_up(1)
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"], worker["pod"]) == ("failed", "Quota", "")
        assert "exceeded quota" in worker["message"]


def test_what_the_api_server_refuses_for_good_is_rejected_with_its_sentence(one_replica: Sandbox) -> None:
    place = one_replica
    if place.cluster is not None:
        sentence = "pods is forbidden: maximum memory usage per Container is 1Mi, but limit is 512Mi"
        place.cluster.faults.answer(403, verb="create", path="/pods", reason="Forbidden", message=sentence)
    else:
        limits = {
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"},
            "spec": {"limits": [{"type": "Container", "max": {"memory": "1Mi"}}]},
        }  # fmt: skip
        path = f"/api/v1/namespaces/{place.kube.namespace}/limitranges"
        assert place.kube.request("POST", path, limits)[0] == 201
    event_id = place.scale_up(1)
    worker = place.only_worker(event_id)
    if place.cluster is None:
        place.kube.request("DELETE", f"{path}/small")
    assert (worker["status"], worker["reason"]) == ("failed", "Rejected")
    assert (worker["pod"], worker["attempt"]) == ("", "0")
    assert "maximum memory usage per Container" in worker["message"]


@local_only
def test_a_node_that_is_not_ready_means_wait_and_nothing_is_forced(one_replica: Sandbox) -> None:
    place = one_replica
    assert place.cluster is not None
    event_id = place.scale_up(1, run_seconds=FOREVER, task_id="lost")
    pod = running_pod(place, event_id)
    place.cluster.faults.lose_node(pod["spec"]["nodeName"])
    wait_for(lambda: deleting(place, event_id), "the Pod is marked for deletion")
    stays(
        lambda: [attempt(p) for p in place.kube.workers(event_id)] == ["0"] and not place.workers(event_id),
        "it did not wait for the node",
        1.5,
    )
    place.cluster.faults.recover_node(pod["spec"]["nodeName"])
    wait_for(lambda: [p for p in place.kube.workers(event_id) if attempt(p) == "1"], "a new attempt")
    place.wait_event(place.send("scale_down", task_id="lost"))


def was_kept(place: Sandbox, kept: str, seconds: float, *, beside: str) -> None:
    """Its Pod was kept for so long after its end. Meanwhile the other's came and went, in the only slot."""
    place.wait_no_pods()
    if place.cluster is None:  # a real API server keeps no audit for us
        return
    (life,), (other,) = lives(place)[kept, 0, 0], lives(place)[beside, 0, 0]
    assert life.deleted is not None
    assert other.deleted is not None
    assert other.created < other.deleted < life.deleted
    ended = datetime.fromisoformat(place.workers(kept)[0]["finished_at"]).timestamp()
    assert life.deleted - ended >= seconds


@pytest.mark.parametrize(("kept", "gone"), [("failed", "succeeded"), ("succeeded", "failed")])
def test_an_ended_pod_is_kept_for_its_time_holding_no_slot_and_then_deleted(kept: str, gone: str) -> None:
    settings: dict[str, Any] = {f"OTTO_{kept.upper()}_POD_TTL_SECONDS": "1.5", "OTTO_MAX_WORKERS": "1"}
    with sandbox(**settings) as place:
        place.start()
        ids = {}
        for status in (kept, gone):
            ids[status] = place.scale_up(1, env={"SIM_EXIT_CODE": str(int(status == "failed"))})
            assert place.wait_event(ids[status])["status"] == status
        was_kept(place, ids[kept], 1.5, beside=ids[gone])
        assert len(place.workers(ids[kept])) == 1


@local_only
def test_the_last_log_lines_of_a_failed_worker_are_its_message(real_containers: Sandbox) -> None:
    place = real_containers
    failed = place.send(
        "scale_up", pod_count=1, command="echo started; echo no such file: build.xml >&2; exit 3"
    )
    told = place.send("scale_up", pod_count=1, command="echo to be read > /dev/termination-log; exit 4")
    silent = place.send("scale_up", pod_count=1, command="exit 5")
    worker = place.only_worker(failed)
    assert (worker["reason"], worker["exit_code"]) == ("Error", "3")
    assert "no such file: build.xml" in worker["message"]
    assert place.only_worker(told)["exit_code"] == "4"
    worker = place.only_worker(silent)
    assert worker["message"] == "it ended with exit code 5"


@local_only
def test_a_worker_killed_by_a_signal_of_its_own_is_an_error_not_a_deletion(real_containers: Sandbox) -> None:
    place = real_containers
    event_id = place.send("scale_up", pod_count=1, command="kill -9 $$")
    worker = place.only_worker(event_id)
    assert (worker["reason"], worker["exit_code"], worker["attempt"]) == ("Error", "137", "0")


def test_a_long_message_is_cut_to_4_kib_without_halving_a_character(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(1, run_seconds=FOREVER)
    pod = running_pod(place, event_id)
    containers = ended_container(pod, exitCode=9, message="é" * 5000)
    set_phase(place, pod, "Failed", containerStatuses=containers)
    worker = place.only_worker(event_id)
    assert (worker["reason"], worker["exit_code"]) == ("Error", "9")
    assert 4000 < len(worker["message"].encode()) <= 4096
    assert worker["message"].startswith("éé")
    assert "�" not in worker["message"]
