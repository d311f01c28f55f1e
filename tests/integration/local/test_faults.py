"""The fault switches do what their names say, in process and over HTTP, and the audit tells of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from ottoscaler.local import LocalCluster
from ottoscaler.local.apiserver.statuses import ApiError
from ottoscaler.local.node.machine import ServerOptions

from ...conformance.client import Namespace, pod

SLEEPER: dict[str, Any] = {"command": ["sleep", "300"]}


def post(url: str, **body: Any) -> None:
    request = urllib.request.Request(f"{url}/faults", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200


def rest(events: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """What still comes from a watch until its connection is cut."""
    seen = []
    with contextlib.suppress(http.client.HTTPException, ConnectionError):
        for event in events:
            seen.append(event)  # noqa: PERF402  what was seen before the cut counts
    return seen


def test_lost_create_reply_leaves_the_pod(cluster: LocalCluster, namespace: Namespace) -> None:
    cluster.faults.lose_create_replies(2)
    for name in ("a", "b"):
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            namespace.create(pod(name, container=SLEEPER))
        assert namespace.get(name).code == 200
    assert namespace.create(pod("a")).code == 409
    assert namespace.create(pod("c", container=SLEEPER)).code == 201
    records = [one for one in cluster.audit.requests("create", "pods") if one.namespace == namespace.name]
    assert [(one.name, one.code) for one in records] == [("a", 201), ("b", 201), ("a", 409), ("c", 201)]
    assert all(len(uids) == 1 for uids in cluster.audit.uids_by_name().values())


@pytest.mark.parametrize("status", [409, 500, 401, 403])
def test_request_is_answered_with_the_status_asked_for_and_not_done(
    cluster: LocalCluster, namespace: Namespace, status: int
) -> None:
    cluster.faults.answer(status, 2, "create", r"/pods$", retry_after=3)
    for _ in range(2):
        reply = namespace.create(pod())
        assert (reply.code, reply["kind"], reply["code"]) == (status, "Status", status)
        assert namespace.get("a").code == 404
    assert namespace.create(pod(container=SLEEPER)).code == 201


def test_too_many_requests_are_refused_in_plain_text_as_by_priority_and_fairness(
    cluster: LocalCluster, namespace: Namespace
) -> None:
    cluster.faults.answer(429, 1, "create", r"/pods$", retry_after=3)
    reply = namespace.create(pod())
    assert (reply.code, reply.body) == (429, "Too many requests, please try again later.\n")
    assert reply.headers["retry-after"] == "3"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert namespace.get("a").code == 404


def test_watches_expire_in_mid_stream(cluster: LocalCluster, namespace: Namespace) -> None:
    namespace.create(pod(schedulerName="nobody"))
    version = namespace.list()["metadata"]["resourceVersion"]
    with namespace.follow() as events:
        assert next(events)["type"] == "ADDED"
        cluster.faults.expire_watches()
        error = next(events)
        assert (error["type"], error["object"]["code"]) == ("ERROR", 410)
        assert list(events) == []
    again = namespace.watch(resourceVersion=version)
    assert [(event["type"], event["object"]["code"]) for event in again] == [("ERROR", 410)]
    exact = namespace.list(resourceVersion=version, resourceVersionMatch="Exact")
    assert (exact.code, exact["reason"]) == (410, "Expired")


def test_silent_watch_stays_open_and_says_nothing(cluster: LocalCluster, namespace: Namespace) -> None:
    with namespace.follow(allowWatchBookmarks="true") as events:
        assert next(events)["type"] == "BOOKMARK"
        cluster.faults.silence_watches()
        before = cluster.faults.open_watches()
        namespace.create(pod(schedulerName="nobody"))
        fresh = namespace.watch()
        assert [event["type"] for event in fresh] == ["ADDED"]
        assert cluster.faults.open_watches() == before
        cluster.faults.cut_watches()
        assert rest(events) == []


def test_slow_answer_comes_late_and_disturbs_nobody(cluster: LocalCluster, namespace: Namespace) -> None:
    cluster.faults.slow(0.4, "create", times=1)
    began = time.monotonic()
    assert namespace.create(pod(schedulerName="nobody")).code == 201
    assert time.monotonic() - began >= 0.4
    assert namespace.create(pod("b", schedulerName="nobody")).code == 201


def test_server_that_is_away_refuses_until_it_comes_back(cluster: LocalCluster, namespace: Namespace) -> None:
    with namespace.follow(allowWatchBookmarks="true") as events:
        next(events)
        cluster.faults.go_away()
        with pytest.raises(ConnectionRefusedError):
            namespace.list()
        assert {event["type"] for event in rest(events)} <= {"BOOKMARK"}
    cluster.faults.come_back()
    assert namespace.list().code == 200


def test_outage_over_http_ends_by_itself(cluster: LocalCluster, namespace: Namespace) -> None:
    post(cluster.control_url, fault="go_away", how="hanging", seconds=1.0)
    began = time.monotonic()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        namespace.list()
    assert time.monotonic() - began >= 0.2
    assert namespace.list().code == 200


def test_pod_is_evicted_from_outside(cluster: LocalCluster, namespace: Namespace) -> None:
    namespace.create(pod(container=SLEEPER))
    namespace.until_phase("a", "Running")
    cluster.faults.evict_pod(namespace.name, "a")
    status = namespace.get("a")["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")


def test_pod_vanishes(cluster: LocalCluster, namespace: Namespace) -> None:
    namespace.create(pod(container=SLEEPER))
    cluster.faults.vanish_pod(namespace.name, "a")
    assert namespace.get("a").code == 404
    life = next(one for one in cluster.audit.lives() if one.namespace == namespace.name)
    assert life.deleted is not None
    with pytest.raises(ApiError):
        cluster.faults.vanish_pod(namespace.name, "a")


def test_lost_node_keeps_its_pods_until_it_is_back(cluster: LocalCluster, namespace: Namespace) -> None:
    namespace.create(pod(container=SLEEPER))
    namespace.until_phase("a", "Running")
    cluster.faults.lose_node("fake-0")
    lost = namespace.get("a")
    assert lost["status"]["reason"] == "NodeLost"
    assert lost["metadata"]["deletionTimestamp"]
    conditions = namespace.server.call("GET", "/api/v1/nodes/fake-0")["status"]["conditions"]
    assert next(one["status"] for one in conditions if one["type"] == "Ready") == "Unknown"
    cluster.faults.recover_node("fake-0")
    namespace.until("a", lambda reply: reply.code == 404)


def test_denied_verbs_show_in_access_reviews(cluster: LocalCluster, namespace: Namespace) -> None:
    cluster.faults.deny("delete", "pods")
    allowed = []
    for verb in ("create", "delete"):
        body = {"spec": {"resourceAttributes": {"verb": verb, "resource": "pods"}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        allowed.append(namespace.server.call("POST", path, body)["status"]["allowed"])
    assert allowed == [True, False]


def test_unknown_fault_is_a_bad_request_that_names_the_known(namespace: Namespace) -> None:
    reply = namespace.server.call("POST", "/faults", {"fault": "rain"})
    assert reply.code == 400
    assert "lose_create_replies" in reply["message"]
    assert namespace.server.call("POST", "/faults", {"fault": "slow", "hours": 1}).code == 400


def test_audit_can_be_read_over_http(namespace: Namespace) -> None:
    namespace.create(pod(schedulerName="nobody"))
    document = namespace.server.call("GET", "/audit")
    assert any(one["namespace"] == namespace.name for one in document["requests"])
    assert any(one["namespace"] == namespace.name and one["name"] == "a" for one in document["pods"])


def test_wrong_token_is_unauthorized() -> None:
    from ...conformance.client import ApiServer

    with LocalCluster(None, ServerOptions(token="sesame"), redis=False) as cluster:
        server = ApiServer(cluster.kubeconfig_path)
        assert server.call("GET", "/api/v1/pods").code == 200
        server._token = "wrong"
        reply = server.call("GET", "/api/v1/pods")
        assert (reply.code, reply["reason"]) == (401, "Unauthorized")
