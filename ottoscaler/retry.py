"""Tries calls again, with tenacity, and the back-off of loops that do more than a call between two tries.

The type of an error says whether the call is tried again. The stop event ends a wait early.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from ottoscaler.errors import Fenced, KubernetesUnavailable, RedisError, Stopping
from ottoscaler.telemetry.logs import flood

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 3.0  # so that work goes on within 5 s after Redis or Kubernetes is back
FIRST_BACKOFF_SECONDS = 0.2  # of Backoff


def _may_try_again(error: BaseException) -> bool:
    if isinstance(error, Fenced):
        return False
    # A RedisError that is no RedisUnavailable (a key of a wrong type, say) needs an operator. Giving a worker
    # up for it would lose its result, so the call is tried again until the operator has repaired that.
    return isinstance(error, (RedisError, KubernetesUnavailable))


def _asked_pause(error: BaseException | None) -> float:
    """Seconds for which the API server asked not to be called again."""
    return error.retry_after if isinstance(error, KubernetesUnavailable) else 0.0


class Retrier:
    """Repeats a call until it succeeds, fails for good, or ``stop`` is set. Thread-safe.

    With ``tries``, each call is tried at most so often.
    """

    def __init__(self, stop: threading.Event, tries: int | None = None) -> None:
        self.stop = stop
        self._tries = tries  # of each call that names no other number; ``None`` for no limit

    def call(self, what: str, attempt: Callable[[], T], *, tries: int | None = None) -> T:
        """The result of ``attempt``. ``what`` names it in log lines. May wait between tries.

        Raises Stopping if ``attempt`` fails once ``stop`` is set, the last error after ``tries``, and at once
        any error that must not be tried again.
        """
        tries = tries or self._tries

        try:
            return attempt()  # nearly always enough, and ten times as fast as with tenacity
        except Exception as error:
            if tries == 1 or not _may_try_again(error):
                raise
            self.stop.wait(max(FIRST_PAUSE_SECONDS, _asked_pause(error)))

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return max(_asked_pause(error), backoff(state))

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            flood.warning("trying_again", f"{what} failed, trying again: {error}", key=what)

        backoff = tenacity.wait_random_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)
        gives_up = tenacity.stop_when_event_set(self.stop)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_try_again),
            wait=pause,
            stop=gives_up
            if tries is None
            else tenacity.stop_any(gives_up, tenacity.stop_after_attempt(tries - 1)),
            sleep=tenacity.sleep_using_event(self.stop),
            before_sleep=tell,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Exception as error:
            if self.stop.is_set() and _may_try_again(error):
                raise Stopping(f"{what} was abandoned: the process is stopping") from error
            raise


class Backoff:
    """The pauses of a loop that judges each error itself before it tries again. One thread uses it."""

    def __init__(self) -> None:
        self._pause = FIRST_BACKOFF_SECONDS

    def wait(self, stop: threading.Event) -> bool:
        """Pause, each time for twice as long up to LONGEST_PAUSE_SECONDS, with jitter.

        ``stop`` ends the pause. Returns whether it is set.
        """
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return stop.wait(pause * random.uniform(0.5, 1.0))
