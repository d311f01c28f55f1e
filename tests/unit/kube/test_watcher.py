"""One step of the watch at a time: a list where there is no version, then what has happened since."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from ottoscaler.errors import KubernetesUnavailable, VersionExpired
from ottoscaler.kube.selection import LATE_CREATE_SECONDS, MOST_OWNERS, WantedOwners
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.model import PodView
from ottoscaler.pods.labels import OWNER, PREFIX
from ottoscaler.threads import Control
from tests.harness.fake_pods import FakePods

INSTANCE = "one"
BROKEN = KubernetesUnavailable("watch: the connection was cut")


class Bench:
    def __init__(self) -> None:
        self.pods = FakePods()
        self.unclaimed: list[PodView] = []
        self.arrived: list[PodView] = []
        self.restarts = 0
        self.own = ["me"]
        self.watcher = PodWatcher(
            self.pods,
            WantedOwners(INSTANCE, lambda: self.own),
            poll_seconds=1,
            unclaimed=self.unclaimed.append,
            arrived=self.arrived.append,
            restarted=self.restart,
            control=Control(threading.Event(), lambda: None),
        )

    def restart(self) -> None:
        self.restarts += 1

    def create(self, name: str, owner: str | None = "me") -> str:
        labels = {"managed-by": "ottoscaler", PREFIX + "instance": INSTANCE}
        if owner is not None:
            labels[OWNER] = owner
        body = {"metadata": {"name": name, "labels": labels}, "spec": {}}
        return str(self.pods.create(json.dumps(body).encode())["metadata"]["uid"])

    def step(self) -> None:
        self.watcher.step(0.0)

    def fail(self, error: Exception) -> None:
        """A step that ends with an error, and what the loop does then."""
        with pytest.raises(type(error)):
            self.step()
        self.watcher.failed(error)


def test_first_step_lists_and_then_follows_from_the_lists_version() -> None:
    bench = Bench()
    bench.create("a")
    bench.step()
    assert [verb for verb, _ in bench.pods.calls] == ["create", "list", "watch"]
    assert [view.name for view in bench.watcher.views()] == ["a"]
    assert bench.watcher.health() == (True, "")


def test_next_step_goes_on_from_the_last_version_without_a_list() -> None:
    bench = Bench()
    bench.step()
    bench.create("a")
    bench.step()
    assert len(bench.pods.asked("list")) == 1
    assert [view.name for view in bench.watcher.views()] == ["a"]


def test_subscriber_is_woken_by_the_end_of_its_pod() -> None:
    bench = Bench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a"))
    bench.step()
    subscription.look()
    bench.pods.end("a")
    bench.step()
    assert subscription.wait(0)
    assert subscription.view is not None
    assert subscription.view.terminal


def test_end_of_a_pod_that_nobody_waits_for_is_told() -> None:
    bench = Bench()
    bench.create("a")
    bench.step()
    bench.pods.end("a")
    bench.step()
    assert [view.name for view in bench.unclaimed] == ["a"]


def test_pod_that_nobody_waits_for_is_told_when_it_comes_and_not_again() -> None:
    bench = Bench()
    bench.step()
    bench.create("a")
    bench.step()
    bench.pods.run("a")
    bench.step()
    assert [view.name for view in bench.arrived] == ["a"]


def test_broken_watch_is_resumed_from_its_version_once_then_lists_again() -> None:
    bench = Bench()
    bench.step()
    bench.pods.fail("watch", BROKEN, BROKEN)
    bench.fail(BROKEN)
    assert bench.restarts == 1
    assert not bench.watcher.health()[0]
    bench.fail(BROKEN)
    bench.step()
    assert len(bench.pods.asked("list")) == 2
    assert bench.watcher.health()[0]


def test_watch_that_breaks_again_before_it_has_shown_anything_is_not_resumed() -> None:
    bench = Bench()
    bench.step()
    bench.pods.fail("event", BROKEN, BROKEN)
    bench.fail(BROKEN)  # such as an ERROR event in the place of what happened
    bench.fail(BROKEN)
    bench.create("a")
    bench.step()
    assert len(bench.pods.asked("list")) == 2
    assert [view.name for view in bench.watcher.views()] == ["a"]


def test_watch_that_ends_at_once_without_a_word_is_followed_by_a_pause_and_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PodWatcher, "longest_pause", 0.001)
    bench = Bench()
    bench.pods.mute = True
    bench.step()
    bench.create("a")
    bench.step()
    assert len(bench.pods.asked("list")) == 2
    assert [view.name for view in bench.watcher.views()] == ["a"]


def test_watch_that_lasts_and_sends_not_even_a_bookmark_is_followed_by_ever_rarer_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ottoscaler.kube.watcher.WATCH_SECONDS", 0)
    bench = Bench()
    bench.pods.mute = True
    bench.step()
    bench.step()
    assert len(bench.pods.asked("list")) == 1  # nobody waits
    bench.create("a")
    bench.watcher.subscribe("a")
    bench.step()
    bench.step()
    assert [view.name for view in bench.watcher.views()] == ["a"]
    for _ in range(14):
        bench.step()
    assert len(bench.pods.asked("list")) == 5


def test_what_vanished_while_the_version_expired_is_told_its_subscriber() -> None:
    bench = Bench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a"))
    bench.step()
    bench.pods.vanish("a")
    bench.pods.expired = 1000
    with pytest.raises(Exception, match="too old") as raised:
        bench.step()
    assert isinstance(raised.value, Exception)
    bench.watcher.failed(raised.value)
    bench.pods.expired = 0
    bench.step()
    assert subscription.gone
    assert not subscription.certain  # a Pod that lost a label looks the same


def test_failed_list_changes_nothing_that_is_known() -> None:
    bench = Bench()
    bench.create("a")
    bench.step()
    bench.pods.fail("watch", BROKEN, BROKEN)
    bench.fail(BROKEN)
    bench.fail(BROKEN)
    bench.pods.fail("list", KubernetesUnavailable("list: no answer within 10 s"))
    bench.fail(KubernetesUnavailable("list: no answer within 10 s"))
    assert [view.name for view in bench.watcher.views()] == ["a"]


def test_pod_created_after_the_list_was_asked_for_is_not_taken_for_gone() -> None:
    bench = Bench()
    subscription = bench.watcher.subscribe("a")
    listing = bench.pods.list

    def late(selector: str, *_: object) -> tuple[list[PodView], str]:
        found = listing(selector)
        bench.watcher.identify(subscription, bench.create("a"))
        return found

    bench.pods.list = late  # type: ignore[method-assign, assignment]
    bench.step()
    assert not subscription.gone


# --- whose Pods it shows


def owners(bench: Bench) -> set[str] | None:
    return None if bench.watcher.owners is None else set(bench.watcher.owners)


def names(bench: Bench) -> list[str]:
    return sorted(view.name for view in bench.watcher.views())


def test_pods_of_other_owners_are_not_watched() -> None:
    bench = Bench()
    bench.create("mine")
    bench.create("another's", "another")
    bench.create("nobody's", None)
    bench.step()
    bench.create("later", "another")
    bench.step()
    assert names(bench) == ["mine"]
    assert owners(bench) == {"me"}


def test_takeover_makes_one_list_however_many_owners_it_names() -> None:
    bench = Bench()
    bench.create("a", "dead")
    bench.create("b", "older")
    bench.step()
    for owners in (("dead",), ("dead", "older"), ("older",)):
        bench.watcher.include(owners)
    assert not bench.watcher.catch_up(0)
    bench.step()
    assert bench.watcher.catch_up(0)
    assert len(bench.pods.asked("list")) == 2
    assert names(bench) == ["a", "b"]


def test_owner_that_is_shown_already_costs_no_list() -> None:
    bench = Bench()
    bench.step()
    bench.watcher.include(("me",))
    assert bench.watcher.catch_up(0)
    bench.step()
    assert len(bench.pods.asked("list")) == 1


def test_what_happened_until_the_wider_list_is_told() -> None:
    """It is in the list, or it is missing there."""
    bench = Bench()
    stays, goes = bench.watcher.subscribe("stays"), bench.watcher.subscribe("goes")
    for subscription in (stays, goes):
        bench.watcher.identify(subscription, bench.create(subscription.name))
    bench.step()
    for subscription in (stays, goes):
        subscription.look()
    bench.watcher.include(("dead",))
    bench.pods.end("stays")
    bench.pods.vanish("goes")
    bench.step()
    assert stays.wait(0)
    assert stays.view is not None
    assert stays.view.terminal
    assert not stays.gone
    assert goes.gone


def test_watch_that_is_cut_for_a_wider_list_is_no_failure() -> None:
    bench = Bench()
    bench.step()
    watching = bench.pods.watch

    def cut(*args: Any, **more: Any) -> Any:
        yield from watching(*args, **more)
        bench.watcher.include(("dead",))
        raise BROKEN

    bench.pods.watch = cut  # type: ignore[method-assign]
    bench.step()
    assert bench.watcher.health() == (True, "")
    assert bench.restarts == 0
    bench.pods.watch = watching  # type: ignore[method-assign]
    bench.step()
    assert bench.watcher.catch_up(0)


def test_owner_without_pods_is_let_go_of_when_no_create_of_it_can_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.create("a", "dead")
    bench.step()
    bench.watcher.include(("dead",))
    bench.step()
    bench.pods.end("a")
    bench.step()
    assert owners(bench) == {"me", "dead"}
    age(bench, monkeypatch)
    bench.step()
    assert owners(bench) == {"me"}
    assert names(bench) == []
    assert len(bench.pods.asked("list")) == 2, "less is selected, so the versions go on"


def test_owner_is_kept_while_a_pod_of_it_runs_or_a_worker_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a", "dead"))
    bench.create("b", "older")
    bench.step()
    bench.watcher.include(("dead", "older"))
    bench.step()
    bench.pods.end("a")
    age(bench, monkeypatch)
    bench.step()
    assert owners(bench) == {"me", "dead", "older"}
    assert not subscription.gone


def test_pod_that_is_not_selected_any_more_is_gone_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.create("a", "dead")
    bench.step()
    bench.watcher.include(("dead",))
    bench.step()
    bench.pods.end("a")
    bench.step()
    del bench.unclaimed[:]
    age(bench, monkeypatch)
    bench.step()
    bench.pods.expired = 1000
    bench.fail(VersionExpired("watch: too old resource version"))
    bench.pods.expired = 0
    bench.step()
    assert bench.unclaimed == []


def test_pod_that_a_list_does_not_select_is_told_to_nobody_as_gone() -> None:
    """Of what the watch showed before, and of what a worker looks at by itself."""
    bench = Bench()
    bench.create("mine")
    bench.create("relabelled")
    bench.pods.pods["relabelled"]["metadata"]["labels"]["managed-by"] = "helm"
    bench.step()
    looked_at = bench.watcher.subscribe("relabelled")
    view = bench.pods.view("relabelled")
    bench.watcher.identify(looked_at, view.uid, view, looked_up=True)
    bench.own[:] = ["me-again"]
    bench.watcher.include(("dead",))
    bench.step()
    assert names(bench) == []
    assert bench.unclaimed == []
    assert not looked_at.gone


def test_pod_whose_owners_label_is_lost_has_the_whole_instance_watched() -> None:
    bench = Bench()
    bench.create("another's", "another")
    bench.step()
    subscription = bench.watcher.subscribe("a")
    uid = bench.create("a", None)
    bench.watcher.identify(subscription, uid, bench.pods.view("a"), looked_up=True)
    bench.step()
    assert bench.watcher.owners is None
    assert names(bench) == ["a", "another's"]
    assert not subscription.looked_at, "it is shown, so that its worker need not look"


def test_pod_of_an_owner_that_was_not_named_is_shown_once_its_worker_found_it() -> None:
    bench = Bench()
    bench.step()
    subscription = bench.watcher.subscribe("a")
    uid = bench.create("a", "rewritten")
    bench.watcher.identify(subscription, uid, bench.pods.view("a"), looked_up=True)
    bench.step()
    assert owners(bench) == {"me", "rewritten"}


def test_too_many_owners_are_watched_as_the_whole_instance() -> None:
    bench = Bench()
    bench.step()
    bench.watcher.include([f"owner-{number}" for number in range(MOST_OWNERS)])
    bench.step()
    assert bench.watcher.owners is None


def test_replica_that_became_another_owner_watches_that_ones_pods_too() -> None:
    bench = Bench()
    bench.step()
    bench.own.append("me-again")
    uid = bench.create("a", "me-again")
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, uid, bench.pods.view("a"), looked_up=True)
    bench.step()
    assert owners(bench) == {"me", "me-again"}
    assert not subscription.looked_at


def test_pods_of_events_are_found_whoever_created_them() -> None:
    bench = Bench()
    for name, owner in (("a", "another"), ("b", None)):
        bench.create(name, owner)
        bench.pods.pods[name]["metadata"]["labels"][PREFIX + "event-id"] = "1-0"
    bench.create("c", "another")
    assert sorted(bench.watcher.look_at_events(["1-0"])) == ["a", "b"]
    assert sorted(bench.watcher.look_at_events(["1-0"] * (MOST_OWNERS + 1))) == ["a", "b", "c"]


def age(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time pass in which a create of a dead owner may still come."""
    later = time.monotonic() + LATE_CREATE_SECONDS + 1
    monkeypatch.setattr("ottoscaler.kube.watcher.time.monotonic", lambda: later)
