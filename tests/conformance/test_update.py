"""Changing Pods: versions, what is fixed, the patch formats, and the status subresource."""

from __future__ import annotations

from typing import Any

import pytest

from .client import ALONE, JSON_PATCH, MERGE, STRATEGIC, Namespace, pod


@pytest.fixture
def made(namespace: Namespace) -> dict[str, Any]:
    """A Pod that only the test changes."""
    body = pod(metadata={"labels": {"a": "1", "b": "2"}}, **ALONE)
    created: dict[str, Any] = namespace.create(body).body
    return created


def test_put_changes_labels_and_raises_the_version(namespace: Namespace, made: dict[str, Any]) -> None:
    made["metadata"]["labels"] = {"c": "3"}
    reply = namespace.put("a", made)
    assert reply.code == 200
    assert reply["metadata"]["labels"] == {"c": "3"}
    assert int(reply["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert reply["metadata"]["uid"] == made["metadata"]["uid"]


def test_put_that_changes_nothing_keeps_the_version(namespace: Namespace, made: dict[str, Any]) -> None:
    reply = namespace.put("a", made)
    assert (reply.code, reply["metadata"]["resourceVersion"]) == (200, made["metadata"]["resourceVersion"])


def test_put_with_an_old_version_is_a_conflict(namespace: Namespace, made: dict[str, Any]) -> None:
    namespace.patch("a", {"metadata": {"labels": {"x": "y"}}})
    reply = namespace.put("a", made)
    assert (reply.code, reply["reason"]) == (409, "Conflict")
    assert reply["message"] == (
        'Operation cannot be fulfilled on pods "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_put_with_another_uid_is_a_conflict(namespace: Namespace, made: dict[str, Any]) -> None:
    made["metadata"]["uid"] = "other"
    reply = namespace.put("a", made)
    assert (reply.code, reply["reason"]) == (409, "Conflict")
    assert "UID in precondition: other" in reply["message"]


def test_put_under_another_name_is_a_bad_request(namespace: Namespace, made: dict[str, Any]) -> None:
    made["metadata"]["name"] = "other"
    reply = namespace.put("a", made)
    assert reply.code == 400
    assert reply["message"] == "the name of the object (other) does not match the name on the URL (a)"


def test_put_of_no_pod_is_not_found(namespace: Namespace) -> None:
    assert namespace.put("nobody", pod("nobody")).code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"restartPolicy": "Always"},
        {"terminationGracePeriodSeconds": 5},
        {"nodeSelector": {"a": "b"}},
        {"containers": [{"name": "worker", "image": "busybox", "command": ["x"]}]},
    ],
)
def test_spec_is_fixed(namespace: Namespace, made: dict[str, Any], change: dict[str, Any]) -> None:
    reply = namespace.patch("a", {"spec": change})
    assert (reply.code, reply["reason"]) == (422, "Invalid")
    assert reply["details"]["causes"][0]["reason"] == "FieldValueForbidden"
    assert "pod updates may not change fields other than" in reply["message"]


def test_image_and_deadline_may_change(namespace: Namespace, made: dict[str, Any]) -> None:
    spec = {"activeDeadlineSeconds": 50, "containers": [{"name": "worker", "image": "other"}]}
    reply = namespace.patch("a", {"spec": spec}, STRATEGIC)
    assert reply.code == 200
    assert reply["spec"]["containers"][0]["image"] == "other"
    shorter = namespace.patch("a", {"spec": {"activeDeadlineSeconds": 40}})
    assert (shorter.code, shorter["spec"]["activeDeadlineSeconds"]) == (200, 40)
    assert namespace.patch("a", {"spec": {"activeDeadlineSeconds": 60}}).code == 422


