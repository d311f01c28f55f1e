"""Which calls are tried again, how soon, how often, and what ends that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from ottoscaler import retry
from ottoscaler.errors import (
    BrokenKey,
    Fenced,
    KubernetesUnavailable,
    PodGone,
    RedisUnavailable,
    Stopping,
)
from ottoscaler.retry import Retrier


class Call:
    """Raises these errors, one after the other, then returns its number of tries."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.times: list[float] = []

    def __call__(self) -> int:
        self.times.append(time.monotonic())
        if self.errors:
            raise self.errors.pop(0)
        return len(self.times)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(retry, "LONGEST_PAUSE_SECONDS", 0.01)


def raised(call: Callable[[], object], stop: threading.Event | None = None, tries: int | None = None) -> str:
    with pytest.raises(Exception, match=r".") as found:
        Retrier(stop or threading.Event()).call("a call", call, tries=tries)
    return type(found.value).__name__


def test_call_is_tried_again_until_it_succeeds_also_after_an_error_that_an_operator_must_mend() -> None:
    call = Call(*[RedisUnavailable("away")] * 5, *[KubernetesUnavailable("away")] * 5, BrokenKey("a string"))
    assert Retrier(threading.Event()).call("a call", call) == 12


def test_error_for_good_is_raised_at_once() -> None:
    for error in (Fenced("another's"), PodGone("gone", status=404), ValueError("a bug")):
        call = Call(error)
        assert raised(call) == type(error).__name__
        assert len(call.times) == 1
        later = Call(RedisUnavailable("away"), error)
        assert raised(later) == type(error).__name__
        assert len(later.times) == 2


def test_no_try_comes_before_the_time_that_the_api_server_asked_for() -> None:
    call = Call(*[KubernetesUnavailable("busy", status=429, retry_after=0.2)] * 2)
    assert Retrier(threading.Event()).call("a call", call) == 3
    assert all(then - before >= 0.2 for before, then in pairwise(call.times))


def test_last_error_is_raised_after_so_many_tries() -> None:
    for tries in (1, 2, 5):
        call = Call(*[RedisUnavailable("away")] * 99)
        assert raised(call, tries=tries) == "RedisUnavailable"
        assert len(call.times) == tries


def test_stop_ends_the_tries_and_their_pause() -> None:
    stop = threading.Event()
    call = Call(*[KubernetesUnavailable("busy", status=429, retry_after=60.0)] * 99)
    threading.Timer(0.05, stop.set).start()
    assert raised(call, stop) == "Stopping"
    assert len(call.times) <= 3


def test_call_that_succeeds_is_made_once_also_at_a_stop() -> None:
    stop = threading.Event()
    stop.set()
    assert Retrier(stop).call("a call", Call()) == 1
    with pytest.raises(Stopping):
        Retrier(stop).call("a call", Call(*[RedisUnavailable("away")] * 99))
