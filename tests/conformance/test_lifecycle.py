"""A Pod's life on a node, as a simulated kubelet plays it: phases, conditions, container states, logs."""

from __future__ import annotations

from typing import Any

import pytest

from .client import FOREVER, SHORT, Namespace, pod


def state(status: dict[str, Any]) -> dict[str, Any]:
    one: dict[str, Any] = status["containerStatuses"][0]["state"]
    return one


def test_pod_is_bound_runs_and_succeeds(namespace: Namespace) -> None:
    version = namespace.list()["metadata"]["resourceVersion"]
    namespace.create(pod(annotations=SHORT))
    phases: list[str] = []
    with namespace.follow(resourceVersion=version) as events:
        for event in events:
            obj = event["object"]
            phases.append(obj["status"]["phase"])
            if len(phases) == 1:
                assert "nodeName" not in obj["spec"]
            if phases[-1] == "Succeeded":
                break
    assert list(dict.fromkeys(phases)) == ["Pending", "Running", "Succeeded"]
    assert obj["spec"]["nodeName"] == "fake-0"
    ended = state(obj["status"])["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["startedAt"] <= ended["finishedAt"]
    conditions = {one["type"]: one["status"] for one in obj["status"]["conditions"]}
    assert conditions == {
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }


def test_running_pod_is_ready_and_has_an_address(namespace: Namespace) -> None:
    namespace.create(pod(annotations=FOREVER))
    status = namespace.until_phase("a", "Running")["status"]
    assert state(status)["running"]["startedAt"]
    container = status["containerStatuses"][0]
    assert (container["name"], container["ready"], container["started"]) == ("worker", True, True)
    assert container["restartCount"] == 0
    assert status["podIP"] == status["podIPs"][0]["ip"]
    assert status["startTime"]
    assert status["hostIP"]


@pytest.mark.parametrize(
    ("code", "reason", "expected"), [("3", "", "Error"), ("137", "OOMKilled", "OOMKilled")]
)
def test_failed_container_fails_the_pod(namespace: Namespace, code: str, reason: str, expected: str) -> None:
    annotations = {**SHORT, "sim/exit-code": code, **({"sim/reason": reason} if reason else {})}
    namespace.create(pod(annotations=annotations))
    ended = state(namespace.until_phase("a", "Failed")["status"])["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (int(code), expected)


def test_variables_say_how_it_goes(namespace: Namespace) -> None:
    env = [
        {"name": "SIM_RUN_SECONDS", "value": "0.05"},
        {"name": "SIM_START_DELAY", "value": "0"},
        {"name": "SIM_EXIT_CODE", "value": "9"},
    ]
    namespace.create(pod(container={"env": env}))
    assert state(namespace.until_phase("a", "Failed")["status"])["terminated"]["exitCode"] == 9


def test_image_that_cannot_be_pulled_waits(namespace: Namespace) -> None:
    namespace.create(pod(annotations={**SHORT, "sim/waiting": "ImagePullBackOff"}))
    reply = namespace.until("a", lambda reply: "containerStatuses" in reply["status"])
    assert reply["status"]["phase"] == "Pending"
    assert state(reply["status"])["waiting"]["reason"] == "ImagePullBackOff"
    assert not reply["status"]["containerStatuses"][0]["ready"]


def test_deadline_ends_the_pod(namespace: Namespace) -> None:
    namespace.create(pod(annotations=FOREVER, activeDeadlineSeconds=1))
    status = namespace.until_phase("a", "Failed")["status"]
    assert status["reason"] == "DeadlineExceeded"
    assert status["message"] == "Pod was active on the node longer than the specified deadline"


def test_failed_container_is_restarted_where_the_policy_says_so(namespace: Namespace) -> None:
    namespace.create(pod(annotations={**SHORT, "sim/exit-code": "1"}, restartPolicy="OnFailure"))
    reply = namespace.until(
        "a",
        lambda reply: reply["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 1,
    )
    last = reply["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 1
    assert reply["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            {"nodeSelector": {"x": "y"}},
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity.",
        ),
        (
            {"container": {"resources": {"requests": {"cpu": "99999"}}}},
            "0/1 nodes are available: 1 Insufficient cpu.",
        ),
    ],
)
def test_pod_that_fits_nowhere_is_unschedulable(
    namespace: Namespace, spec: dict[str, Any], complaint: str
) -> None:
    namespace.create(pod(**spec))
    reply = namespace.until("a", lambda reply: bool(reply["status"].get("conditions")))
    condition = reply["status"]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    assert (condition["reason"], condition["message"]) == ("Unschedulable", complaint)
    assert "nodeName" not in reply["spec"]


def test_log_shows_what_was_said(namespace: Namespace) -> None:
    namespace.create(pod(annotations={**FOREVER, "sim/log": "hello\n"}))
    namespace.until_phase("a", "Running")
    reply = namespace.get("a", "/log")
    assert (reply.code, reply.body) == (200, "hello\n")
    assert reply.headers["content-type"] == "text/plain"
    assert namespace.get("a", "/log?container=worker").body == "hello\n"


def test_log_of_a_wrong_container_or_pod(namespace: Namespace) -> None:
    namespace.create(pod(annotations=FOREVER))
    namespace.until_phase("a", "Running")
    reply = namespace.get("a", "/log?container=other")
    assert (reply.code, reply["message"]) == (400, "container other is not valid for pod a")
    assert namespace.get("nobody", "/log").code == 404
    negative = namespace.get("a", "/log?tailLines=-1")
    assert (negative.code, negative["details"]["kind"]) == (422, "PodLogOptions")


def test_log_of_several_containers_needs_a_name(namespace: Namespace) -> None:
    containers = [{"name": name, "image": "busybox"} for name in ("one", "two")]
    namespace.create(pod(annotations=FOREVER, containers=containers))
    namespace.until_phase("a", "Running")
    reply = namespace.get("a", "/log")
    assert reply.code == 400
    assert reply["message"] == "a container name must be specified for pod a, choose one of: [one two]"
