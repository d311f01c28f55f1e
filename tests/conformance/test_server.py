"""What is not about Pods: health, versions, discovery, access reviews, namespaces, nodes."""

from __future__ import annotations

import contextlib
import json
import time
from email.utils import parsedate_to_datetime

import pytest

from .client import ApiServer, Namespace, pod


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_a_plain_ok(server: ApiServer, path: str) -> None:
    reply = server.call("GET", path)
    assert (reply.code, reply.body) == (200, "ok")


@pytest.mark.parametrize("query", ["", "?watch=1&timeoutSeconds=1"])
def test_every_answer_tells_the_servers_time(server: ApiServer, query: str) -> None:
    told = server.call("GET", f"/api/v1/namespaces{query}").headers["date"]
    assert abs(parsedate_to_datetime(told).timestamp() - time.time()) < 10


def test_version_names_major_and_minor(server: ApiServer) -> None:
    reply = server.call("GET", "/version")
    assert reply["major"] == "1"
    assert reply["gitVersion"].startswith("v1.")


def test_discovery_leads_to_pods(server: ApiServer) -> None:
    assert server.call("GET", "/api")["versions"] == ["v1"]
    resources = {one["name"]: one for one in server.call("GET", "/api/v1")["resources"]}
    assert resources["pods"]["kind"] == "Pod"
    assert resources["pods"]["shortNames"] == ["po"]
    assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= set(resources["pods"]["verbs"])
    assert {"pods/log", "pods/status", "pods/eviction", "namespaces", "nodes", "events"} <= set(resources)
    groups = {group["name"] for group in server.call("GET", "/apis")["groups"]}
    assert "authorization.k8s.io" in groups


def test_unknown_resource_is_not_found(server: ApiServer) -> None:
    reply = server.call("GET", "/api/v1/namespaces/default/foos")
    assert (reply.code, reply["message"]) == (404, "the server could not find the requested resource")
    assert server.call("GET", "/apis/foo/v1/x").code == 404


@pytest.mark.parametrize(("method", "path"), [("POST", "/a"), ("PUT", ""), ("PATCH", "")])
def test_method_that_a_path_does_not_know_is_not_allowed(
    namespace: Namespace, method: str, path: str
) -> None:
    reply = namespace.server.call(method, namespace.pods + path, {}, "application/merge-patch+json")
    assert (reply.code, reply["reason"]) == (405, "MethodNotAllowed")


def test_client_that_expects_it_is_told_once_that_its_body_is_waited_for(namespace: Namespace) -> None:
    body = json.dumps(pod("a")).encode()
    headers = {**namespace.server.headers(), "Content-Length": str(len(body)), "Expect": "100-continue"}
    with contextlib.closing(namespace.server.connect()) as connection:
        connection.putrequest("POST", namespace.pods)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body[:-2])
        assert connection.sock.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(body[-2:-1])
        assert namespace.server.call("GET", f"{namespace.pods}/a").code == 404
        connection.send(body[-1:])
        assert connection.sock.recv(12) == b"HTTP/1.1 201"


def test_access_review_says_yes(namespace: Namespace) -> None:
    attributes = {"verb": "create", "resource": "pods", "namespace": namespace.name}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    reply = namespace.server.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    assert (reply.code, reply["kind"]) == (201, "SelfSubjectAccessReview")
    assert reply["status"]["allowed"] is True
    assert reply["spec"]["resourceAttributes"] == attributes


def test_namespaces_have_names_and_phases(namespace: Namespace) -> None:
    server = namespace.server
    names = [item["metadata"]["name"] for item in server.call("GET", "/api/v1/namespaces")["items"]]
    assert {"default", "kube-system", namespace.name} <= set(names)
    assert server.call("GET", namespace.path)["status"]["phase"] == "Active"
    again = server.call("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
    assert (again.code, again["message"]) == (409, 'namespaces "default" already exists')
    missing = server.call("GET", "/api/v1/namespaces/nowhere")
    assert (missing.code, missing["message"]) == (404, 'namespaces "nowhere" not found')
    assert server.call("POST", "/api/v1/namespaces", {"metadata": {"name": "A.b"}}).code == 422


def test_node_is_ready(server: ApiServer) -> None:
    node = server.call("GET", "/api/v1/nodes/fake-0")
    ready = [one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"]
    assert ready == ["True"]
    assert server.call("GET", "/api/v1/nodes")["kind"] == "NodeList"


def test_events_can_be_written_and_listed(namespace: Namespace) -> None:
    created = namespace.create(pod(schedulerName="nobody"))
    event = {
        "metadata": {"name": "a.1"},
        "involvedObject": {
            "kind": "Pod",
            "namespace": namespace.name,
            "name": "a",
            "uid": created["metadata"]["uid"],
        },
        "reason": "Tested",
        "type": "Normal",
    }
    path = f"{namespace.path}/events"
    assert namespace.server.call("POST", path, event).code == 201
    reply = namespace.server.call("GET", f"{path}?fieldSelector=involvedObject.name%3Da")
    assert [item["reason"] for item in reply["items"]] == ["Tested"]
    assert namespace.server.call("GET", f"{path}?fieldSelector=involvedObject.name%3Db")["items"] == []
