"""Bounds on what one process asks of the API server: calls in flight, and calls a second.

The rate adapts below its setting: halved by a 429, lowered by slow answers, and raised again a little with
each good answer (additive increase, multiplicative decrease, as TCP does it). Creates leave a share of
both to deletes and reads, which free what creates fill.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CALLS_IN_FLIGHT = 32  # more gain nothing on a real server (DESIGN.md section 6)
CREATES_IN_FLIGHT = 28  # so that deletes and reads always find a place
SLOW_SECONDS = 2.0  # an answer that takes longer counts as a sign of strain
LEAST_RATE = 5.0  # calls a second, however much the server complains
RAISE_PER_ANSWER = 0.5  # calls a second
LOWER_EVERY_SECONDS = 1.0  # one burst of 429s is one sign, not thirty-two
LONGEST_SLEEP_SECONDS = 0.25  # between two looks at the rate, and whether a waiting create may still go
SHARE_LEFT_BY_CREATES = 0.1  # of the burst


Permit = Callable[[], None]


@contextmanager
def _held(gate: threading.BoundedSemaphore, permit: Permit) -> Iterator[None]:
    while not gate.acquire(timeout=LONGEST_SLEEP_SECONDS):
        permit()
    try:
        yield
    finally:
        gate.release()


class Throttle:
    """A token bucket and two gates. Thread-safe; waits are bounded by the rate's floor."""

    def __init__(self, qps: float, burst: int) -> None:
        self._most = qps
        self._burst = float(burst)
        self._rate = qps
        self._taken = 0  # tokens so far, some of them still to come
        self._filled = float(burst)  # tokens so far that have come
        self._filled_at = time.monotonic()
        self._lowered_at = 0.0
        self._paused_until = 0.0
        self._lock = threading.Lock()
        self._calls = threading.BoundedSemaphore(CALLS_IN_FLIGHT)
        self._creates = threading.BoundedSemaphore(CREATES_IN_FLIGHT)
        self._first = threading.BoundedSemaphore(1)

    @property
    def rate(self) -> float:
        """Calls a second that are allowed now."""
        return self._rate

    @contextmanager
    def call(self, permit: Permit | None = None) -> Iterator[None]:
        """Wait for a token and a place, and hold the place. With ``permit`` it is a create, which waits
        behind everything else; ``permit`` is asked while it waits and once more when it may go, and raises
        where it may not go any more."""
        if permit is None:
            self._await_token()
            with self._calls:
                yield
            return
        with _held(self._creates, permit):
            with _held(self._first, permit):  # only whoever is first wakes for the next token
                self._await_spare_token(permit)
            with _held(self._calls, permit):
                permit()
                yield

    def _await_token(self) -> None:
        """Take the next token, though it is still to come, and wait for it: nobody wakes for another's."""
        with self._lock:
            self._fill()
            self._taken += 1
            mine = self._taken
        while True:
            with self._lock:
                self._fill()
                short = mine - self._filled
                pause = short / self._rate
            if short <= 0:
                return
            time.sleep(min(max(pause, 0.001), LONGEST_SLEEP_SECONDS))

    def _await_spare_token(self, permit: Permit) -> None:
        """Take a token once there is one beyond the others' share, and no 429 asked for a pause."""
        leave = min(self._burst * SHARE_LEFT_BY_CREATES, self._burst - 1)
        while True:
            with self._lock:
                now = self._fill()
                short = leave + 1 - (self._filled - self._taken)
                pause = max(self._paused_until - now, short / self._rate)
                if pause <= 0:
                    self._taken += 1
                    return
            permit()
            time.sleep(min(max(pause, 0.001), LONGEST_SLEEP_SECONDS))

    def _fill(self) -> float:
        """Under the lock: bring the bucket up to now, which is returned."""
        now = time.monotonic()
        since, self._filled_at = now - self._filled_at, now
        self._filled = min(self._taken + self._burst, self._filled + since * self._rate)
        return now

    def answered(self, status: int, seconds: float, retry_after: float = 0.0) -> None:
        """Tell how a call went. ``retry_after`` (seconds) holds creates back for that long."""
        if status == 429 or seconds > SLOW_SECONDS:
            with self._lock:
                now = time.monotonic()
                if now - self._lowered_at >= LOWER_EVERY_SECONDS:
                    self._lowered_at = now
                    factor = 0.5 if status == 429 else 0.8
                    self._rate = max(min(LEAST_RATE, self._most), self._rate * factor)
                self._paused_until = max(self._paused_until, now + retry_after)
        elif self._rate < self._most and status < 500:
            with self._lock:
                self._rate = min(self._most, self._rate + RAISE_PER_ANSWER)
