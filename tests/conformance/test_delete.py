"""Deleting Pods: grace periods, preconditions, evictions, collections."""

from __future__ import annotations

from typing import Any

import pytest

from .client import ALONE, FOREVER, JSON_PATCH, SHORT, Namespace, pod, until

# Ends 5 s after its deletion, unless a test makes an end of it before.
SLOW = {**FOREVER, "sim/term-seconds": "5"}


def running(namespace: Namespace, annotations: dict[str, str], **spec: Any) -> str:
    """A running Pod; its uid."""
    uid: str = namespace.create(pod(annotations=annotations, **spec))["metadata"]["uid"]
    namespace.until_phase("a", "Running")
    return uid


def test_missing_pod_is_not_found(namespace: Namespace) -> None:
    for reply in (namespace.get("nobody"), namespace.delete("nobody")):
        assert reply.code == 404
        assert reply.body == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": 'pods "nobody" not found',
            "reason": "NotFound",
            "details": {"name": "nobody", "kind": "pods"},
            "code": 404,
        }


def test_running_pod_gets_its_own_grace_period(namespace: Namespace) -> None:
    running(namespace, SLOW, terminationGracePeriodSeconds=7)
    reply = namespace.delete("a")
    assert reply.code == 200
    assert reply["metadata"]["deletionGracePeriodSeconds"] == 7
    assert reply["metadata"]["deletionTimestamp"]
    assert namespace.get("a")["metadata"]["deletionTimestamp"] == reply["metadata"]["deletionTimestamp"]


def test_deleted_pod_ends_and_is_gone(namespace: Namespace) -> None:
    running(namespace, FOREVER)
    version = namespace.list()["metadata"]["resourceVersion"]
    namespace.delete("a")
    seen = []
    with namespace.follow(resourceVersion=version) as events:
        for event in events:
            seen.append((event["type"], event["object"]["status"]["phase"]))
            if event["type"] == "DELETED":
                break
    assert seen[0] == ("MODIFIED", "Running")  # marked
    assert seen[-1] == ("DELETED", "Failed")  # exit code 143
    assert namespace.get("a").code == 404


def test_answer_to_a_delete_shows_whether_the_pod_had_ended_before_it(namespace: Namespace) -> None:
    """Which is how a worker that ended by itself is told from one that a scale_down ended."""
    namespace.create(pod(annotations=SHORT))
    namespace.until_phase("a", "Succeeded")
    reply = namespace.delete("a")
    assert reply.code == 200
    assert (reply["kind"], reply["status"]["phase"]) == ("Pod", "Succeeded")
    assert not reply["metadata"].get("deletionGracePeriodSeconds")


@pytest.mark.parametrize("how", ["body", "query"])
def test_grace_period_can_be_given(namespace: Namespace, how: str) -> None:
    running(namespace, SLOW)
    options, query = ({"gracePeriodSeconds": 3}, "") if how == "body" else (None, "?gracePeriodSeconds=3")
    reply = namespace.delete("a", options, query)
    assert reply["metadata"]["deletionGracePeriodSeconds"] == 3


