"""Pods with finalizers: they stay, marked for deletion, until the last finalizer is taken off."""

from __future__ import annotations

from typing import Any

import pytest

from .client import FOREVER, JSON_PATCH, MERGE, SHORT, Namespace, Reply, pod, until

KEEPER = "example.com/keeper"
FINALIZERS: dict[str, Any] = {"finalizers": [KEEPER]}


def is_held(reply: Reply) -> bool:
    """Whether it is there although nothing but its finalizer is left to wait for."""
    metadata = reply["metadata"]
    return metadata.get("deletionGracePeriodSeconds") == 0 and bool(metadata.get("deletionTimestamp"))


@pytest.mark.parametrize("how", ["merge", "json"])
def test_finished_pod_stays_until_its_finalizer_is_removed(namespace: Namespace, how: str) -> None:
    namespace.create(pod(annotations=SHORT, metadata=FINALIZERS))
    namespace.until_phase("a", "Succeeded")
    version = namespace.list()["metadata"]["resourceVersion"]
    reply = namespace.delete("a")
    assert reply.code == 200
    assert is_held(reply)
    assert namespace.get("a")["status"]["phase"] == "Succeeded"
    if how == "merge":
        patched = namespace.patch("a", {"metadata": {"finalizers": None}}, MERGE)
    else:
        patched = namespace.patch("a", [{"op": "remove", "path": "/metadata/finalizers"}], JSON_PATCH)
    assert patched.code == 200
    assert namespace.get("a").code == 404
    told = [
        (event["type"], event["object"]["status"]["phase"])
        for event in namespace.watch(resourceVersion=version)
    ]
    assert told == [("MODIFIED", "Succeeded"), ("DELETED", "Succeeded")]


def test_running_pod_is_ended_and_then_stays_terminal(namespace: Namespace) -> None:
    namespace.create(pod(annotations=FOREVER, metadata=FINALIZERS))
    namespace.until_phase("a", "Running")
    assert namespace.delete("a")["metadata"]["deletionGracePeriodSeconds"] == 30
    reply = namespace.until("a", is_held)
    assert reply["status"]["phase"] == "Failed"  # exit code 143
    assert namespace.delete("a").code == 200  # a second delete changes nothing
    assert namespace.get("a")["metadata"]["resourceVersion"] == reply["metadata"]["resourceVersion"]
    assert namespace.patch("a", {"metadata": {"finalizers": []}}).code == 200
    assert namespace.get("a").code == 404


def test_unscheduled_pod_is_held_too_and_never_runs(namespace: Namespace) -> None:
    namespace.create(pod(metadata=FINALIZERS, schedulerName="nobody"))
    assert is_held(namespace.delete("a"))
    assert namespace.get("a")["status"]["phase"] == "Pending"
    namespace.patch("a", {"metadata": {"finalizers": None}})
    assert namespace.get("a").code == 404


def test_finalizer_taken_off_a_running_pod_leaves_its_grace(namespace: Namespace) -> None:
    slow = {**FOREVER, "sim/term-seconds": "1.5"}
    namespace.create(pod(annotations=slow, metadata=FINALIZERS))
    namespace.until_phase("a", "Running")
    namespace.delete("a")
    assert namespace.patch("a", {"metadata": {"finalizers": None}}).code == 200
    assert namespace.get("a")["status"]["phase"] == "Running"
    until(lambda: namespace.get("a"), lambda reply: reply.code == 404)


def test_deleted_pod_takes_no_new_finalizer(namespace: Namespace) -> None:
    namespace.create(pod(metadata=FINALIZERS, schedulerName="nobody"))
    namespace.delete("a")
    reply = namespace.patch("a", {"metadata": {"finalizers": [KEEPER, "example.com/other"]}})
    assert (reply.code, reply["reason"]) == (422, "Invalid")
    assert reply["details"]["causes"][0]["field"] == "metadata.finalizers"
    assert (
        "no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"example.com/other"}' in reply["message"]
    )
    namespace.patch("a", {"metadata": {"finalizers": None}})


def test_finalizer_needs_a_qualified_name(namespace: Namespace) -> None:
    reply = namespace.create(pod(metadata={"finalizers": ["keeper"]}))
    assert (reply.code, reply["reason"]) == (422, "Invalid")
    assert reply["message"] == (
        'Pod "a" is invalid: metadata.finalizers[0]: Invalid value: "keeper": name is neither a standard '
        "finalizer name nor is it fully qualified"
    )
