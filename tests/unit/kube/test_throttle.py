"""The limits on calls to the API server, without an API server."""

from __future__ import annotations

import threading
import time

import pytest

from ottoscaler.errors import Stopping
from ottoscaler.kube.throttle import CREATES_IN_FLIGHT, LEAST_RATE, Governor
from tests.harness.waiting import wait_for


def test_429_halves_the_rate_once_however_many_answers_bring_it() -> None:
    governor = Governor(400, 100)
    for _ in range(32):
        governor.answered(429, 0.01)
    assert governor.rate == 200


def test_good_answers_raise_the_rate_again_up_to_its_setting() -> None:
    governor = Governor(100, 100)
    governor.answered(429, 0.01)
    for _ in range(1000):
        governor.answered(201, 0.01)
    assert governor.rate == 100


def test_slow_answers_lower_the_rate() -> None:
    governor = Governor(100, 100)
    governor.answered(201, 5.0)
    assert governor.rate == 80


def test_rate_never_falls_below_its_floor() -> None:
    governor = Governor(6, 100)
    governor.answered(429, 0.01)
    assert governor.rate == LEAST_RATE


def test_deletes_find_a_place_while_every_create_waits() -> None:
    governor = Governor(1000, 1000)
    done, begun = threading.Event(), threading.Semaphore(0)

    def create() -> None:
        with governor.call(lambda: None):
            begun.release()
            done.wait(10)

    threads = [threading.Thread(target=create) for _ in range(100)]
    for thread in threads:
        thread.start()
    for _ in range(CREATES_IN_FLIGHT):
        assert begun.acquire(timeout=5)
    with governor.call():
        deleted = True
    assert deleted
    done.set()
    for thread in threads:
        thread.join(10)


def test_retry_after_holds_creates_back_and_not_deletes() -> None:
    governor = Governor(1000, 1000)
    governor.answered(429, 0.01, retry_after=0.3)
    begun = time.monotonic()
    with governor.call():
        assert time.monotonic() - begun < 0.2
    with governor.call(lambda: None):
        assert time.monotonic() - begun >= 0.25


def test_burst_is_spent_before_the_rate_counts() -> None:
    governor = Governor(50, 10)
    begun = time.monotonic()
    for _ in range(10):
        with governor.call():
            pass
    assert time.monotonic() - begun < 0.1
    with governor.call():
        pass
    wait_for(lambda: time.monotonic() - begun >= 0.015, "the eleventh call waits for a token", 1)


def test_waiting_create_gives_up_as_soon_as_it_may_not_go_any_more() -> None:
    governor = Governor(1000, 1000)
    governor.answered(429, 0.01, retry_after=60)
    begun = time.monotonic()

    def permit() -> None:
        raise Stopping("the process stops")

    with pytest.raises(Stopping), governor.call(permit):
        pass
    assert time.monotonic() - begun < 1
