"""The limits on calls to the API server, without an API server."""

from __future__ import annotations

import threading
import time

import pytest

from ottoscaler.errors import Stopping
from ottoscaler.kube.throttle import CREATES_IN_FLIGHT, LEAST_RATE, Throttle
from tests.harness.waiting import wait_for


def test_429_halves_the_rate_once_however_many_answers_bring_it() -> None:
    throttle = Throttle(400, 100)
    for _ in range(32):
        throttle.answered(429, 0.01)
    assert throttle.rate == 200


def test_good_answers_raise_the_rate_again_up_to_its_setting() -> None:
    throttle = Throttle(100, 100)
    throttle.answered(429, 0.01)
    for _ in range(1000):
        throttle.answered(201, 0.01)
    assert throttle.rate == 100


def test_slow_answers_lower_the_rate() -> None:
    throttle = Throttle(100, 100)
    throttle.answered(201, 5.0)
    assert throttle.rate == 80


def test_rate_never_falls_below_its_floor() -> None:
    throttle = Throttle(6, 100)
    throttle.answered(429, 0.01)
    assert throttle.rate == LEAST_RATE


def test_deletes_find_a_place_while_every_create_waits() -> None:
    throttle = Throttle(1000, 1000)
    done, begun = threading.Event(), threading.Semaphore(0)

    def create() -> None:
        with throttle.call(lambda: None):
            begun.release()
            done.wait(10)

    threads = [threading.Thread(target=create) for _ in range(100)]
    for thread in threads:
        thread.start()
    for _ in range(CREATES_IN_FLIGHT):
        assert begun.acquire(timeout=5)
    with throttle.call():
        deleted = True
    assert deleted
    done.set()
    for thread in threads:
        thread.join(10)


def test_retry_after_holds_creates_back_and_not_deletes() -> None:
    throttle = Throttle(1000, 1000)
    throttle.answered(429, 0.01, retry_after=0.3)
    begun = time.monotonic()
    with throttle.call():
        assert time.monotonic() - begun < 0.2
    with throttle.call(lambda: None):
        assert time.monotonic() - begun >= 0.25


def test_burst_is_spent_before_the_rate_counts() -> None:
    throttle = Throttle(50, 10)
    begun = time.monotonic()
    for _ in range(10):
        with throttle.call():
            pass
    assert time.monotonic() - begun < 0.1
    with throttle.call():
        pass
    wait_for(lambda: time.monotonic() - begun >= 0.015, "the eleventh call waits for a token", 1)


def test_waiting_create_gives_up_as_soon_as_it_may_not_go_any_more() -> None:
    throttle = Throttle(1000, 1000)
    throttle.answered(429, 0.01, retry_after=60)
    begun = time.monotonic()

    def permit() -> None:
        raise Stopping("the process stops")

    with pytest.raises(Stopping), throttle.call(permit):
        pass
    assert time.monotonic() - begun < 1
