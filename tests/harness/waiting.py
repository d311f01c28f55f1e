"""Waiting for a condition, with a deadline. No test sleeps for a fixed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.02
# No deadline is shorter, whatever is promised for a machine that is free: CI's may stand still for seconds.
# So a test that has to tell two ways apart makes the wrong one far slower than this (a lease, a poll).
LEAST_SECONDS = 30.0
_never = threading.Event()


def wait_for(look: Callable[[], T], what: str, seconds: float = LEAST_SECONDS) -> T:
    """The first truthy answer of ``look``. Fails with ``what`` and the last answer at the deadline, which is
    after ``seconds``, and never before LEAST_SECONDS."""
    seconds = max(seconds, LEAST_SECONDS)
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {answer!r}")
        _never.wait(LOOK_SECONDS)


def stays(look: Callable[[], bool], what: str, seconds: float) -> None:
    """Fails as soon as ``look`` is not true any more within ``seconds``: for what must not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert look(), f"within {seconds:g} s: {what}"
        _never.wait(LOOK_SECONDS)
