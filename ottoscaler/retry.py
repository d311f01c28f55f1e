"""Trying again, with tenacity: the one place that says how long and how often.

Only errors whose type says so are tried again. Waits end early on the stop event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from ottoscaler.errors import Fenced, KubernetesUnavailable, RedisError, Stopping
from ottoscaler.telemetry.logs import flood

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 3.0  # so that work goes on within 5 s of Redis's or Kubernetes's return


def _may_try_again(error: BaseException) -> bool:
    if isinstance(error, Fenced):
        return False
    # A Redis error that is no Unavailable (a key of a wrong type, say) needs an operator, but giving a
    # worker up for it would lose its result, so it is asked again until that is mended.
    return isinstance(error, (RedisError, KubernetesUnavailable))


class Retrier:
    """Repeats a call until it succeeds, fails for good, or the process stops waiting. Thread-safe."""

    def __init__(self, stop: threading.Event, tries: int | None = None) -> None:
        self.stop = stop
        self._tries = tries  # unless a call says otherwise

    def call(self, what: str, attempt: Callable[[], T], *, tries: int | None = None) -> T:
        """The call's result. Raises Stopping once the stop event is set; after ``tries``, its last error."""
        tries = tries or self._tries

        try:
            return attempt()  # nearly always all there is to do, at a tenth of tenacity's price
        except Exception as error:
            if not _may_try_again(error):
                raise
            self.stop.wait(FIRST_PAUSE_SECONDS)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            least = error.retry_after if isinstance(error, KubernetesUnavailable) else 0.0
            return max(least, backoff(state))

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
            else tenacity.stop_any(gives_up, tenacity.stop_after_attempt(tries)),
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
