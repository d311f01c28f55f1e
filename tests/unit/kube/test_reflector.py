"""One step of the watch at a time: a list where there is no version, then what has happened since."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ottoscaler.errors import KubernetesUnavailable
from ottoscaler.kube.reflector import DOUBTFUL_WATCH_SECONDS, RELIST_SECONDS, WATCH_SECONDS, Reflector
from tests.harness.watch_bench import WatchBench

BROKEN = KubernetesUnavailable("watch: the connection was cut")


def test_first_step_lists_and_then_follows_from_the_lists_version() -> None:
    bench = WatchBench()
    bench.create("a")
    bench.step()
    assert [verb for verb, _ in bench.pods.calls] == ["create", "list", "watch"]
    assert bench.names() == ["a"]
    assert bench.watcher.health() == (True, "")


def test_next_step_goes_on_from_the_last_version_without_a_list() -> None:
    bench = WatchBench()
    bench.step()
    bench.create("a")
    bench.step()
    assert len(bench.pods.asked("list")) == 1
    assert bench.names() == ["a"]


def test_broken_watch_is_resumed_from_its_version_once_then_lists_again() -> None:
    bench = WatchBench()
    bench.step()
    before = bench.restarts
    bench.pods.fail("watch", BROKEN, BROKEN)
    bench.fail(BROKEN)
    assert bench.restarts == before + 1
    assert not bench.watcher.health()[0]
    bench.fail(BROKEN)
    bench.step()
    assert len(bench.pods.asked("list")) == 2
    assert bench.watcher.health()[0]


def test_watch_that_breaks_again_before_it_has_shown_anything_is_not_resumed() -> None:
    bench = WatchBench()
    bench.step()
    bench.pods.fail("event", BROKEN, BROKEN)
    bench.fail(BROKEN)  # such as an ERROR event in the place of what happened
    bench.fail(BROKEN)
    bench.create("a")
    bench.step()
    assert len(bench.pods.asked("list")) == 2
    assert bench.names() == ["a"]


def test_watch_that_breaks_behind_each_event_is_resumed_once_between_two_lists() -> None:
    bench = WatchBench()
    bench.step()
    for name in "abcdef":
        bench.create(name)
    bench.pods.fail("rest", BROKEN, BROKEN)
    for _ in range(2):
        bench.fail(BROKEN)
    assert bench.names() == ["a", "b"]
    bench.step()  # a list shows all at once
    assert bench.names() == list("abcdef")
    assert len(bench.pods.asked("list")) == 2


def test_watch_after_a_silent_one_is_short_until_one_has_ended_in_order() -> None:
    bench = WatchBench()
    bench.step()
    silent = TimeoutError("no byte for 11.5 s")
    bench.pods.fail("event", silent)
    bench.fail(silent)
    bench.step()
    bench.step()
    assert bench.pods.watch_seconds == [WATCH_SECONDS] * 2 + [DOUBTFUL_WATCH_SECONDS, WATCH_SECONDS]


def test_watch_that_cannot_be_opened_is_no_restart() -> None:
    bench = WatchBench()
    bench.pods.fail("list", BROKEN)
    bench.fail(BROKEN)
    assert bench.restarts == 0
    assert bench.watcher.health() == (False, str(BROKEN))


def test_watch_that_ends_at_once_without_a_word_is_followed_by_a_pause_and_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Reflector, "longest_pause", 0.001)
    bench = WatchBench()
    bench.pods.mute = True
    bench.step()
    bench.create("a")
    bench.step()
    assert len(bench.pods.asked("list")) == 2
    assert bench.names() == ["a"]


def test_watch_that_ends_in_good_order_long_before_its_time_counts_as_broken_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the API server ends the watch of one that reads too slowly: events, and then a clean end."""
    bench = WatchBench()
    bench.step()
    before = bench.restarts
    bench.create("a")
    bench.step()
    assert bench.restarts == before + 1
    assert bench.watcher.health() == (True, "")
    monkeypatch.setattr("ottoscaler.kube.reflector.WATCH_SECONDS", 0)
    bench.create("b")
    bench.step()
    assert bench.restarts == before + 1, "it lasted as long as it was to"
    assert bench.names() == ["a", "b"]


