"""What nodes and slow roads do: clocks that are wrong, Events about Pods that do not start, late creates."""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ottoscaler.local import LocalCluster

from ...conformance.client import SHORT, ApiServer, Namespace, pod, until


@pytest.fixture
def simulated() -> Iterator[Namespace]:
    with LocalCluster("simulated", redis=False) as cluster:
        yield Namespace(ApiServer(cluster.kubeconfig_path), "default")


def events(namespace: Namespace, uid: str) -> list[tuple[str, str]]:
    """Reason and message of the Events about a Pod, oldest first."""
    found = namespace.server.call("GET", f"{namespace.path}/events?fieldSelector=involvedObject.uid%3D{uid}")[
        "items"
    ]
    found.sort(key=lambda one: int(one["metadata"]["resourceVersion"]))
    return [(one["reason"], one["message"]) for one in found]


def seconds_ahead(text: str) -> float:
    return (datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_kubelet_stamps_pods_by_its_own_clock(
    cluster: LocalCluster, namespace: Namespace, ahead: int
) -> None:
    cluster.faults.shift_node_clock("fake-0", ahead)
    made = namespace.create(pod(container={"command": ["true"]}))
    assert abs(seconds_ahead(made["metadata"]["creationTimestamp"])) < 60
    status = namespace.until_phase("a", "Succeeded")["status"]
    ended = status["containerStatuses"][0]["state"]["terminated"]
    for text in (status["startTime"], ended["startedAt"], ended["finishedAt"]):
        assert abs(seconds_ahead(text) - ahead) < 60
    cluster.faults.clear()
    namespace.create(pod("b", container={"command": ["true"]}))
    started = namespace.until_phase("b", "Succeeded")["status"]["startTime"]
    assert abs(seconds_ahead(started)) < 60


def test_simulated_kubelet_has_the_nodes_clock_too(simulated: Namespace) -> None:
    fault = {"fault": "shift_node_clock", "name": "fake-0", "seconds": -3600}
    assert simulated.server.call("POST", "/faults", fault).code == 200
    simulated.create(pod(annotations=SHORT))
    status = simulated.until_phase("a", "Succeeded")["status"]
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert abs(seconds_ahead(ended["finishedAt"]) + 3600) < 60


def test_clock_of_no_node_is_not_found(namespace: Namespace) -> None:
    fault = {"fault": "shift_node_clock", "name": "nowhere", "seconds": 1}
    assert namespace.server.call("POST", "/faults", fault).code == 404


def test_missing_volume_keeps_the_pod_creating_and_is_told(namespace: Namespace) -> None:
    volumes = [{"name": "v", "configMap": {"name": "late"}}]
    uid = namespace.create(pod(volumes=volumes, container={"command": ["true"]}))["metadata"]["uid"]
    sentence = 'MountVolume.SetUp failed for volume "v" : configmap "late" not found'
    waiting = namespace.until("a", lambda reply: "containerStatuses" in reply["status"])
    assert waiting["status"]["phase"] == "Pending"
    reason = waiting["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
    assert reason == "ContainerCreating"
    assert ("FailedMount", sentence) in events(namespace, uid)
    namespace.server.call("POST", f"{namespace.path}/configmaps", {"metadata": {"name": "late"}})
    namespace.until_phase("a", "Succeeded")


def test_image_that_cannot_be_pulled_is_told_with_the_registrys_words(namespace: Namespace) -> None:
    uid = namespace.create(pod(container={"image": "does-not-exist"}))["metadata"]["uid"]

    def backed_off() -> bool:
        return ("BackOff", 'Back-off pulling image "does-not-exist"') in events(namespace, uid)

    until(lambda: namespace.get("a"), lambda _: backed_off())
    told = events(namespace, uid)
    assert told[0][0] == "Failed"
    assert told[0][1].startswith('Failed to pull image "does-not-exist": rpc error: code = NotFound desc =')
    assert [message for _, message in told[1:]] == [
        "Error: ErrImagePull",
        'Back-off pulling image "does-not-exist"',
        "Error: ImagePullBackOff",
    ]


def test_simulated_pull_fails_backs_off_and_heals(simulated: Namespace) -> None:
    annotations = {
        **SHORT,
        "sim/waiting": "ErrImagePull,ImagePullBackOff",
        "sim/waiting-message": "registry is down: 503",
        "sim/waiting-seconds": "0.2",
        "sim/event": "FailedMount no such disk",
    }
    version = simulated.list()["metadata"]["resourceVersion"]
    uid = simulated.create(pod(annotations=annotations))["metadata"]["uid"]
    simulated.until_phase("a", "Succeeded")
    statuses = [event["object"]["status"] for event in simulated.watch(resourceVersion=version)]
    states = [one["state"] for status in statuses for one in status.get("containerStatuses") or []]
    seen = [state["waiting"] for state in states if "waiting" in state]
    assert (seen[0]["reason"], seen[0]["message"]) == ("ErrImagePull", "registry is down: 503")
    assert seen[-1]["reason"] == "ImagePullBackOff"
    told = events(simulated, uid)
    assert ("Failed", 'Failed to pull image "busybox": registry is down: 503') in told
    assert ("FailedMount", "no such disk") in told


def test_late_create_is_carried_out_for_a_client_that_has_gone(
    cluster: LocalCluster, namespace: Namespace
) -> None:
    cluster.faults.deliver_late(math.inf)
    connection = namespace.server.connect()
    connection.timeout = 0.1
    body = json.dumps(pod(schedulerName="nobody"))
    connection.request("POST", namespace.pods, body, {"Content-Type": "application/json"})
    with pytest.raises((TimeoutError, http.client.HTTPException)):
        connection.getresponse()
    connection.close()
    assert namespace.get("a").code == 404
    cluster.faults.deliver_kept()
    namespace.until("a", lambda reply: reply.code == 200)
    assert namespace.create(pod("b", schedulerName="nobody")).code == 201  # only the one
    codes = [one.code for one in cluster.audit.requests("create", "pods") if one.namespace == namespace.name]
    assert codes == [201, 201]


def test_slow_create_of_a_client_that_has_gone_is_not_carried_out(
    cluster: LocalCluster, namespace: Namespace
) -> None:
    def gone_in_time(name: str) -> bool:
        """On a machine that stands still, the request may be carried out before its client has gone."""
        cluster.faults.slow(1.0, "create", r"/pods", times=1)
        connection, began = namespace.server.connect(), time.monotonic()
        body = json.dumps(pod(name, schedulerName="nobody"))
        connection.request("POST", namespace.pods, body, {"Content-Type": "application/json"})
        connection.close()
        return time.monotonic() - began < 0.5

    gone = next(name for name in "abcdef" if gone_in_time(name))
    cluster.faults.slow(1.1, "create", r"/pods", times=1)
    assert namespace.create(pod("z", schedulerName="nobody")).code == 201
    assert gone not in namespace.names()
