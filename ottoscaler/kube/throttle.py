"""Bounds one process's calls to the API server: calls in flight, and calls a second.

The rate adapts to the server (rate.py). Each kind of call has its own places in flight. Creates wait for
their tokens. Deletes and other calls go ahead of theirs, because a burst of creates ends in a burst of
deletes, which must not wait behind creates. Creates then wait until all tokens taken ahead have come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self

from ottoscaler.kube.places import Place, Places
from ottoscaler.kube.rate import Rate
from ottoscaler.telemetry.health import STALL_SECONDS, progress

# The most calls of each kind in flight. An event alone gets a third of them (places.py): more than some 30
# creates in flight gain nothing on a real server.
CREATES = 96
DELETES = 96
LOOKS = 32
LOGS = 24  # nodes answer these calls, and some nodes hang
# Of the burst. With fewer tokens than this left, quick answers raise the rate. When they did so only once no
# token was left, the last creates of a second event of 1,000 waited half a second.
RISES_BELOW = 0.5
LONGEST_SLEEP_SECONDS = 0.25  # then a thread that waits for a token reads the rate again
TOKEN_LOOK_SECONDS = 0.05  # how often a call with a deadline looks for a token
# How often a thread that waits for a place notes progress. Each time is a wake-up: when a thousand workers of
# one event end together, nearly all of them wait here, and waking every 0.25 s cost each 0.2 ms of CPU.
PROGRESS_SECONDS = STALL_SECONDS / 3


class Turn:
    """A create's turn: it waits for a place for its event and its profile, then for a token.

    One thread at a time uses it, as a context manager. Leaving it gives the place back, whether or not it
    was sent."""

    def __init__(self, throttle: Throttle, event: str, profile: str) -> None:
        self._throttle = throttle
        self._event, self._profile = event, profile
        self._place: Place | None = None
        self._has_token = False

    def __enter__(self) -> Self:
        if self._place is None:
            self._place = self._throttle.creates.ask(self._event, self._profile)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the place back, if it has one."""
        place, self._place = self._place, None
        if place is not None:
            self._throttle.creates.leave(place)

    def ready(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the place, and as long for the token.

        Returns whether the create may be sent; call it again if not."""
        if self._place is None or not self._place.wait(seconds):
            return False
        if not self._has_token:
            self._has_token = self._throttle.take_create_token(seconds)
        return self._has_token


class Throttle:
    """A token bucket, and places for each kind of call. Thread-safe; waits for a token are bounded by the
    rate's floor. ``qps`` is where the rate begins, ``most`` how far it may rise: not at all without it."""

    def __init__(self, qps: float, burst: int, most: float = 0.0) -> None:
        self._burst = float(burst)
        self._ahead_seconds = burst / qps  # calls other than creates may be so far ahead of their tokens
        self._rate = Rate(qps, max(qps, most))
        self._taken = 0  # tokens taken so far; some of them are still to come
        self._filled = float(burst)  # tokens that have come so far
        self._filled_at = time.monotonic()
        self._paused_until = 0.0
        self._lock = threading.Lock()
        self._first = threading.Lock()  # held by the one create that may take the next token
        self.creates = Places(CREATES)
        self._deletes = Places(DELETES)
        self._looks = Places(LOOKS)
        self._logs = Places(LOGS)

    @property
    def rate(self) -> float:
        """How many calls a second are allowed now."""
        return self._rate.per_second

    def delete(self, event: str) -> AbstractContextManager[None]:
        """Wait for a place and a token for a delete, and hold the place."""
        return self._call(self._deletes, event)

    def look(self, event: str) -> AbstractContextManager[None]:
        """The same for any other call but a create or a log."""
        return self._call(self._looks, event)

    @contextmanager
    def log(self, event: str, seconds: float) -> Iterator[bool]:
        """Wait at most ``seconds`` for a place and a token to read a log. Yields whether both came."""
        deadline = time.monotonic() + seconds
        place = self._logs.ask(event)
        try:
            yield place.wait(seconds) and self._take_token_by(deadline)
        finally:
            self._logs.leave(place)

    def _take_token_by(self, deadline: float) -> bool:
        while True:
            with self._lock:
                now = self._fill()
                if self._filled + self._ahead() - self._taken >= 1:
                    self._taken += 1
                    return True
            if now >= deadline:
                return False
            time.sleep(max(min(deadline - now, TOKEN_LOOK_SECONDS), 0.001))

    @contextmanager
    def _call(self, places: Places, event: str) -> Iterator[None]:
        place = places.ask(event)
        try:
            while not place.wait(PROGRESS_SECONDS):
                progress()  # threads that /healthz observes also wait here, and calls ahead of them may hang
            self._await_token()
            yield
        finally:
            places.leave(place)

    def _await_token(self) -> None:
        """Take the next token, and wait until it is near enough to go ahead of it. So no thread wakes for
        another's token."""
        with self._lock:
            self._fill()
            self._taken += 1
            mine = self._taken
        while True:
            with self._lock:
                self._fill()
                short = mine - self._filled - self._ahead()
                pause = short / self._rate.per_second
            if short <= 0:
                return
            time.sleep(min(max(pause, 0.001), LONGEST_SLEEP_SECONDS))

    def take_create_token(self, seconds: float) -> bool:
        """Take a token that has come and is nobody's. False if there was none in time.

        It waits about ``seconds`` at most. No token is taken while a Retry-After lasts. Only one thread at a
        time wakes for the next token."""
        deadline = time.monotonic() + seconds
        if not self._first.acquire(timeout=seconds):
            return False
        try:
            while True:
                with self._lock:
                    now = self._fill()
                    short = 1 - (self._filled - self._taken)
                    pause = max(self._paused_until - now, short / self._rate.per_second)
                    if pause <= 0:
                        self._taken += 1
                        return True
                if now >= deadline:
                    return False
                time.sleep(max(min(pause, deadline - now, LONGEST_SLEEP_SECONDS), 0.001))
        finally:
            self._first.release()

    def _ahead(self) -> float:
        """Under the lock: how many tokens ahead of those that have come another call than a create may be."""
        return min(self._burst, self._ahead_seconds * self._rate.per_second)

    def _fill(self) -> float:
        """Under the lock: fill the bucket for the time since the last call. Returns the present time.

        While a Retry-After lasts, only what was taken ahead comes back. Else its end would be a burst, which
        the server would refuse again."""
        now = time.monotonic()
        if self._paused_until > self._filled_at:
            self._come(min(now, self._paused_until), max(self._filled, self._taken))
        self._come(now, self._taken + self._burst)
        return now

    def _come(self, until: float, most: float) -> None:
        since, self._filled_at = until - self._filled_at, until
        self._filled = min(most, self._filled + since * self._rate.per_second)

    def answered(
        self, status: int, seconds: float, retry_after: float = 0.0, *, patient: bool = False
    ) -> None:
        """Tell how a call went. ``retry_after`` (seconds) holds creates back for that long. ``patient``: it
        passed admission, which may take its time."""
        with self._lock:
            now, before = self._fill(), self._rate.per_second
            spare = self._filled - self._taken
            holds_back = spare < RISES_BELOW * self._burst
            self._rate.answered(now, status, seconds, patient=patient, holds_back=holds_back)
            if self._rate.per_second < before:
                # The bucket keeps its worth in seconds. A server that refuses would else get the rest of the
                # burst, and at the rate's floor, the tokens taken ahead would hold creates back for minutes.
                self._filled = self._taken + spare * self._rate.per_second / before
            if status in (429, 503):
                self._paused_until = max(self._paused_until, now + retry_after)