def test_watch_that_lasts_and_sends_not_even_a_bookmark_is_followed_by_ever_rarer_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ottoscaler.kube.reflector.WATCH_SECONDS", 0)
    bench = WatchBench()
    bench.pods.mute = True
    bench.step()
    bench.step()
    assert len(bench.pods.asked("list")) == 1  # nobody waits
    bench.create("a")
    bench.watcher.subscribe("a")
    bench.step()
    bench.step()
    assert bench.names() == ["a"]
    for _ in range(14):
        bench.step()
    assert len(bench.pods.asked("list")) == 5


def test_failed_list_changes_nothing_that_is_known() -> None:
    bench = WatchBench()
    bench.create("a")
    bench.step()
    bench.pods.fail("watch", BROKEN, BROKEN)
    bench.fail(BROKEN)
    bench.fail(BROKEN)
    bench.pods.fail("list", KubernetesUnavailable("list: no answer within 10 s"))
    bench.fail(KubernetesUnavailable("list: no answer within 10 s"))
    assert bench.names() == ["a"]


def test_takeover_makes_one_list_however_many_owners_it_names() -> None:
    bench = WatchBench()
    bench.create("a", "dead")
    bench.create("b", "older")
    bench.step()
    for owners in (("dead",), ("dead", "older"), ("older",)):
        bench.watcher.include(owners)
    assert not bench.watcher.catch_up(0)
    bench.step()
    assert bench.watcher.catch_up(0)
    assert len(bench.pods.asked("list")) == 2
    assert bench.names() == ["a", "b"]


def test_owner_that_is_shown_already_costs_no_list() -> None:
    bench = WatchBench()
    bench.step()
    bench.watcher.include(("me",))
    assert bench.watcher.catch_up(0)
    bench.step()
    assert len(bench.pods.asked("list")) == 1


def test_watch_that_is_cut_for_a_wider_list_is_no_failure() -> None:
    bench = WatchBench()
    bench.step()
    watching = bench.pods.watch

    def cut(*args: Any, **more: Any) -> Any:
        yield from watching(*args, **more)
        bench.watcher.include(("dead",))
        raise BROKEN

    before = bench.restarts
    bench.pods.watch = cut  # type: ignore[method-assign]
    bench.step()
    assert bench.watcher.health() == (True, "")
    assert bench.restarts == before
    bench.pods.watch = watching  # type: ignore[method-assign]
    bench.step()
    assert bench.watcher.catch_up(0)


def test_takeover_while_a_watch_is_being_opened_does_not_wait_for_its_end() -> None:
    """There was nothing to cut yet when it asked, and the watch would last ten seconds."""
    bench = WatchBench()
    bench.step()
    watching, cut = bench.pods.watch, []

    def slow(*args: Any, opened: Any, **more: Any) -> Any:
        bench.watcher.include(("dead",))
        return watching(
            *args, opened=lambda _: opened(SimpleNamespace(shutdown=lambda: cut.append(1))), **more
        )

    bench.pods.watch = slow  # type: ignore[method-assign]
    bench.step()
    assert cut


def test_takeovers_in_a_row_share_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = WatchBench()
    waits: list[float] = []

    def another_takeover(seconds: float) -> bool:
        waits.append(seconds)
        bench.watcher.include(("older",))
        return False

    monkeypatch.setattr(bench.stop, "wait", another_takeover)
    bench.step()
    bench.watcher.include(("dead",))
    bench.step()
    assert [0 < seconds <= RELIST_SECONDS for seconds in waits] == [True]
    assert bench.owners() == {"me", "dead", "older"}
    assert len(bench.pods.asked("list")) == 2