def test_second_delete_may_only_shorten_the_grace_period(namespace: Namespace) -> None:
    running(namespace, SLOW)
    first = namespace.delete("a", {"gracePeriodSeconds": 20})
    same = namespace.delete("a")
    assert (same.code, same["metadata"]["deletionGracePeriodSeconds"]) == (200, 20)
    assert same["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    longer = namespace.delete("a", {"gracePeriodSeconds": 30})
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 20
    shorter = namespace.delete("a", {"gracePeriodSeconds": 10})
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 10
    assert shorter["metadata"]["deletionTimestamp"] < first["metadata"]["deletionTimestamp"]


def test_grace_of_nothing_removes_at_once(namespace: Namespace) -> None:
    running(namespace, SLOW)
    assert namespace.delete("a", {"gracePeriodSeconds": 0}).code == 200
    assert namespace.get("a").code == 404


def test_unscheduled_pod_is_removed_at_once(namespace: Namespace) -> None:
    namespace.create(pod(**ALONE))
    reply = namespace.delete("a")
    assert (reply.code, reply["metadata"]["deletionGracePeriodSeconds"]) == (200, 0)
    assert namespace.get("a").code == 404


def test_finished_pod_is_removed_at_once(namespace: Namespace) -> None:
    namespace.create(pod(annotations=SHORT))
    namespace.until_phase("a", "Succeeded")
    assert namespace.delete("a").code == 200
    assert namespace.get("a").code == 404


def test_name_is_free_again_with_another_uid(namespace: Namespace) -> None:
    first = namespace.create(pod(**ALONE))["metadata"]["uid"]
    namespace.delete("a")
    second = namespace.create(pod(**ALONE))
    assert second.code == 201
    assert second["metadata"]["uid"] != first


def test_uid_precondition_protects_a_namesake(namespace: Namespace) -> None:
    uid = namespace.create(pod(**ALONE))["metadata"]["uid"]
    reply = namespace.delete("a", {"preconditions": {"uid": "other"}})
    assert (reply.code, reply["reason"]) == (409, "Conflict")
    assert reply["message"] == (
        'Operation cannot be fulfilled on Pod "a": the UID in the precondition (other) does not match '
        f"the UID in record ({uid}). The object might have been deleted and then recreated"
    )
    assert reply["details"] == {"name": "a", "kind": "Pod"}
    assert namespace.delete("a", {"preconditions": {"uid": uid}}).code == 200
    assert namespace.delete("a", {"preconditions": {"uid": uid}}).code == 404


def test_version_precondition_protects_a_change(namespace: Namespace) -> None:
    version = namespace.create(pod(**ALONE))["metadata"]["resourceVersion"]
    namespace.patch("a", {"metadata": {"labels": {"x": "y"}}})
    reply = namespace.delete("a", {"preconditions": {"resourceVersion": version}})
    assert (reply.code, reply["reason"]) == (409, "Conflict")
    assert "the ResourceVersion in the precondition" in reply["message"]
    assert namespace.get("a").code == 200


def test_dry_run_deletes_nothing(namespace: Namespace) -> None:
    namespace.create(pod(**ALONE))
    assert namespace.delete("a", query="?dryRun=All").code == 200
    assert "deletionTimestamp" not in namespace.get("a")["metadata"]
    reply = namespace.delete("a", query="?dryRun=Foo")
    assert reply.code == 422
    assert reply["details"]["causes"][0]["field"] == "dryRun"


def test_unreadable_options_are_refused(namespace: Namespace) -> None:
    namespace.create(pod(**ALONE))
    assert namespace.delete("a", {"gracePeriodSeconds": "5"}).code in (400, 500)  # 1.20 says 500
    assert namespace.get("a").code == 200


def test_finalizer_holds_a_deleted_pod(namespace: Namespace) -> None:
    namespace.create(pod(metadata={"finalizers": ["example.com/hold"]}, **ALONE))
    reply = namespace.delete("a")
    assert reply.code == 200
    assert namespace.get("a")["metadata"]["deletionTimestamp"]
    namespace.patch("a", [{"op": "remove", "path": "/metadata/finalizers"}], JSON_PATCH)
    assert namespace.get("a").code == 404


def test_collection_deletes_what_the_selector_takes(namespace: Namespace) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        namespace.create(pod(name, metadata={"labels": {"l": label}}, **ALONE))
    reply = namespace.server.call("DELETE", f"{namespace.pods}?labelSelector=l%3Dx")
    assert (reply.code, reply["kind"]) == (200, "PodList")
    assert [item["metadata"]["name"] for item in reply["items"]] == ["a", "b"]
    assert namespace.names() == ["c"]


def eviction(namespace: Namespace, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace.name}
    return {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": metadata}


def test_eviction_deletes_with_grace(namespace: Namespace) -> None:
    running(namespace, SLOW, terminationGracePeriodSeconds=9)
    reply = namespace.server.call("POST", f"{namespace.pods}/a/eviction", eviction(namespace, "a"))
    assert (reply.code, reply["kind"], reply["status"]) == (201, "Status", "Success")
    assert namespace.get("a")["metadata"]["deletionGracePeriodSeconds"] == 9


def test_eviction_of_no_pod_is_not_found(namespace: Namespace) -> None:
    reply = namespace.server.call("POST", f"{namespace.pods}/b/eviction", eviction(namespace, "b"))
    assert (reply.code, reply["message"]) == (404, 'pods "b" not found')


def test_deleted_namespace_takes_its_pods_along(namespace: Namespace) -> None:
    # A real server's namespace controller looks again after half of the longest grace. It first ends the
    # namespaces of the tests before, ten at a time: 33 s for 200 of them, beside three busy processes.
    running(namespace, FOREVER, terminationGracePeriodSeconds=1)
    namespace.server.call("DELETE", namespace.path)
    until(lambda: namespace.get("a"), lambda reply: reply.code == 404, seconds=120.0)
    until(lambda: namespace.server.call("GET", namespace.path), lambda reply: reply.code == 404)
