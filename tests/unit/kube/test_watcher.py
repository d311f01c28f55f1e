"""What the watcher shows of Pods after each step of the watch, and whom it tells."""

from __future__ import annotations

import time

import pytest

from ottoscaler.errors import VersionExpired
from ottoscaler.kube.selection import LATE_CREATE_SECONDS, MOST_OWNERS
from ottoscaler.kube.watcher import MOST_ENDS_TOLD
from ottoscaler.pods.labels import PREFIX
from ottoscaler.pods.view import parse_pod
from tests.harness.watch_bench import WatchBench


def test_subscriber_is_woken_by_the_end_of_its_pod() -> None:
    bench = WatchBench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a"))
    bench.step()
    subscription.look()
    bench.pods.end("a")
    bench.step()
    assert subscription.wait(0)
    assert subscription.view is not None
    assert subscription.view.terminal


def test_subscription_begins_with_what_is_shown_and_keeps_it_only_of_its_own_pod() -> None:
    bench = WatchBench()
    uid = bench.create("a")
    bench.step()
    subscription = bench.watcher.subscribe("a")
    assert subscription.view is not None
    bench.watcher.identify(subscription, uid)
    assert subscription.view is not None
    bench.watcher.identify(subscription, "another")
    assert subscription.view is None


@pytest.mark.parametrize("there_before", [False, True])
def test_pod_that_a_reply_shows_needs_looks_only_if_it_was_there_before(*, there_before: bool) -> None:
    """The watch shows what a create has just made. It may never show what a look has found."""
    bench = WatchBench()
    bench.step()
    subscription = bench.watcher.subscribe("a")
    uid = bench.create("a")
    bench.watcher.identify(subscription, uid, parse_pod(bench.pods.get("a")), looked_up=there_before)
    assert subscription.view is not None
    assert bool(subscription.looked_at) == there_before


def test_reply_that_comes_after_the_watch_showed_the_end_hides_nothing() -> None:
    bench = WatchBench()
    bench.step()
    subscription = bench.watcher.subscribe("a")
    uid = bench.create("a")
    reply = parse_pod(bench.pods.get("a"))
    bench.pods.end("a")
    bench.step()
    bench.watcher.identify(subscription, uid, reply)
    assert subscription.view is not None
    assert subscription.view.terminal


def test_pod_that_only_a_look_finds_is_its_workers_and_its_owners_pods_are_shown_from_then_on() -> None:
    bench = WatchBench()
    bench.step()
    uid = bench.create("a", owner="other")
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, uid)
    bench.watcher.found(subscription, parse_pod(bench.pods.get("a")))
    assert subscription.view is not None
    assert subscription.looked_at, "the watch does not show it yet"
    bench.step()
    assert bench.owners() == {"me", "other"}
    assert not subscription.looked_at


def test_answer_to_a_delete_is_its_own_workers() -> None:
    watcher = WatchBench().watcher
    subscription = watcher.subscribe("a")
    watcher.identify(subscription, "u")
    for uid, end in (("another", False), ("u", True)):
        watcher.asked_to_go({"metadata": {"name": "a", "uid": uid}, "status": {"phase": "Succeeded"}})
        assert (subscription.end is not None) == end


def test_every_worker_wakes_where_all_are_woken() -> None:
    watcher = WatchBench().watcher
    subscriptions = [watcher.subscribe(name) for name in ("a", "b")]
    watcher.wake_all()
    assert all(each.wait(0) for each in subscriptions)


def test_end_of_a_pod_that_nobody_waits_for_is_told() -> None:
    bench = WatchBench()
    bench.create("a")
    bench.step()
    bench.pods.end("a")
    bench.step()
    assert [view.name for view in bench.unclaimed] == ["a"]


def test_deleted_pod_is_shown_no_more_and_told_who_waits_or_sweeps() -> None:
    bench = WatchBench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a"))
    bench.create("b")
    bench.step()
    for name in ("a", "b"):
        bench.pods.vanish(name)
    bench.step()
    assert bench.names() == []
    assert subscription.gone
    assert [view.name for view in bench.unclaimed] == ["b"]


def test_pod_that_nobody_waits_for_is_told_when_it_comes_and_not_again() -> None:
    bench = WatchBench()
    bench.step()
    bench.create("a")
    bench.step()
    assert [view.name for view in bench.arrived] == ["a"]
    bench.pods.run("a")
    bench.step()
    assert [view.name for view in bench.arrived] == ["a"]


def test_end_that_a_delete_s_answer_showed_is_told_the_worker_that_comes_later() -> None:
    """Its owner had died, and a scale_down deleted the Pod before the event was taken over."""
    bench = WatchBench()
    ended = {"metadata": {"name": "a", "uid": "u"}, "status": {"phase": "Succeeded"}}
    bench.watcher.asked_to_go(ended)
    bench.watcher.asked_to_go({"metadata": {"name": "b", "uid": "w"}, "status": {"phase": "Running"}})
    for name, uid, end in (("a", "another", False), ("a", "u", True), ("b", "w", False)):
        subscription = bench.watcher.subscribe(name)
        bench.watcher.identify(subscription, uid)
        assert (subscription.end is not None) == end


