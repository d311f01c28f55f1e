"""What the stages rely on in the Pod API: the client before a server, and the fake that stands for both."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ottoscaler.errors import PodExists, PodGone
from ottoscaler.kube.client import PodClient
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.pod_api import CreateTurn, PodApi
from ottoscaler.kube.throttle import Throttle
from ottoscaler.pods.labels import OWN_LABELS, OWNER, PREFIX, selector
from ottoscaler.pods.view import parse_pod
from tests.harness.fake_pods import FakePods
from tests.harness.waiting import wait_for

from .client import FOREVER, Namespace, pod

SELECTOR = "app=mine"


@pytest.fixture(params=["client", "fake"])
def api(request: pytest.FixtureRequest, namespace: Namespace) -> Iterator[PodApi]:
    if request.param == "fake":
        yield FakePods()
        return
    access = Access(str(namespace.server.kubeconfig), 4)
    yield PodClient(access, namespace.name, Throttle(100, 100), lambda *_: None)


def create(api: PodApi, name: str, **metadata: Any) -> str:
    """Create a Pod and return its UID."""
    body = pod(name, annotations=FOREVER, metadata={"labels": {"app": "mine"}, **metadata})
    with api.create_turn(json.dumps(body).encode(), "1-0", "default") as turn:
        assert turn.ready(5)
        return parse_pod(turn.send()).uid


def test_created_pod_can_be_looked_at(api: PodApi) -> None:
    uid = create(api, "a")
    view = parse_pod(api.get("a"))
    assert (view.name, view.uid, view.deleting) == ("a", uid, False)
    assert view.created_at


def test_name_that_is_taken_is_told_apart(api: PodApi) -> None:
    create(api, "a")
    with pytest.raises(PodExists):
        create(api, "a")


def open_turn(api: PodApi, name: str) -> CreateTurn:
    """A turn whose request is open, over the connection on which a look came before."""
    with contextlib.suppress(PodGone):
        api.get(name)
    turn = api.open_turn(json.dumps(pod(name, annotations=FOREVER)).encode(), "1-0", "default")
    assert turn is not None
    return turn


def is_there(api: PodApi, name: str) -> bool:
    try:
        return bool(api.get(name))
    except PodGone:
        return False


def test_open_create_is_carried_out_when_it_is_completed(api: PodApi) -> None:
    with open_turn(api, "a") as turn:
        with pytest.raises(PodGone):
            api.get("a")
        assert turn.complete()
        wait_for(lambda: is_there(api, "a"), "it is carried out before anybody reads the answer")
        assert parse_pod(turn.send()).uid == parse_pod(api.get("a")).uid
    with open_turn(api, "a") as turn:
        assert turn.complete()
        with pytest.raises(PodExists):
            turn.send()


def test_open_create_that_is_left_creates_nothing(api: PodApi) -> None:
    turn = open_turn(api, "a")
    turn.leave()
    turn.leave()
    with open_turn(api, "a"):
        """The end of a turn leaves it too."""
    create(api, "b")  # the server has gone on
    with pytest.raises(PodGone):
        api.get("a")


def test_pod_that_is_not_there_is_gone(api: PodApi) -> None:
    with pytest.raises(PodGone):
        api.get("a")
    with pytest.raises(PodGone):
        api.delete("a", "no-such-uid")


def test_younger_pod_of_the_same_name_is_never_hit(api: PodApi) -> None:
    create(api, "a")
    with pytest.raises(PodGone):
        api.delete("a", "another-uid")
    assert not parse_pod(api.get("a")).deleting


def test_deleted_pod_goes_and_may_be_told(api: PodApi) -> None:
    uid = create(api, "a")
    assert parse_pod(api.delete("a", uid, told=True)).uid == uid
    with contextlib.suppress(PodGone):
        assert parse_pod(api.get("a")).deleting


def test_list_has_what_is_selected_and_a_version_to_watch_from(api: PodApi) -> None:
    beats: list[int] = []
    uid = create(api, "a")
    create(api, "b", labels={"app": "another"})
    views, version = api.list(SELECTOR, lambda: beats.append(1))
    assert [(view.name, view.uid) for view in views] == [("a", uid)]
    assert version
    assert beats


def test_watch_tells_what_happened_since_its_version(api: PodApi) -> None:
    _, version = api.list(SELECTOR)
    create(api, "a")
    seen = [
        (event.kind, event.view.name)
        for event in api.watch(SELECTOR, version, seconds=1, silence=5, opened=lambda _: None)
        if event.view is not None
    ]
    assert seen[0] == ("ADDED", "a")


def test_gate_is_taken_off_the_very_pod_and_harmless_twice(api: PodApi) -> None:
    uid = create(api, "a")
    with pytest.raises(PodGone):
        api.ungate("a", "another-uid")
    api.ungate("a", uid)
    api.ungate("a", uid)
    with pytest.raises(PodGone):
        api.ungate("nobody", uid)


def test_log_of_a_pod_that_is_not_there_is_gone(api: PodApi) -> None:
    with pytest.raises(PodGone):
        api.log("nobody", "worker", 1024, 5)


def test_pods_are_selected_by_their_owners(api: PodApi) -> None:
    for name, owner in (("a", "one"), ("b", "two"), ("c", None)):
        create(
            api, name, labels={**OWN_LABELS, PREFIX + "instance": "i", **({OWNER: owner} if owner else {})}
        )
    chosen = {
        "ab": selector("i", owners=("one", "two")),
        "bc": selector("i", but=("one",)),
        "c": selector("i", but=("one", "two")),
        "abc": selector("i"),
        "": selector("another", but=("one",)),
    }
    for names, text in chosen.items():
        assert "".join(sorted(view.name for view in api.list(text)[0])) == names
    view = next(view for view in api.list(chosen["ab"])[0] if view.name == "b")
    assert (view.owner, view.managed, view.instance) == ("two", True, "i")


def test_cached_list_shows_what_has_been_there_for_a_moment(api: PodApi) -> None:
    create(api, "a")
    found = wait_for(lambda: api.list(SELECTOR, cached=True)[0], "the cache shows it", 30)
    assert [view.name for view in found] == ["a"]


def test_watch_goes_on_from_a_version_with_another_selector(api: PodApi) -> None:
    """As where the watch is narrowed: nothing of what is still selected is missed."""
    common = {**OWN_LABELS, PREFIX + "instance": "i"}
    create(api, "a", labels={**common, OWNER: "one"})
    _, version = api.list(selector("i", owners=("one", "two")))
    for name, owner in (("b", "two"), ("c", "one")):
        create(api, name, labels={**common, OWNER: owner})
    narrow = selector("i", owners=("one",))
    events = api.watch(narrow, version, seconds=1, silence=5, opened=lambda _: None)
    added = [event.view.name for event in events if event.view is not None and event.kind == "ADDED"]
    assert added == ["c"]
