"""A Pod's text is read without what nobody looks at, and never otherwise changed."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from ottoscaler.errors import UnusableAnswer
from ottoscaler.kube.decoding import page, slim
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
    env = {"env": '"nodeName":"evil"},"status":{"phase":"Succeeded"', "nodeName": "node-7"}
    pod = slimmed(line({**words, "managedFields": MANAGED}, env))
    assert pod == {"kind": "Pod", "metadata": words, "spec": {"nodeName": "node-7"}, "status": STATUS}
    told = {"phase": "Failed", "message": '},"status":{"phase":"Succeeded"}'}
    text = json.dumps({"metadata": words, "spec": env, "status": told}, separators=(",", ":")).encode()
    assert json.loads(slim(text))["status"] == told


# --- a list's page


def names(text: str) -> tuple[list[str], str, str]:
    return page(text.encode(), lambda item: str(item["metadata"]["name"]))


def a_page(text: str) -> str:
    """``text`` with A and B for two Pods."""
    for name in ("A", "B"):
        text = text.replace(name, f'{{"metadata": {{"name": "{name.lower()}", "uid": "u"}}}}')
    return text


@pytest.mark.parametrize(
    "text",
    [
        '{"metadata":{"resourceVersion":"7","continue":"c"},"items":[A,B]}',
        '{"items" : [ A ,\n B ] , "metadata": {"continue":"c","resourceVersion": "7"}}',
    ],
)
def test_pods_of_a_page_are_kept_in_their_order(text: str) -> None:
    assert names(a_page(text)) == (["a", "b"], "7", "c")


@pytest.mark.parametrize("items", ["[]", "[ ]", "null"])
def test_empty_page_is_no_error(items: str) -> None:
    assert names('{"metadata":{"resourceVersion":"7"},"items":ITEMS}'.replace("ITEMS", items)) == (
        [],
        "7",
        "",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "[]",
        '{"items":[]}',
        '{"metadata":{"resourceVersion":"7"},"items":[',
        '{"metadata":{"resourceVersion":"7"},"items":[{}]}',
        '{"metadata":{"resourceVersion":"7"},"items":[A',
        '{"metadata":{"resourceVersion":"7"},"items":[A,]}',
        '{"metadata":{"resourceVersion":"7"},"items":[A]}}',
        '{"metadata":{"resourceVersion":"7"},"items":[AB]}',
        '{"metadata":{"resourceVersion":"7"},"items":{"a":1}}',
        '{"metadata":{"resourceVersion":"7","x":{"items":[]}},"items":[A]}',
    ],
)
def test_page_that_is_no_list_of_pods_is_unusable_and_never_empty(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        names(a_page(text))


def test_page_holds_one_decoded_pod_at_a_time() -> None:
    fat = {"metadata": {"name": "a", "uid": "u", "annotations": {str(n): "x" * 20 for n in range(5000)}}}
    data = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [fat] * 40}).encode()
    tracemalloc.start()
    try:
        page(data, lambda item: item["metadata"]["name"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * len(data)