def test_ends_that_nobody_comes_for_are_kept_for_the_latest_pods_only() -> None:
    watcher = WatchBench().watcher
    for number in range(MOST_ENDS_TOLD + 1):
        pod = {"metadata": {"name": f"p{number}", "uid": f"u{number}"}, "status": {"phase": "Succeeded"}}
        watcher.asked_to_go(pod)
    for number, known in ((0, False), (1, True), (MOST_ENDS_TOLD, True)):
        subscription = watcher.subscribe(f"p{number}")
        watcher.identify(subscription, f"u{number}")
        assert (subscription.end is not None) == known


def test_worker_is_woken_when_another_one_subscribes_to_its_pod() -> None:
    """Its event went to another replica and came back: it must look whether it is still to wait."""
    watcher = WatchBench().watcher
    earlier = watcher.subscribe("a")
    earlier.look()
    watcher.subscribe("a")
    assert earlier.wait(0)


def test_second_pod_of_an_attempt_is_told_when_no_worker_waits_for_the_name_any_more() -> None:
    """A create that hung while the first Pod was lost: who deletes it must hear of it."""
    bench = WatchBench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a"))
    bench.step()
    bench.pods.vanish("a")
    late = bench.create("a")
    bench.step()
    assert bench.arrived == [], "its worker may wait for it"
    bench.watcher.unsubscribe(subscription)
    assert [view.uid for view in bench.arrived] == [late]


def test_own_pod_of_a_worker_that_ends_its_wait_is_told_to_nobody() -> None:
    bench = WatchBench()
    unseen, seen = bench.watcher.subscribe("unseen"), bench.watcher.subscribe("a")
    bench.watcher.identify(seen, bench.create("a"))
    bench.step()
    for subscription in (unseen, seen):
        bench.watcher.unsubscribe(subscription)
    assert bench.arrived == []


def test_pods_that_workers_wait_for_are_told_apart_from_the_others() -> None:
    bench = WatchBench()
    assert not bench.watcher.synced.is_set()
    bench.watcher.identify(bench.watcher.subscribe("a"), bench.create("a"))
    bench.watcher.subscribe("not created yet")
    bench.create("b")
    bench.step()
    assert bench.watcher.synced.is_set()
    assert [view.name for view in bench.watcher.claimed_views()] == ["a"]
    claimed = [bench.watcher.claimed(name) for name in ("a", "not created yet", "b")]
    assert claimed == [True, True, False]


def test_watch_is_cut_for_more_owners_and_not_for_those_that_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = WatchBench()
    bench.step()
    cuts: list[None] = []
    monkeypatch.setattr(bench.watcher.open_watch, "cut", lambda: cuts.append(None))
    bench.watcher.include(("me",))
    assert not cuts
    bench.watcher.include(("other",))
    assert len(cuts) == 1
    bench.step()
    bench.watcher.include(("other",))
    assert len(cuts) == 1
    bench.watcher.include(None)
    assert len(cuts) == 2


def test_what_vanished_while_the_version_expired_is_told_its_subscriber() -> None:
    bench = WatchBench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a"))
    bench.step()
    bench.pods.vanish("a")
    bench.pods.expired = 1000
    with pytest.raises(Exception, match="too old") as raised:
        bench.step()
    assert isinstance(raised.value, Exception)
    bench.reflector.failed(raised.value)
    bench.pods.expired = 0
    bench.step()
    assert subscription.gone
    assert not subscription.certain  # a Pod that lost a label looks the same


def test_what_a_list_shows_no_more_or_as_another_pod_is_told_who_waits_and_who_sweeps() -> None:
    bench = WatchBench()
    for name in ("gone", "replaced", "awaited", "stays"):
        bench.create(name)
    bench.step()
    awaited = bench.watcher.subscribe("awaited")
    shown = {view.name: view for view in bench.watcher.views()}
    bench.watcher.identify(awaited, shown["awaited"].uid)
    left = [shown["stays"], *(shown[name]._replace(uid=f"{name}-2") for name in ("replaced", "awaited"))]
    left.append(shown["stays"]._replace(name="late", uid="late"))
    del bench.arrived[:]
    assert bench.watcher.replace(left, bench.watcher.wanted(), time.monotonic())
    assert [view.name for view in bench.arrived] == ["late"]
    assert sorted(view.uid for view in bench.unclaimed) == sorted(shown[n].uid for n in ("gone", "replaced"))
    assert awaited.gone
    assert not bench.watcher.replace(left, bench.watcher.wanted(), time.monotonic()), "nothing new"


def test_owner_that_is_asked_for_while_a_list_is_under_way_needs_another_list() -> None:
    watcher = WatchBench().watcher
    selection = watcher.wanted()
    watcher.include(("dead",))
    watcher.replace([], selection, time.monotonic())
    assert not watcher.caught_up
    watcher.replace([], watcher.wanted(), time.monotonic())
    assert watcher.caught_up


