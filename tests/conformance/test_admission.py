"""Webhooks before a create: slow, denying, failing, rewriting; and what else refuses a Pod for a while."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .admission import WEBHOOK, Admission, admission
from .client import ALONE, Namespace, Reply, pod, until


@pytest.fixture
def webhook(request: pytest.FixtureRequest, namespace: Namespace, tmp_path: Path) -> Iterator[Admission]:
    real = request.node.callspec.params["server"] == "real"
    with admission(namespace, tmp_path, real=real) as made:
        yield made


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 429, 500, 503])
def test_denial_has_the_status_that_the_webhook_gives(
    namespace: Namespace, webhook: Admission, status: int
) -> None:
    webhook.deny("no such team", status)
    reply = namespace.create(pod())
    assert reply.code == status
    assert reply.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'admission webhook "{WEBHOOK}" denied the request: no such team',
        "code": status,
    }
    assert namespace.get("a").code == 404


def test_denial_without_a_message_tells_its_reason_or_none(namespace: Namespace, webhook: Admission) -> None:
    webhook.deny("", 403, "Forbidden")
    reply = namespace.create(pod())
    denied = f'admission webhook "{WEBHOOK}" denied the request'
    assert (reply.code, reply["reason"], reply["message"]) == (403, "Forbidden", f"{denied}: Forbidden")


def test_denial_without_any_explanation(namespace: Namespace, webhook: Admission) -> None:
    webhook.deny("", 403)
    reply = namespace.create(pod())
    assert reply["message"] == f'admission webhook "{WEBHOOK}" denied the request without explanation'


def test_webhook_that_does_not_answer_is_an_internal_error(namespace: Namespace, webhook: Admission) -> None:
    webhook.fail()
    reply = namespace.create(pod())
    assert (reply.code, reply["reason"]) == (500, "InternalError")
    assert reply["message"].startswith(f'Internal error occurred: failed calling webhook "{WEBHOOK}": ')
    assert "context deadline exceeded" in reply["message"]
    assert reply["details"]["causes"] == [
        {"message": reply["message"].removeprefix("Internal error occurred: ")}
    ]
    assert namespace.get("a").code == 404


def test_rewritten_labels_show_in_the_creates_reply(namespace: Namespace, webhook: Admission) -> None:
    webhook.relabel({"managed-by": "helm", "app": None, "ottoscaler.io/x": "y"})
    reply = namespace.create(pod(metadata={"labels": {"managed-by": "me", "app": "a", "b": "c"}}, **ALONE))
    assert reply.code == 201
    assert reply["metadata"]["labels"] == {"managed-by": "helm", "b": "c", "ottoscaler.io/x": "y"}
    assert namespace.names(labelSelector="app=a") == []
    assert namespace.names(labelSelector="managed-by=helm") == ["a"]


def test_pod_that_a_webhook_renamed_has_the_new_name_only(namespace: Namespace, webhook: Admission) -> None:
    webhook.rename("a", "x-")
    reply = namespace.create(pod("a", **ALONE))
    assert (reply.code, reply["metadata"]["name"]) == (201, "x-a")
    assert namespace.names() == ["x-a"]


def test_slow_webhook_delays_a_create(namespace: Namespace, webhook: Admission) -> None:
    webhook.delay(0.5)
    began = time.monotonic()
    assert namespace.create(pod(**ALONE)).code == 201
    assert time.monotonic() - began >= 0.5


def test_client_that_gives_up_on_a_slow_webhook_gets_no_pod(namespace: Namespace, webhook: Admission) -> None:
    webhook.delay(1.5)
    name = next(name for name in "abcdef" if gives_up(namespace, name, within=0.75))
    began = time.monotonic()
    assert namespace.create(pod("z", **ALONE)).code == 201  # passes the same webhook, so the other is over
    assert time.monotonic() - began >= 1.5
    assert namespace.get(name).code == 404


def gives_up(namespace: Namespace, name: str, *, within: float) -> bool:
    """Whether the client had gone in time: on a machine that stands still it may go too late."""
    began = time.monotonic()
    with contextlib.closing(namespace.server.connect()) as connection:
        connection.timeout = 0.2
        headers = {"Content-Type": "application/json"}
        connection.request("POST", namespace.pods, json.dumps(pod(name, **ALONE)), headers)
        with contextlib.suppress(TimeoutError, http.client.HTTPException):
            connection.getresponse()
            return False
    return time.monotonic() - began < within


def test_quota_whose_use_is_unknown_forbids_for_a_moment(namespace: Namespace) -> None:
    path = f"{namespace.path}/resourcequotas"
    body = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "5", "requests.cpu": "5"}}}
    container = {"resources": {"requests": {"cpu": "100m"}}}
    assert namespace.server.call("POST", path, body).code == 201

    def create() -> Reply:
        status = {"status": {"hard": {"pods": "5", "requests.cpu": "5"}, "used": None}}
        namespace.server.call("PATCH", f"{path}/q/status", status, "application/merge-patch+json")
        return namespace.create(pod(container=container), "?dryRun=All")

    reply = until(create, lambda reply: reply.code == 403)
    assert reply["message"].startswith('pods "a" is forbidden: status unknown for quota: q')
    assert (reply["reason"], reply["details"]) == ("Forbidden", {"name": "a", "kind": "pods"})
    hard = {"spec": {"hard": {"pods": "6"}}}  # the controller counts anew where the limits change
    assert namespace.server.call("PATCH", f"{path}/q", hard, "application/merge-patch+json").code == 200
    until(lambda: namespace.create(pod(container=container), "?dryRun=All"), lambda reply: reply.code == 201)


def test_service_account_that_comes_later_lets_pods_in(namespace: Namespace) -> None:
    body = pod(serviceAccountName="late", **ALONE)
    reply = namespace.create(body)
    assert (reply.code, reply["reason"]) == (403, "Forbidden")
    assert 'serviceaccount "late" not found' in reply["message"]
    made = namespace.server.call("POST", f"{namespace.path}/serviceaccounts", {"metadata": {"name": "late"}})
    assert made.code == 201
    until(lambda: namespace.create(body), lambda reply: reply.code == 201)
