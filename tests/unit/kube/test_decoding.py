"""A Pod's text is read without what nobody looks at, and never otherwise changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ottoscaler.errors import UnusableAnswer
from ottoscaler.kube.decoding import pod, slim
from ottoscaler.pods.view import parse_pod

MANAGED = [{"manager": "kubelet", "fieldsV1": {"f:spec": {'k:{"name":"worker"}': {}}}}, {"manager": "x"}]
SPEC = {"containers": [{"name": "worker", "env": [{"name": "A", "value": "b"}]}], "nodeName": "node-7"}
STATUS = {
    "phase": "Failed",
    "conditions": [{"type": "Ready", "status": "False"}],
    "containerStatuses": [{"name": "worker", "state": {"terminated": {"exitCode": 3}}}],
}


def line(metadata: dict[str, Any], spec: dict[str, Any] | None = None) -> bytes:
    pod = {"kind": "Pod", "metadata": metadata, "spec": SPEC if spec is None else spec, "status": STATUS}
    return json.dumps({"type": "MODIFIED", "object": pod}, separators=(",", ":")).encode()


def slimmed(text: bytes) -> Any:
    return json.loads(slim(text))["object"]


def test_of_the_spec_only_the_node_is_kept() -> None:
    pod = slimmed(line({"name": "a"}))
    assert pod["spec"] == {"nodeName": "node-7"}
    assert (pod["metadata"], pod["status"]) == ({"name": "a"}, STATUS)


def test_a_pod_without_a_node_keeps_an_empty_spec() -> None:
    assert slimmed(line({"name": "a"}, {"containers": []}))["spec"] == {}


def test_the_servers_book_keeping_is_left_out() -> None:
    assert slimmed(line({"name": "a", "managedFields": MANAGED}))["metadata"] == {"name": "a"}


def test_what_is_kept_is_all_that_a_view_needs() -> None:
    labels = {"ottoscaler.io/event-id": "1717-0", "ottoscaler.io/index": "1", "ottoscaler.io/attempt": "0"}
    whole = line({"name": "a", "uid": "u", "labels": labels, "managedFields": MANAGED})
    assert parse_pod(slimmed(whole)) == parse_pod(json.loads(whole)["object"])
    assert len(slim(whole)) < len(whole)


def test_a_text_laid_out_otherwise_stays_whole() -> None:
    spaced = json.dumps(json.loads(line({"name": "a", "managedFields": MANAGED}))).encode()
    assert slim(spaced) == spaced
    shuffled = line({"managedFields": MANAGED, "name": "a"})
    assert slimmed(shuffled)["metadata"] == {"managedFields": MANAGED, "name": "a"}
    status = b'{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure","code":410}}'
    assert slim(status) == status


def test_users_text_cannot_pass_for_any_of_it() -> None:
    evil = ',"managedFields":[{}]},"spec":{"evil":true},"status":{"phase":"Succeeded"'
    words = {"annotation": evil, "name": "a"}
    env = {"containers": [{"env": '"nodeName":"evil"},"status":{"phase":"Succeeded"'}], "nodeName": "node-7"}
    pod = slimmed(line({**words, "managedFields": MANAGED}, env))
    assert pod == {"kind": "Pod", "metadata": words, "spec": {"nodeName": "node-7"}, "status": STATUS}
    told = {"phase": "Failed", "message": '},"status":{"phase":"Succeeded"}'}
    text = json.dumps({"metadata": words, "spec": env, "status": told}, separators=(",", ":")).encode()
    assert json.loads(slim(text))["status"] == told


def test_answer_about_another_object_says_nothing_about_the_pod_that_was_asked_for() -> None:
    other = {"kind": "Namespace", "metadata": {"name": "b", "uid": "1"}}
    assert pod("get", other, "b") is other
    with pytest.raises(UnusableAnswer, match="not about a"):
        pod("get", other, "a")