def test_pod_created_after_the_list_was_asked_for_is_not_taken_for_gone() -> None:
    watcher = WatchBench().watcher
    subscription = watcher.subscribe("a")
    asked_at = time.monotonic()
    watcher.identify(subscription, "uid")
    watcher.replace([], watcher.wanted(), asked_at)
    assert not subscription.gone
    watcher.replace([], watcher.wanted(), time.monotonic())
    assert subscription.gone, "a list that was asked for later would have it"


# --- whose Pods it shows


def test_worker_whose_create_was_not_answered_yet_is_not_told_by_a_list_that_its_pod_is_gone() -> None:
    bench = WatchBench()
    subscription = bench.watcher.subscribe("a")
    bench.step()
    assert not subscription.gone


def test_pods_of_other_owners_are_not_watched() -> None:
    bench = WatchBench()
    bench.create("mine")
    bench.create("another's", "another")
    bench.create("nobody's", None)
    bench.step()
    bench.create("later", "another")
    bench.step()
    assert bench.names() == ["mine"]
    assert bench.owners() == {"me"}


def test_what_happened_until_the_wider_list_is_told() -> None:
    """It is in the list, or it is missing there."""
    bench = WatchBench()
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


def test_owner_without_pods_is_let_go_of_when_no_create_of_it_can_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = WatchBench()
    bench.create("a", "dead")
    bench.step()
    bench.watcher.include(("dead",))
    bench.step()
    bench.pods.end("a")
    bench.step()
    assert bench.owners() == {"me", "dead"}
    age(bench, monkeypatch)
    bench.step()
    assert bench.owners() == {"me"}
    assert bench.names() == []
    assert len(bench.pods.asked("list")) == 2, "less is selected, so the versions go on"


def test_owner_is_kept_while_a_pod_of_it_runs_or_a_worker_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = WatchBench()
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, bench.create("a", "dead"))
    bench.create("b", "older")
    bench.step()
    bench.watcher.include(("dead", "older"))
    bench.step()
    bench.pods.end("a")
    age(bench, monkeypatch)
    bench.step()
    assert bench.owners() == {"me", "dead", "older"}
    assert not subscription.gone


def test_pod_that_is_not_selected_any_more_is_gone_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = WatchBench()
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
    bench = WatchBench()
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
    assert bench.names() == []
    assert bench.unclaimed == []
    assert not looked_at.gone


def test_pod_whose_owners_label_is_lost_has_the_whole_instance_watched() -> None:
    bench = WatchBench()
    bench.create("another's", "another")
    bench.step()
    subscription = bench.watcher.subscribe("a")
    uid = bench.create("a", None)
    bench.watcher.identify(subscription, uid, bench.pods.view("a"), looked_up=True)
    bench.step()
    assert bench.watcher.owners is None
    assert bench.names() == ["a", "another's"]
    assert not subscription.looked_at, "it is shown, so that its worker need not look"


def test_pod_of_an_owner_that_was_not_named_is_shown_once_its_worker_found_it() -> None:
    bench = WatchBench()
    bench.step()
    subscription = bench.watcher.subscribe("a")
    uid = bench.create("a", "rewritten")
    bench.watcher.identify(subscription, uid, bench.pods.view("a"), looked_up=True)
    bench.step()
    assert bench.owners() == {"me", "rewritten"}


def test_too_many_owners_are_watched_as_the_whole_instance() -> None:
    bench = WatchBench()
    bench.step()
    bench.watcher.include([f"owner-{number}" for number in range(MOST_OWNERS)])
    bench.step()
    assert bench.watcher.owners is None


def test_replica_that_became_another_owner_watches_that_ones_pods_too() -> None:
    bench = WatchBench()
    bench.step()
    bench.own.append("me-again")
    uid = bench.create("a", "me-again")
    subscription = bench.watcher.subscribe("a")
    bench.watcher.identify(subscription, uid, bench.pods.view("a"), looked_up=True)
    bench.step()
    assert bench.owners() == {"me", "me-again"}
    assert not subscription.looked_at


def test_replica_that_became_another_owner_lists_what_that_one_had_already() -> None:
    bench = WatchBench()
    bench.step()
    bench.create("a", "me-again")
    bench.own.append("me-again")
    for _ in range(2):  # the watch ends, then a list is made
        bench.step()
    assert bench.names() == ["a"]


def test_pods_of_events_are_found_whoever_created_them() -> None:
    bench = WatchBench()
    for name, owner in (("a", "another"), ("b", None)):
        bench.create(name, owner)
        bench.pods.pods[name]["metadata"]["labels"][PREFIX + "event-id"] = "1-0"
    bench.create("c", "another")
    assert sorted(bench.watcher.look_at_events(["1-0"], cached=True)) == ["a", "b"]
    assert sorted(bench.watcher.look_at_events(["1-0"] * (MOST_OWNERS + 1), cached=False)) == ["a", "b", "c"]


def age(bench: WatchBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time pass in which a create of a dead owner may still come."""
    later = time.monotonic() + LATE_CREATE_SECONDS + 1
    monkeypatch.setattr("ottoscaler.kube.watcher.time.monotonic", lambda: later)
