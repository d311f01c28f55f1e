"""One step of the watch at a time: a list where there is no version, then what has happened since."""

from __future__ import annotations

import json
import threading

import pytest

from ottoscaler.errors import KubernetesUnavailable
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.model import PodView
from ottoscaler.threads import Control
from tests.harness.fake_pods import FakePods

SELECTOR = "app=otto-agent"
BROKEN = KubernetesUnavailable("watch: the connection was cut")


class Bench:
    def __init__(self) -> None:
        self.pods = FakePods()
        self.unclaimed: list[PodView] = []
        self.arrived: list[PodView] = []
        self.restarts = 0
        self.watcher = PodWatcher(
            self.pods,
            SELECTOR,
            poll_seconds=1,
            unclaimed=self.unclaimed.append,
            arrived=self.arrived.append,
            restarted=self.restart,
            control=Control(threading.Event(), lambda: None),
        )

    def restart(self) -> None:
        self.restarts += 1

    def create(self, name: str) -> str:
        body = {"metadata": {"name": name, "labels": {"app": "otto-agent"}}, "spec": {}}
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

    def late(selector: str, progress: object = None) -> tuple[list[PodView], str]:
        found = listing(selector)
        bench.watcher.identify(subscription, bench.create("a"))
        return found

    bench.pods.list = late  # type: ignore[method-assign]
    bench.step()
    assert not subscription.gone
