"""Whose deletes run: events take turns, and one event never has all threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ottoscaler.kube.deleter import THREADS_OF_AN_EVENT, PodDeleter
from tests.harness.fake_pods import FakePods

SECONDS = 30.0


@pytest.fixture
def deleter() -> Iterator[PodDeleter]:
    made = PodDeleter(FakePods(), threading.Event())
    yield made
    made.close()


def test_hanging_calls_of_one_event_hold_up_no_other(deleter: PodDeleter) -> None:
    release, other, job = threading.Event(), threading.Event(), threading.Event()
    running = threading.Semaphore(0)

    def hang() -> None:
        running.release()
        release.wait(60)

    for _ in range(150):
        deleter.call("1-0", hang)
    for _ in range(THREADS_OF_AN_EVENT):
        assert running.acquire(timeout=SECONDS)
    deleter.call("2-0", other.set)
    deleter.run(job.set)
    assert other.wait(SECONDS)
    assert job.wait(SECONDS)
    assert not running.acquire(blocking=False)
    release.set()


def test_calls_of_one_event_all_run_in_the_end(deleter: PodDeleter) -> None:
    done = threading.Semaphore(0)
    for _ in range(50):
        deleter.call("1-0", done.release)
    for _ in range(50):
        assert done.acquire(timeout=SECONDS)


def test_error_of_one_call_costs_no_other_its_turn(deleter: PodDeleter) -> None:
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("of its own")

    for _ in range(3 * THREADS_OF_AN_EVENT):
        deleter.call("1-0", fail)
    deleter.call("1-0", done.set)
    assert done.wait(SECONDS)


def test_pod_that_has_gone_already_is_told_as_gone(deleter: PodDeleter) -> None:
    gone = threading.Event()
    deleter.delete("otto-agent-test-1-0-0-0", "uid", gone.set, {})
    assert gone.wait(SECONDS)
