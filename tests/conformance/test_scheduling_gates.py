"""Scheduling gates: what a gated Pod shows, when it is scheduled, and what an older server makes of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ottoscaler.local import LocalCluster
from ottoscaler.local.node.machine import ServerOptions

from .client import JSON_PATCH, SHORT, ApiServer, Namespace, pod

GATE, OTHER = "example.com/noted", "example.com/other"
GATED: dict[str, Any] = {"schedulingGates": [{"name": GATE}]}


@pytest.fixture
def gating(namespace: Namespace) -> Namespace:
    """A namespace on a server that knows gates; the tests built against 1.20 are not run there."""
    minor = int(namespace.server.call("GET", "/version")["minor"].rstrip("+"))
    if minor < 27:
        pytest.skip(f"1.{minor} knows no scheduling gates")
    return namespace


def scheduled(status: dict[str, Any]) -> dict[str, Any]:
    """The condition PodScheduled; {} where there is none."""
    found: list[dict[str, Any]] = [
        one for one in status.get("conditions") or [] if one["type"] == "PodScheduled"
    ]
    return found[0] if found else {}


def test_gated_pod_says_so_from_its_creation(gating: Namespace) -> None:
    reply = gating.create(pod(**GATED))
    assert reply.code == 201
    assert reply["spec"]["schedulingGates"] == [{"name": GATE}]
    condition = scheduled(reply["status"])
    assert (condition["status"], condition["reason"]) == ("False", "SchedulingGated")
    assert condition["message"] == "Scheduling is blocked due to non-empty scheduling gates"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"spec": {"schedulingGates": None}}, "application/merge-patch+json"),
        ({"spec": {"schedulingGates": []}}, "application/merge-patch+json"),
        ([{"op": "remove", "path": "/spec/schedulingGates/0"}], JSON_PATCH),
        (
            [
                {"op": "test", "path": "/spec/schedulingGates/0/name", "value": GATE},
                {"op": "remove", "path": "/spec/schedulingGates"},
            ],
            JSON_PATCH,
        ),
        (
            {"spec": {"schedulingGates": [{"name": GATE, "$patch": "delete"}]}},
            "application/strategic-merge-patch+json",
        ),
    ],
)
def test_pod_runs_once_its_gate_is_removed(gating: Namespace, change: Any, kind: str) -> None:
    gating.create(pod(annotations=SHORT, **GATED))
    reply = gating.patch("a", change, kind)
    assert (reply.code, "schedulingGates" in reply["spec"]) == (200, False)
    ended = gating.until_phase("a", "Succeeded")
    assert scheduled(ended["status"])["status"] == "True"


def test_gate_is_removed_by_a_put_too(gating: Namespace) -> None:
    body = gating.create(pod(annotations=SHORT, **GATED)).body
    del body["spec"]["schedulingGates"]
    assert gating.put("a", body).code == 200
    gating.until_phase("a", "Succeeded")


def test_pod_waits_for_its_last_gate(gating: Namespace) -> None:
    gating.create(pod(annotations=SHORT, schedulingGates=[{"name": GATE}, {"name": OTHER}]))
    gating.create(pod("b", annotations=SHORT))
    reply = gating.patch("a", {"spec": {"schedulingGates": [{"name": OTHER}]}})
    assert reply["spec"]["schedulingGates"] == [{"name": OTHER}]
    gating.until_phase("b", "Succeeded")
    held = gating.get("a")
    assert (held["status"]["phase"], "nodeName" in held["spec"]) == ("Pending", False)
    gating.patch("a", {"spec": {"schedulingGates": None}})
    gating.until_phase("a", "Succeeded")


def test_gate_cannot_be_added(gating: Namespace) -> None:
    gating.create(pod(**GATED))
    reply = gating.patch("a", {"spec": {"schedulingGates": [{"name": GATE}, {"name": OTHER}]}})
    assert (reply.code, reply["reason"]) == (422, "Invalid")
    assert reply["message"] == (
        'Pod "a" is invalid: spec.schedulingGates[1].name: Forbidden: only deletion is allowed, '
        f"but found new scheduling gate '{OTHER}'"
    )
    gating.create(pod("b", schedulerName="nobody"))
    assert gating.patch("b", {"spec": GATED}).code == 422


def test_gated_pod_is_deleted_at_once(gating: Namespace) -> None:
    gating.create(pod(**GATED))
    reply = gating.delete("a")
    assert (reply.code, reply["metadata"].get("deletionGracePeriodSeconds")) == (200, 0)
    assert gating.get("a").code == 404


def test_gated_pod_is_bound_to_no_node(gating: Namespace) -> None:
    reply = gating.create(pod(nodeName="fake-0", **GATED))
    assert reply.code == 422
    assert (
        "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"
        in reply["message"]
    )
    gating.create(pod(**GATED))
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "fake-0"}}
    reply = gating.server.call("POST", f"{gating.pods}/a/binding", binding)
    assert (reply.code, reply["reason"]) == (409, "Conflict")
    assert reply["message"].endswith("pod a has non-empty .spec.schedulingGates")


@pytest.mark.parametrize("name", ["", "a b"])
def test_gates_have_qualified_names_and_each_once(gating: Namespace, name: str) -> None:
    assert gating.create(pod(schedulingGates=[{"name": name}])).code == 422
    twice = gating.create(pod(schedulingGates=[{"name": GATE}, {"name": GATE}]))
    assert (twice.code, "Duplicate value" in twice["message"]) == (422, True)


@pytest.fixture
def old_namespace(server: ApiServer, namespace: Namespace) -> Iterator[Namespace]:
    """A namespace on a server without gates: the real one where it is old, else an old local one."""
    if int(server.call("GET", "/version")["minor"].rstrip("+")) < 26:
        yield namespace
        return
    with LocalCluster("simulated", ServerOptions(minor=20), redis=False) as cluster:
        yield Namespace(ApiServer(cluster.kubeconfig_path), "default")


def test_older_server_drops_gates_without_a_word(old_namespace: Namespace) -> None:
    reply = old_namespace.create(pod(annotations=SHORT, **GATED))
    assert (reply.code, "schedulingGates" in reply["spec"]) == (201, False)
    old_namespace.until_phase("a", "Succeeded")
