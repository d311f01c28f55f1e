"""Creating Pods: defaults, names, and the refusals that are not about single fields."""

from __future__ import annotations

import re

import pytest

from .client import FOREVER, ApiServer, Namespace, pod


def test_created_pod_comes_back_with_identity_and_defaults(namespace: Namespace) -> None:
    reply = namespace.create(
        {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "w", "image": "busybox"}]}}
    )
    assert reply.code == 201
    assert (reply["kind"], reply["apiVersion"]) == ("Pod", "v1")
    metadata, spec = reply["metadata"], reply["spec"]
    assert metadata["namespace"] == namespace.name
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert metadata["resourceVersion"].isdigit()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert reply["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    expected = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "enableServiceLinks": True,
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    assert {key: spec.get(key) for key in expected} == expected
    assert [one["key"] for one in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    container = spec["containers"][0]
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "File"
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"] == {}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("registry:5000/x/busybox", "Always"),
        ("busybox@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(namespace: Namespace, image: str, policy: str) -> None:
    reply = namespace.create(pod(container={"image": image}), "?dryRun=All")
    assert reply["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_limits_become_requests_in_canonical_form(namespace: Namespace) -> None:
    resources = {"limits": {"cpu": "0.5", "memory": "1024Mi"}}
    reply = namespace.create(pod(container={"resources": resources}), "?dryRun=All")
    canonical = {"cpu": "500m", "memory": "1Gi"}
    assert reply["spec"]["containers"][0]["resources"] == {"limits": canonical, "requests": canonical}
    assert reply["status"]["qosClass"] == "Guaranteed"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("1", "1"), ("1000m", "1"), ("0.1", "100m"), ("1.5", "1500m"), ("1e3", "1e3"), ("2000", "2k"),
        ("0", "0"), ("1Ki", "1Ki"), ("1.5Gi", "1536Mi"), ("100u", "1m"), ("1E", "1E"), ("12e6", "12e6"),
    ],
)  # fmt: skip
def test_quantities_are_stored_in_canonical_form(namespace: Namespace, given: str, stored: str) -> None:
    reply = namespace.create(pod(container={"resources": {"requests": {"memory": given}}}), "?dryRun=All")
    assert reply.code == 201
    assert reply["spec"]["containers"][0]["resources"]["requests"]["memory"] == stored


def test_requests_below_limits_are_burstable(namespace: Namespace) -> None:
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    reply = namespace.create(pod(container={"resources": resources}), "?dryRun=All")
    assert reply["status"]["qosClass"] == "Burstable"


def test_empty_value_of_a_variable_is_left_out(namespace: Namespace) -> None:
    env = [
        {"name": "A", "value": ""},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    reply = namespace.create(pod(container={"env": env}), "?dryRun=All")
    reference = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
    assert reply["spec"]["containers"][0]["env"] == [{"name": "A"}, {"name": "B", "valueFrom": reference}]


def test_generated_names_differ_and_keep_their_prefix(namespace: Namespace) -> None:
    body = pod(None, metadata={"generateName": "made-"}, annotations=FOREVER)
    names = {namespace.create(body)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"made-[a-z0-9]{5}", name) for name in names)


def test_second_pod_of_a_name_is_refused_as_already_existing(namespace: Namespace) -> None:
    namespace.create(pod(annotations=FOREVER))
    reply = namespace.create(pod())
    assert reply.code == 409
    assert reply.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "a" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "a", "kind": "pods"},
        "code": 409,
    }


def test_status_and_identity_in_a_create_are_not_heard(namespace: Namespace) -> None:
    body = pod(metadata={"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}, annotations=FOREVER)
    reply = namespace.create({**body, "status": {"phase": "Succeeded"}})
    assert reply.code == 201
    assert reply["metadata"]["uid"] != "mine"
    assert not reply["metadata"]["creationTimestamp"].startswith("2001")
    assert reply["status"]["phase"] == "Pending"


def test_dry_run_answers_as_a_create_does_and_stores_nothing(namespace: Namespace) -> None:
    reply = namespace.create(pod(), "?dryRun=All")
    assert reply.code == 201
    assert reply["metadata"]["uid"]
    assert "resourceVersion" not in reply["metadata"]
    assert namespace.get("a").code == 404


def test_create_in_a_missing_namespace_is_not_found(server: ApiServer) -> None:
    reply = server.call("POST", "/api/v1/namespaces/nowhere/pods", pod())
    assert (reply.code, reply["reason"]) == (404, "NotFound")
    assert reply["message"] == 'namespaces "nowhere" not found'
    assert reply["details"] == {"name": "nowhere", "kind": "namespaces"}


def test_create_in_an_ending_namespace_is_forbidden(namespace: Namespace) -> None:
    ended = namespace.server.call("DELETE", namespace.path)
    assert (ended.code, ended["status"]["phase"]) == (200, "Terminating")
    reply = namespace.create(pod())
    assert (reply.code, reply["reason"]) == (403, "Forbidden")
    assert f"unable to create new content in namespace {namespace.name}" in reply["message"]
    assert reply["details"]["causes"][0]["reason"] == "NamespaceTerminating"


def test_namespace_in_the_body_must_be_the_one_in_the_path(namespace: Namespace) -> None:
    reply = namespace.create(pod(metadata={"namespace": "default"}))
    assert (reply.code, reply["reason"]) == (400, "BadRequest")
    assert reply["message"] == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


def test_unknown_service_account_is_forbidden(namespace: Namespace) -> None:
    reply = namespace.create(pod(serviceAccountName="nobody"))
    assert (reply.code, reply["reason"]) == (403, "Forbidden")
    assert reply["message"] == (
        f'pods "a" is forbidden: error looking up service account {namespace.name}/nobody: '
        'serviceaccount "nobody" not found'
    )


@pytest.mark.parametrize(
    "body",
    [
        '{"metadata":',
        "[]",
        "5",
        '{"metadata":{"name":5}}',
        '{"kind":"Node","apiVersion":"v1","metadata":{"name":"x"}}',
        '{"metadata":{"name":"x","labels":{"a":5}},"spec":{"containers":[{"name":"c","image":"i"}]}}',
        '{"metadata":{"name":"x"},"spec":{"containers":{}}}',
        '{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i","command":"sh"}]}}',
        '{"metadata":{"name":"x"},"spec":{"activeDeadlineSeconds":"5"}}',
        '{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"abc"}}}]}}',
    ],
)
def test_body_that_is_no_pod_is_a_bad_request(namespace: Namespace, body: str) -> None:
    reply = namespace.server.call("POST", namespace.pods, body)
    assert (reply.code, reply["status"], reply["reason"]) == (400, "Failure", "BadRequest")


def test_unknown_media_type_is_refused(namespace: Namespace) -> None:
    reply = namespace.server.call("POST", namespace.pods, "x", "text/plain")
    assert (reply.code, reply["reason"]) == (415, "UnsupportedMediaType")
