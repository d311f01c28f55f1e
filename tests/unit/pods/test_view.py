"""What is read from Pods as API servers really send them, and from odd ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottoscaler.model import JsonObject, Phase, WorkerId
from ottoscaler.pods.view import parse_pod
from tests.harness.pod_makers import planned, scale_up


def pod(**status: Any) -> JsonObject:
    made = planned(scale_up(task_id="build 17", metadata={"b": "1"})).pod(2, 1)
    made["metadata"] |= {"uid": "u-1", "resourceVersion": "42", "creationTimestamp": "2026-01-02T12:00:00Z"}
    return {**made, "spec": {**made["spec"], "nodeName": "node-a"}, "status": status}


def container(name: str, kind: str, **state: Any) -> JsonObject:
    return {"name": name, "state": {kind: state}}


def test_our_own_pod_is_recognised() -> None:
    view = parse_pod(pod(phase="Pending"))
    assert view.worker == WorkerId("1717-0", 2, 1)
    assert (view.instance, view.installation) == ("ci", "0a1b2c3d")
    assert (view.task_id, view.metadata) == ("build 17", '{"b":"1"}')
    assert (view.uid, view.resource_version, view.node) == ("u-1", "42", "node-a")
    assert view.created_at == "2026-01-02T12:00:00Z"
    assert (view.phase, view.deleting, view.terminal, view.started) == (Phase.PENDING, False, False, False)


def test_of_long_metadata_only_the_length_is_kept() -> None:
    made = planned(scale_up(metadata={"b": "x" * 3000})).pod(0, 0)
    assert json.loads(parse_pod(made).metadata) == {"ottoscaler.io/omitted": "3008 characters"}


@pytest.mark.parametrize("label", ["event-id", "index", "attempt"])
@pytest.mark.parametrize("value", [None, "", "x", "-1", "1\n", "٣", 3])
def test_pod_whose_name_and_labels_do_not_name_a_worker_has_none(label: str, value: object) -> None:
    odd = pod()
    odd["metadata"]["name"] = "a-copy"
    odd["metadata"]["labels"][f"ottoscaler.io/{label}"] = value
    assert parse_pod(odd).worker is None


def test_name_says_whose_pod_it_is_whatever_a_webhook_made_of_its_labels() -> None:
    odd = pod()
    odd["metadata"]["labels"] |= {"ottoscaler.io/index": "7", "managed-by": "helm"}
    view = parse_pod(odd)
    assert (view.worker, view.managed) == (WorkerId("1717-0", 2, 1), False)
    odd["metadata"]["name"] = "a-copy"
    assert parse_pod(odd).worker == WorkerId("1717-0", 7, 1)


def test_running_worker_has_a_start() -> None:
    view = parse_pod(pod(phase="Running", containerStatuses=[container("worker", "running", startedAt="T1")]))
    assert (view.phase, view.started_at, view.exit_code) == (Phase.RUNNING, "T1", None)


def test_ended_worker_has_an_exit_code_and_a_message() -> None:
    ended = container(
        "worker", "terminated", exitCode=3, reason="Error", message="boom", startedAt="T1", finishedAt="T2"
    )
    view = parse_pod(pod(phase="Failed", containerStatuses=[container("side", "running"), ended]))
    assert (view.exit_code, view.container_reason, view.container_message) == (3, "Error", "boom")
    assert (view.started_at, view.finished_at) == ("T1", "T2")


def test_container_that_never_started_has_no_start_in_1970() -> None:
    ended = container(
        "worker", "terminated", exitCode=128, startedAt="1970-01-01T00:00:00Z", reason="StartError"
    )
    assert not parse_pod(pod(phase="Failed", containerStatuses=[ended])).started


def test_container_that_its_kubelet_lost_at_a_deletion_has_ended_not_never_begun() -> None:
    lost = container("worker", "waiting", reason="ContainerCreating")
    lost["lastState"] = {
        "terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None}
    }
    beside = container("side", "terminated", exitCode=143, reason="Error")
    view = parse_pod(pod(phase="Failed", containerStatuses=[lost, beside]))
    assert (view.exit_code, view.container_reason) == (137, "ContainerStatusUnknown")
    assert parse_pod(pod(phase="Pending", containerStatuses=[lost])).exit_code is None


def test_pod_without_a_container_named_worker_is_read_by_its_first() -> None:
    view = parse_pod(pod(containerStatuses=[container("main", "terminated", exitCode=0)]))
    assert view.exit_code == 0


def test_trouble_of_an_init_container_is_seen_before_the_worker_s_calm_wait() -> None:
    view = parse_pod(
        pod(
            phase="Pending",
            initContainerStatuses=[
                container("clone", "waiting", reason="ImagePullBackOff", message="no such image")
            ],
            containerStatuses=[container("worker", "waiting", reason="PodInitializing")],
        )
    )
    assert (view.waiting_reason, view.waiting_message) == ("ImagePullBackOff", "no such image")


@pytest.mark.parametrize(
    "worker",
    [
        container("worker", "running", startedAt="T1"),
        container("worker", "terminated", exitCode=0, startedAt="T1", finishedAt="T2"),
        container("worker", "waiting", reason="ContainerCreating"),
    ],
)
def test_sidecar_that_cannot_start_keeps_the_worker_from_nothing(worker: JsonObject) -> None:
    side = container("side", "waiting", reason="ImagePullBackOff", message="no such image")
    view = parse_pod(pod(phase="Pending", containerStatuses=[side, worker]))
    assert view.waiting_reason in ("", "ContainerCreating")


def test_init_container_that_restarts_beside_a_running_worker_keeps_it_from_nothing() -> None:
    view = parse_pod(
        pod(
            phase="Running",
            initContainerStatuses=[container("proxy", "waiting", reason="ImagePullBackOff")],
            containerStatuses=[container("worker", "running", startedAt="T1")],
        )
    )
    assert view.waiting_reason == ""


def test_calm_wait_is_the_worker_s() -> None:
    view = parse_pod(pod(containerStatuses=[container("worker", "waiting", reason="ContainerCreating")]))
    assert view.waiting_reason == "ContainerCreating"


def test_failed_init_container_is_named() -> None:
    view = parse_pod(
        pod(
            phase="Failed",
            initContainerStatuses=[
                container("clone", "terminated", exitCode=128, reason="Error", message="no key")
            ],
            containerStatuses=[container("worker", "waiting", reason="PodInitializing")],
        )
    )
    assert view.container_reason == "Error"
    assert view.container_message == "init container clone ended with exit code 128: no key"
    assert view.exit_code is None


def test_container_that_failed_first_is_named_and_not_those_that_were_killed_after_it() -> None:
    ends = {"a": (137, "T1"), "b": (2, "T3"), "c": (4, "T2"), "d": (143, "T0")}
    beside = [
        container(name, "terminated", exitCode=code, reason="Error", finishedAt=at)
        for name, (code, at) in ends.items()
    ]
    waits = container("worker", "waiting", reason="PodInitializing")
    assert parse_pod(pod(phase="Failed", containerStatuses=[*beside, waits])).container_message == (
        "container c ended with exit code 4"
    )


def test_conditions_are_read() -> None:
    view = parse_pod(
        pod(
            conditions=[
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/3 nodes",
                },
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "PreemptionByScheduler",
                    "message": "m",
                },
                {"type": "Ready", "status": "False"},
            ]
        )
    )
    assert view.unschedulable == "0/3 nodes"
    assert (view.disruption, view.disruption_message) == ("PreemptionByScheduler", "m")


def test_conditions_that_do_not_hold_are_not_seen() -> None:
    view = parse_pod(
        pod(
            conditions=[
                {"type": "PodScheduled", "status": "True", "reason": "Unschedulable"},
                {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"},
                {"type": "DisruptionTarget", "status": "False", "reason": "x"},
            ]
        )
    )
    assert (view.unschedulable, view.disruption) == ("", "")


def test_deletion_is_seen_whatever_the_phase() -> None:
    dying = pod(phase="Running")
    dying["metadata"]["deletionTimestamp"] = "2026-01-02T12:01:00Z"
    assert parse_pod(dying).deleting
    assert not parse_pod(dying).given_grace
    dying["metadata"]["deletionGracePeriodSeconds"] = 30
    assert parse_pod(dying).given_grace


def test_times_of_the_api_server_and_of_the_node_are_told_apart() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "T1"}
    view = parse_pod(pod(phase="Running", startTime="T2", conditions=[scheduled]))
    assert (view.bound_at, view.accepted_at) == ("T1", "T2")


def test_phase_of_another_world_is_unknown() -> None:
    assert parse_pod(pod(phase="Sleeping")).phase is Phase.UNKNOWN


WORDS = """
    metadata spec status labels annotations containers containerStatuses initContainerStatuses state
    terminated waiting running conditions phase reason message exitCode name env type deletionTimestamp
"""
KEYS = st.sampled_from(WORDS.split())
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["Failed", "worker"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(KEYS, JUNK, max_size=6))
def test_no_object_is_too_odd_to_look_at(odd: JsonObject) -> None:
    assert parse_pod(odd).phase in Phase


@pytest.mark.parametrize(("annotated", "reason", "gated"), [
    (True, "SchedulingGated", True), (False, "SchedulingGated", False), (True, "Unschedulable", False),
])  # fmt: skip
def test_only_a_pod_of_ours_that_its_gate_still_holds_is_gated(
    annotated: bool, reason: str, gated: bool
) -> None:
    held = pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": reason}])
    if annotated:
        held["metadata"]["annotations"]["ottoscaler.io/start-gate"] = "true"
    assert parse_pod(held).gated is gated