def test_merge_patch_sets_and_removes(namespace: Namespace, made: dict[str, Any]) -> None:
    change = {"metadata": {"labels": {"a": None, "c": "3"}, "annotations": {"x": "y"}}}
    reply = namespace.patch("a", change)
    assert reply.code == 200
    assert reply["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert reply["metadata"]["annotations"] == {"x": "y"}


def test_json_patch_works(namespace: Namespace, made: dict[str, Any]) -> None:
    operations = [
        {"op": "test", "path": "/metadata/labels/a", "value": "1"},
        {"op": "replace", "path": "/metadata/labels/a", "value": "9"},
        {"op": "remove", "path": "/metadata/labels/b"},
        {"op": "add", "path": "/metadata/labels/x~1y", "value": "z"},
    ]
    reply = namespace.patch("a", operations, JSON_PATCH)
    assert reply.code == 200
    assert reply["metadata"]["labels"] == {"a": "9", "x/y": "z"}


def test_json_patch_whose_test_fails_changes_nothing(namespace: Namespace, made: dict[str, Any]) -> None:
    operations = [
        {"op": "remove", "path": "/metadata/labels/a"},
        {"op": "test", "path": "/metadata/labels/b", "value": "0"},
    ]
    assert namespace.patch("a", operations, JSON_PATCH).code == 422
    assert namespace.get("a")["metadata"]["labels"] == {"a": "1", "b": "2"}


def test_patch_with_an_old_version_is_a_conflict(namespace: Namespace, made: dict[str, Any]) -> None:
    reply = namespace.patch("a", {"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}})
    assert (reply.code, reply["reason"]) == (409, "Conflict")


def test_patch_of_the_uid_is_invalid(namespace: Namespace, made: dict[str, Any]) -> None:
    reply = namespace.patch("a", {"metadata": {"uid": "other"}})
    assert reply.code == 422
    assert reply["details"]["causes"][0]["field"] == "metadata.uid"


def test_patch_with_a_bad_label_is_invalid(namespace: Namespace, made: dict[str, Any]) -> None:
    assert namespace.patch("a", {"metadata": {"labels": {"x": "a b"}}}).code == 422


def test_patch_needs_a_patch_media_type(namespace: Namespace, made: dict[str, Any]) -> None:
    reply = namespace.patch("a", {"metadata": {}}, "application/json")
    assert (reply.code, reply["reason"]) == (415, "UnsupportedMediaType")


def test_patch_of_no_pod_is_not_found(namespace: Namespace) -> None:
    assert namespace.patch("nobody", {"metadata": {}}).code == 404


def test_dry_run_of_a_patch_changes_nothing(namespace: Namespace, made: dict[str, Any]) -> None:
    path = f"{namespace.pods}/a?dryRun=All"
    reply = namespace.server.call("PATCH", path, {"metadata": {"labels": {"x": "y"}}}, MERGE)
    assert (reply.code, reply["metadata"]["labels"]["x"]) == (200, "y")
    assert namespace.get("a")["metadata"]["labels"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize("content_type", [MERGE, STRATEGIC])
def test_status_is_written_through_its_subresource(
    namespace: Namespace, made: dict[str, Any], content_type: str
) -> None:
    change = {"status": {"phase": "Failed", "reason": "Evicted", "message": "why"}}
    reply = namespace.patch("a", change, content_type, "/status")
    assert reply.code == 200
    stored = namespace.get("a")
    assert (stored["status"]["phase"], stored["status"]["reason"]) == ("Failed", "Evicted")
    assert stored["status"]["qosClass"] == "BestEffort"


def test_status_subresource_leaves_the_spec_alone(namespace: Namespace, made: dict[str, Any]) -> None:
    reply = namespace.patch(
        "a", {"spec": {"restartPolicy": "Always"}, "status": {"phase": "Running"}}, MERGE, "/status"
    )
    assert reply.code == 200
    assert namespace.get("a")["spec"]["restartPolicy"] == "Never"


def test_main_resource_leaves_the_status_alone(namespace: Namespace, made: dict[str, Any]) -> None:
    assert namespace.patch("a", {"status": {"phase": "Failed"}}).code == 200
    assert namespace.get("a")["status"]["phase"] == "Pending"


def test_status_can_be_put(namespace: Namespace, made: dict[str, Any]) -> None:
    made["status"]["phase"] = "Succeeded"
    assert namespace.put("a", made, "/status").code == 200
    assert namespace.get("a", "/status")["status"]["phase"] == "Succeeded"


def test_strategic_patch_merges_conditions_by_type(namespace: Namespace, made: dict[str, Any]) -> None:
    for kind, status in (("Ready", "False"), ("Initialized", "True"), ("Ready", "True")):
        condition = {"type": kind, "status": status}
        assert namespace.patch("a", {"status": {"conditions": [condition]}}, STRATEGIC, "/status").code == 200
    conditions = namespace.get("a")["status"]["conditions"]
    assert {one["type"]: one["status"] for one in conditions} == {"Ready": "True", "Initialized": "True"}
