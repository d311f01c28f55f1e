"""Lists: order, selectors, pages, versions, tables."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from .client import ALONE, FOREVER, Namespace, pod

LABELS: dict[str, dict[str, str]] = {
    "a": {"app": "x", "tier": "front"},
    "b": {"app": "x", "tier": "back"},
    "c": {"app": "y"},
    "d": {},
}


@pytest.fixture
def four(namespace: Namespace) -> Namespace:
    """A namespace with four Pods, created in another order than their names'."""
    for name in reversed(LABELS):
        assert namespace.create(pod(name, metadata={"labels": LABELS[name]}, **ALONE)).code == 201
    return namespace


def test_list_is_ordered_by_name_and_has_a_version(four: Namespace) -> None:
    reply = four.list()
    assert (reply.code, reply["kind"], reply["apiVersion"]) == (200, "PodList", "v1")
    assert [item["metadata"]["name"] for item in reply["items"]] == ["a", "b", "c", "d"]
    assert "kind" not in reply["items"][0]
    newest = max(int(item["metadata"]["resourceVersion"]) for item in reply["items"])
    assert int(reply["metadata"]["resourceVersion"]) >= newest


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=x", "ab"), ("app==x", "ab"), ("app!=x", "cd"), ("app in (x,y)", "abc"), ("app in (y)", "c"),
        ("app notin (x)", "cd"), ("app", "abc"), ("!app", "d"), ("app=x,tier=back", "b"), ("app=x,!tier", ""),
        ("tier notin (back),app", "ac"), ("app=", ""), (" app = x , tier in ( front )", "a"), ("", "abcd"),
    ],
)  # fmt: skip
def test_label_selectors(four: Namespace, selector: str, names: str) -> None:
    assert four.names(labelSelector=selector) == list(names)


@pytest.mark.parametrize("selector", ["a b c", "=x", "app in x", "app in (x", "a=b=c", "app=x,,tier"])
def test_unreadable_label_selector_is_a_bad_request(four: Namespace, selector: str) -> None:
    reply = four.list(labelSelector=selector)
    assert (reply.code, reply["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("metadata.name=a", "a"), ("metadata.name==b", "b"), ("metadata.name!=a", "bcd"),
        ("status.phase=Pending", "abcd"), ("status.phase!=Pending", ""), ("spec.nodeName=", "abcd"),
        ("spec.nodeName!=", ""), ("metadata.name!=a,metadata.name!=b", "cd"),
    ],
)  # fmt: skip
def test_field_selectors(four: Namespace, selector: str, names: str) -> None:
    assert four.names(fieldSelector=selector) == list(names)


def test_field_selector_knows_the_namespace(four: Namespace) -> None:
    selector = quote(f"metadata.namespace={four.name}")
    reply = four.server.call("GET", f"/api/v1/pods?fieldSelector={selector}")
    assert [item["metadata"]["name"] for item in reply["items"]] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("selector", ["spec.foo=x", "foo", "metadata.labels.app=x"])
def test_unknown_field_selector_is_a_bad_request(four: Namespace, selector: str) -> None:
    reply = four.list(fieldSelector=selector)
    assert (reply.code, reply["reason"]) == (400, "BadRequest")


def test_pages_cover_everything_once_at_one_version(four: Namespace) -> None:
    first = four.list(limit="3")
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b", "c"]
    assert first["metadata"]["remainingItemCount"] == 1
    four.create(pod("e", **ALONE))
    second = four.list(limit="3", **{"continue": first["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in second["items"]] == ["d"]
    assert "continue" not in second["metadata"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_page_that_holds_all_has_no_token(four: Namespace) -> None:
    assert "continue" not in four.list(limit="4")["metadata"]


def test_unreadable_token_is_a_bad_request(four: Namespace) -> None:
    assert four.list(limit="1", **{"continue": "abc"}).code == 400


@pytest.mark.parametrize("limit", ["x", "1.5"])
def test_unreadable_limit_is_a_bad_request(four: Namespace, limit: str) -> None:
    assert four.list(limit=limit).code == 400


def test_list_at_an_exact_version_shows_what_was_then(four: Namespace) -> None:
    version = four.list()["metadata"]["resourceVersion"]
    four.delete("a")
    four.create(pod("e", **ALONE))
    then = four.names(resourceVersion=version, resourceVersionMatch="Exact")
    assert then == ["a", "b", "c", "d"]
    assert four.names() == ["b", "c", "d", "e"]


def test_list_of_a_version_to_come_is_a_timeout(four: Namespace) -> None:
    reply = four.list(resourceVersion="999999999")
    assert (reply.code, reply["reason"]) == (504, "Timeout")
    assert reply["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert reply.headers["retry-after"] == "1"


def test_list_from_any_version_shows_the_present(four: Namespace) -> None:
    assert sorted(four.names(resourceVersion="0")) == ["a", "b", "c", "d"]  # a cache has no order


def test_empty_list_has_items(namespace: Namespace) -> None:
    assert namespace.list()["items"] == []


def test_table_is_what_kubectl_prints(namespace: Namespace) -> None:
    namespace.create(pod(annotations=FOREVER))
    namespace.until_phase("a", "Running")
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    reply = namespace.server.call("GET", namespace.pods, headers=accept)
    assert (reply["kind"], reply["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    names = [column["name"] for column in reply["columnDefinitions"]]
    assert names[:7] == ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"]
    row = reply["rows"][0]
    assert row["cells"][:3] == ["a", "1/1", "Running"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    one = namespace.server.call("GET", f"{namespace.pods}/a", headers=accept)
    assert one["rows"][0]["cells"][:3] == ["a", "1/1", "Running"]
