"""Watches: where they begin, what they tell, how they end."""

from __future__ import annotations

import threading
from typing import Any

from .client import ALONE, Namespace, pod


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def label(namespace: Namespace, name: str, value: str | None) -> None:
    assert namespace.patch(name, {"metadata": {"labels": {"l": value}}}).code == 200


def test_watch_without_a_version_begins_with_what_is_there(namespace: Namespace) -> None:
    namespace.create(pod("a", **ALONE))
    for query in ({}, {"resourceVersion": "0"}):
        assert told(namespace.watch(**query)) == [("ADDED", "a")]


def test_watch_from_a_lists_version_tells_what_came_after(namespace: Namespace) -> None:
    namespace.create(pod("a", **ALONE))
    version = namespace.list()["metadata"]["resourceVersion"]
    namespace.create(pod("b", **ALONE))
    label(namespace, "b", "1")
    namespace.delete("a")
    events = namespace.watch(resourceVersion=version)
    assert told(events) == [("ADDED", "b"), ("MODIFIED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)
    assert versions[0] > int(version)
    assert all(event["object"]["kind"] == "Pod" for event in events)


def test_watch_goes_on_where_it_stopped(namespace: Namespace) -> None:
    version = namespace.list()["metadata"]["resourceVersion"]
    namespace.create(pod("a", **ALONE))
    namespace.create(pod("b", **ALONE))
    first = namespace.watch(resourceVersion=version)
    middle = first[0]["object"]["metadata"]["resourceVersion"]
    assert told(namespace.watch(resourceVersion=middle)) == [("ADDED", "b")]


def test_change_arrives_while_the_watch_is_open(namespace: Namespace) -> None:
    version = namespace.list()["metadata"]["resourceVersion"]
    with namespace.follow(resourceVersion=version) as events:
        for name in ("a", "b"):
            threading.Thread(target=namespace.create, args=(pod(name, **ALONE),)).start()
            event = next(events)
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)


def test_pod_that_stops_matching_is_told_as_deleted(namespace: Namespace) -> None:
    namespace.create(pod("a", **ALONE))
    version = namespace.list()["metadata"]["resourceVersion"]
    for value in ("x", "y", None, "x"):
        label(namespace, "a", value)
    namespace.delete("a")  # is a change, and then the end
    events = namespace.watch(resourceVersion=version, labelSelector="l=x")
    assert [event["type"] for event in events] == ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"]


def test_set_selectors_hold_in_a_watch(namespace: Namespace) -> None:
    namespace.create(pod("a", **ALONE))
    version = namespace.list()["metadata"]["resourceVersion"]
    for value in ("x", "y", "z", None):
        label(namespace, "a", value)
    kinds = {
        "l in (x,y)": ["ADDED", "MODIFIED", "DELETED"],
        "l notin (x,y)": ["DELETED", "ADDED", "MODIFIED"],
    }
    for selector, expected in kinds.items():
        events = namespace.watch(resourceVersion=version, labelSelector=selector)
        assert [event["type"] for event in events] == expected, selector


def test_field_selector_holds_in_a_watch(namespace: Namespace) -> None:
    version = namespace.list()["metadata"]["resourceVersion"]
    for name in ("a", "b"):
        namespace.create(pod(name, **ALONE))
    assert told(namespace.watch(resourceVersion=version, fieldSelector="metadata.name=b")) == [("ADDED", "b")]


def test_phase_selector_follows_the_status(namespace: Namespace) -> None:
    namespace.create(pod("a", **ALONE))
    version = namespace.list()["metadata"]["resourceVersion"]
    namespace.patch("a", {"status": {"phase": "Running"}}, sub="/status")
    namespace.patch("a", {"status": {"phase": "Failed"}}, sub="/status")
    events = namespace.watch(resourceVersion=version, fieldSelector="status.phase=Running")
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]


def test_other_namespaces_are_not_told(namespace: Namespace) -> None:
    version = namespace.list()["metadata"]["resourceVersion"]
    other = namespace.server.call("POST", "/api/v1/namespaces/default/pods", pod("elsewhere", **ALONE))
    assert other.code == 201
    namespace.server.call("DELETE", "/api/v1/namespaces/default/pods/elsewhere")
    assert namespace.watch(resourceVersion=version) == []


def test_version_that_is_too_old_is_an_error_event(namespace: Namespace) -> None:
    """On a fresh server nothing is too old, so one that cannot exist any more is made sure to be."""
    events = namespace.watch(resourceVersion="1")
    if events and events[0]["type"] == "ERROR":
        status = events[0]["object"]
        assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
        assert status["message"].startswith("too old resource version: 1 (")
        assert len(events) == 1
    else:
        assert all(event["type"] == "ADDED" for event in events)


def test_version_that_is_no_number_is_refused(namespace: Namespace) -> None:
    with namespace.server.stream(f"{namespace.pods}?watch=1&resourceVersion=abc") as response:
        assert response.status == 500


def test_bad_selector_is_refused_before_the_stream(namespace: Namespace) -> None:
    with namespace.server.stream(f"{namespace.pods}?watch=1&labelSelector=a%20b") as response:
        assert response.status == 400


def test_bookmark_comes_with_a_version_and_no_pod(namespace: Namespace) -> None:
    """A real server sends one some seconds before the end of a watch that has a timeout."""
    namespace.create(pod("a", **ALONE))
    version = namespace.list()["metadata"]["resourceVersion"]
    # Before 1.27, a server sends none if no Pod of the cluster has changed meanwhile.
    change = threading.Timer(0.5, lambda: namespace.create(pod("b", **ALONE)))
    change.start()
    events = namespace.watch(
        resourceVersion=version,
        allowWatchBookmarks="true",
        timeoutSeconds="4",
        fieldSelector="metadata.name=a",
    )
    change.join()
    marks = [event for event in events if event["type"] == "BOOKMARK"]
    assert marks
    assert [event for event in events if event not in marks] == []
    bookmark = marks[-1]["object"]
    assert bookmark["kind"] == "Pod"
    assert int(bookmark["metadata"]["resourceVersion"]) >= int(version)
    assert "name" not in bookmark["metadata"]


def test_watch_of_one_pod_by_its_path(namespace: Namespace) -> None:
    namespace.create(pod("a", **ALONE))
    namespace.create(pod("b", **ALONE))
    with namespace.server.stream(f"{namespace.pods}/b?watch=1&timeoutSeconds=1") as response:
        lines = response.read().splitlines()
    assert len(lines) == 1
    assert b'"name":"b"' in lines[0]
