"""What a stop asks of Redis. A call that hangs cannot be cut, so the stop does not wait for its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from ottoscaler.errors import RedisError, RedisUnavailable

CALL_SECONDS = 0.5  # for an answer; a healthy Redis needs milliseconds
LOOK_SECONDS = 0.05  # between two checks whether it has come
LEAST_LOOKS = 10  # so many are made even if this machine stands still meanwhile

T = TypeVar("T")


class LastCalls:
    """The stop thread calls it. The calls are made one after the other, in a thread of its own.

    ``health`` tells whether Redis answered the last heartbeat. ``ping`` is any call that changes nothing."""

    def __init__(self, health: Callable[[], bool], ping: Callable[[], object]) -> None:
        self._health = health
        self._ping = ping
        self._pool: ThreadPoolExecutor | None = None
        self._unanswered: Future[Any] | None = None

    @property
    def answering(self) -> bool:
        """Whether Redis answered the last heartbeat and the last call."""
        return self._health() and (self._unanswered is None or self._unanswered.done())

    def answers_now(self) -> bool:
        """Ask Redis. Waits CALL_SECONDS at most."""
        if not self.answering:
            return False
        try:
            self.make(self._ping)
        except RedisError:
            return False
        return True

    def make(self, call: Callable[[], T]) -> T:
        """The call's result. Raises RedisUnavailable if there is none after CALL_SECONDS, and RedisError.

        The call goes on then, so it must be one that may take effect at any later time."""
        if self._unanswered is not None and not self._unanswered.done():
            raise RedisUnavailable("Redis has not answered the last call yet")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="last-calls")
        future = self._pool.submit(call)
        begun, looks = time.monotonic(), 0
        while not wait((future,), LOOK_SECONDS).done:
            looks += 1
            if looks >= LEAST_LOOKS and time.monotonic() - begun > CALL_SECONDS:
                self._unanswered = future
                raise RedisUnavailable(f"Redis has not answered within {CALL_SECONDS:g} s")
        return future.result()
