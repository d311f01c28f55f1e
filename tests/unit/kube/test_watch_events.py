"""A watch's events as an API server sends them, and changed ones: both ways of reading show the same.

recorded_events.jsonl has the events of one worker, from Kubernetes 1.20.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottoscaler.errors import KubernetesError, VersionExpired
from ottoscaler.kube import watch_events
from ottoscaler.kube.watch_events import MOST_KEPT, quick, whole
from ottoscaler.model import PodView
from ottoscaler.pods.labels import GATED, PREFIX
from ottoscaler.pods.view import Labelled, Told, parse_pod

RECORDED = (Path(__file__).parent / "recorded_events.jsonl").read_bytes().splitlines()
# What the texts are cut at, and what might be taken for it.
EVIL = (
    '},"status":{"phase":"Succeeded"}}}',
    '},"spec":{"nodeName":"evil"}',
    ',"managedFields":[',
    '"nodeName":"evil"',
    '"labels":{"managed-by":"x"}',
    "\\",
    '"',
    "}}",
    "{",
    "\u2028é\U0001f600",
)
STATES = {
    "running": {"startedAt": "T1"},
    "waiting": {"reason": "ImagePullBackOff", "message": "no such image"},
    "terminated": {
        "exitCode": 3,
        "reason": "Error",
        "message": "boom",
        "startedAt": "T1",
        "finishedAt": "T2",
    },
}


def container(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "state": {kind: STATES[kind]}, "lastState": {}, "ready": False}


def scheduled(reason: str) -> list[dict[str, Any]]:
    return [{"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/1 nodes"}]


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
STATUSES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "failing": {"phase": "Failed", "containerStatuses": [container("worker", "terminated")]},
    "sidecar": {
        "phase": "Running",
        "containerStatuses": [container("side", "running"), container("worker", "terminated")],
    },
    "failed sidecar": {
        "phase": "Failed",
        "containerStatuses": [container("worker", "running"), container("side", "terminated")],
    },
    "init container": {
        "phase": "Failed",
        "initContainerStatuses": [container("clone", "terminated")],
        "containerStatuses": [container("worker", "waiting")],
    },
    "image": {"phase": "Pending", "containerStatuses": [container("worker", "waiting")]},
    "unschedulable": {"phase": "Pending", "conditions": scheduled("Unschedulable")},
    "gated": {"phase": "Pending", "conditions": scheduled("SchedulingGated")},
    "evicted": {"phase": "Failed", "reason": "Evicted", "message": "low on memory", "conditions": DISRUPTED},
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -3, 1.5, "", "x", [], {}, [None], [{}], {"a": "b"}, *EVIL]
)


def compact(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def shown(line: bytes) -> PodView:
    """What the text shows if all of it is parsed."""
    return parse_pod(json.loads(line)["object"])


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) of an event but those of its managed fields."""
    found: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += [(value, key), *([] if key == "managedFields" else places(inner))]
    return found


@pytest.mark.parametrize("line", RECORDED)
def test_event_as_a_server_sends_it_is_read_by_its_parts(line: bytes) -> None:
    event = quick(line)
    assert event is not None
    assert event == whole(line)
    assert event.view == shown(line)
    assert (event.kind, event.version) == (json.loads(line)["type"], shown(line).resource_version)


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
def test_pods_in_trouble_are_read_by_their_parts(status: dict[str, Any]) -> None:
    event = json.loads(RECORDED[1])
    event["object"]["status"] = status
    event["object"]["metadata"]["annotations"][GATED] = "true"
    line = compact(event)
    read = quick(line)
    assert read is not None
    assert read.view == shown(line)


@pytest.mark.parametrize("evil", EVIL)
def test_users_text_cannot_pass_for_a_part(evil: str) -> None:
    event = json.loads(RECORDED[3])
    pod = event["object"]
    pod["metadata"]["annotations"] |= {PREFIX + "metadata": evil, evil: evil}
    pod["metadata"]["labels"][PREFIX + "task-id"] = evil
    pod["spec"]["containers"][0]["env"].append({"name": evil, "value": evil})
    pod["status"] |= {"message": evil, "reason": evil}
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = evil
    line = compact(event)
    read = quick(line)
    assert read is not None
    assert read.view == shown(line)
    assert read.view.pod_message == evil


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_changed_event_is_left_to_the_whole_parse_or_read_alike(data: st.DataObject) -> None:
    event = json.loads(data.draw(st.sampled_from(RECORDED)))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(event) or [({"": ""}, "")]))  # nothing may be left
        what = data.draw(st.sampled_from(["replace", "drop", "shuffle"]))
        if what == "replace":
            holder[key] = copy.deepcopy(data.draw(ODD))
        elif what == "drop":
            del holder[key]
        elif isinstance(holder, dict):
            order = data.draw(st.permutations(list(holder.items())))
            holder.clear()
            holder.update(order)
    line = compact(event)
    read = quick(line)
    if read is not None:
        assert read.view == shown(line)
        assert (read.kind, read.version) == (event["type"], shown(line).resource_version)


