"""The patch formats, beyond what the conformance suite shows over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ottoscaler.local.apiserver import patch
from ottoscaler.local.apiserver.statuses import ApiError


@pytest.mark.parametrize(
    ("target", "change", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": ["b"]}, {"a": ["c"]}, {"a": ["c"]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "b"}, ["c"], ["c"]),
    ],
)
def test_merge_patch_follows_its_rfc(target: Any, change: Any, result: Any) -> None:
    assert patch.merge(target, change) == result


def test_patched_object_is_left_as_it_was() -> None:
    target = {"metadata": {"labels": {"a": "1"}}, "list": [{"name": "x", "v": 1}]}
    for function in (patch.merge, patch.strategic_merge):
        function(target, {"metadata": {"labels": {"a": "2"}}, "containers": [{"name": "x"}]})
    patch.json_patch(target, [{"op": "remove", "path": "/metadata/labels/a"}])
    assert target == {"metadata": {"labels": {"a": "1"}}, "list": [{"name": "x", "v": 1}]}


def test_strategic_patch_merges_and_deletes_containers_by_name() -> None:
    target = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}
    change = {
        "$setElementOrder/containers": [{"name": "b"}],
        "containers": [{"name": "b", "image": "2"}, {"$patch": "delete", "name": "a"}, {"name": "c"}],
    }
    assert patch.strategic_merge(target, change) == {
        "containers": [{"name": "b", "image": "2"}, {"name": "c"}]
    }


def test_strategic_patch_edits_finalizers_one_by_one() -> None:
    target = {"finalizers": ["a", "b"]}
    added = patch.strategic_merge(target, {"finalizers": ["c"]})
    assert added == {"finalizers": ["a", "b", "c"]}
    assert patch.strategic_merge(added, {"$deleteFromPrimitiveList/finalizers": ["a"]}) == {
        "finalizers": ["b", "c"]
    }


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/x"},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "sing", "path": "/a"},
        {"op": "replace", "path": "/l/7", "value": 1},
    ],
)
def test_json_patch_that_cannot_be_done_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        patch.json_patch({"a": 1, "l": []}, [operation])
    assert refused.value.code == 422


def test_json_patch_moves_and_copies() -> None:
    operations = [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "move", "from": "/a", "path": "/c/-"}]
    assert patch.json_patch({"a": 1, "c": []}, operations) == {"b": 1, "c": [1]}