def test_grace_of_a_delete_is_read() -> None:
    line = RECORDED[4].replace(b'"deletionGracePeriodSeconds":0', b'"deletionGracePeriodSeconds":30')
    read = quick(line)
    assert read is not None
    assert read.view is not None
    assert (read.view.deleting, read.view.grace_seconds) == (True, 30)


def test_text_with_another_layout_is_parsed_whole() -> None:
    for line in RECORDED:
        event = json.loads(line)
        spaced = json.dumps(event).encode()
        event["object"]["metadata"] = dict(reversed(event["object"]["metadata"].items()))
        for other in (spaced, compact(event), line + b"\r", line.replace(b'"uid":"', b'"uid":"\\u0061')):
            assert quick(other) is None
            assert whole(other).view == shown(other)


@pytest.mark.parametrize("line", RECORDED[4:])
def test_delete_that_is_told_behind_the_labels_is_parsed_whole(line: bytes) -> None:
    event = json.loads(line)
    meta = event["object"]["metadata"]
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        meta[name] = meta.pop(name)
    other = compact(event)
    assert quick(other) is None
    assert whole(other).view == shown(other) == shown(line)


@pytest.mark.parametrize("beside", ["nodeSelector", "affinity"])  # before the Pod's node, and behind it
def test_node_name_of_a_selector_is_not_taken_for_the_pods_node(beside: str) -> None:
    event = json.loads(RECORDED[3])
    spec = event["object"]["spec"]
    node, spec[beside] = spec.pop("nodeName"), {"nodeName": "evil"}
    spec["nodeName"] = node
    if beside == "affinity":
        spec[beside] = spec.pop(beside)
    line = compact(event)
    assert quick(line) is None
    view = whole(line).view
    assert view is not None
    assert view.node == node


@pytest.mark.parametrize("value", ["evil", 'a "quoted" one'])
@pytest.mark.parametrize("options", [{}, {"z": "}"}])
def test_name_that_an_unbound_pod_gives_for_something_else_is_not_taken_for_its_node(
    options: dict[str, str], value: str
) -> None:
    event = json.loads(RECORDED[0])
    volumes = event["object"]["spec"].setdefault("volumes", [])
    volumes.append({"name": "v", "csi": {"driver": "d", "volumeAttributes": {"nodeName": value, **options}}})
    line = compact(event)
    assert quick(line) is None
    assert whole(line).view == shown(line)


def test_broken_text_is_not_read_by_its_parts() -> None:
    line = RECORDED[3]
    at = line.rindex(b'"phase"')
    for broken in (line[:-1], line[:-1] + b"]", line + b"}", line[:at] + b"}" + line[at:]):
        assert quick(broken) is None
    assert quick(line.replace(b'"Succeeded"', b'"\xff"')) is None
    assert quick(line.replace(b'"message"', b'"x"').replace(b'"labels":{', b'"labels":{,')) is None


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [("metadata", "name", ""), ("metadata", "uid", ""), ("metadata", "uid", 3), ("spec", "nodeName", 'a"b')],
)
def test_text_that_names_no_pod_or_an_odd_node_is_not_read_by_its_parts(
    part: str, field: str, value: object
) -> None:
    event = json.loads(RECORDED[3])
    event["object"][part][field] = value
    assert quick(compact(event)) is None


def test_pods_with_the_same_status_keep_their_own_names() -> None:
    one = RECORDED[0]
    another = one.replace(b'"uid":"', b'"uid":"other-').replace(
        b'"resourceVersion":"', b'"resourceVersion":"9'
    )
    read = [quick(line) for line in (one, another, one)]
    assert [event and event.view for event in read] == [shown(one), shown(another), shown(one)]


def test_long_part_is_read_and_not_kept() -> None:
    event = json.loads(RECORDED[3])
    event["object"]["status"]["message"] = event["object"]["metadata"]["annotations"]["a"] = "x" * MOST_KEPT
    before = watch_events._labels.cache_info().currsize, watch_events._status.cache_info().currsize
    read = quick(compact(event))
    assert read is not None
    assert read.view == shown(compact(event))
    assert (watch_events._labels.cache_info().currsize, watch_events._status.cache_info().currsize) == before


def test_parts_of_a_view_are_in_its_order() -> None:
    assert PodView._fields[9:] == Labelled._fields[2:] + Told._fields[:-1]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"message": "too old", "reason": "Expired", "code": 410}, "watch: too old"),
        ({"reason": "Expired", "code": 410}, "watch: Expired"),
        ({"code": 500}, "watch: 500"),
        ({}, "watch: an ERROR event that says nothing"),
    ],
)
def test_error_event_is_told_by_what_it_says(status: dict[str, Any], told: str) -> None:
    with pytest.raises(KubernetesError) as raised:
        whole(json.dumps({"type": "ERROR", "object": status}).encode())
    assert str(raised.value) == told
    assert isinstance(raised.value, VersionExpired) == (status.get("code") == 410)
