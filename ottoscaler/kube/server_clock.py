"""The API server's clock, as several of its answers tell it.

Ages of Pods that another replica created are measured by it. Every answer carries it, in whole seconds; but
one answer may come from a server whose clock is wrong, and a clock may be set. So a time is believed once a
second answer agrees, and again after a step once three in a row agree; until then it is not known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

FIRST_AGREE = 2  # answers, before the first time is believed
STEP_AGREE = 3  # answers in a row, before another time is believed than up to now
SLACK_SECONDS = (
    1.0  # two answers may be so far apart and still agree: drift, and a clock that is being slewed
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer: what has to be added to our monotonic clock is between these, in seconds."""

    low: float
    high: float

    def agrees(self, other: Reading) -> bool:
        return self.low <= other.high + SLACK_SECONDS and other.low <= self.high + SLACK_SECONDS


class ServerClock:
    """Thread-safe; nothing here waits. ``monotonic`` gives our own seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._date = ""  # the last answer's
        self._believed: Reading | None = None
        self._others: tuple[Reading, ...] = ()  # the latest ones, in a row, that the believed one contradicts

    def now(self) -> float | None:
        """Unix seconds by the API server's clock, a second late at most; ``None`` while it is not known."""
        believed = self._believed
        return None if believed is None or self._others else self._monotonic() + believed.low

    def note(self, date: str, asked_at: float) -> None:
        """An answer's Date header, to a request that was sent at ``asked_at`` (monotonic). Costs nothing for
        an answer of the same second as the last one."""
        if date == self._date and self._believed is not None and not self._others:
            return
        try:
            told = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            return
        self._date = date
        reading = Reading(told - self._monotonic(), told + 1 - asked_at)
        with self._lock:
            stepped = self._take(reading)
        if stepped:
            log.warning(
                "server_clock_stepped",
                f"the API server's clock has stepped, or another server answers: {stepped:+.0f} s",
            )

    def _take(self, reading: Reading) -> float:
        """Under the lock. The seconds of a step that is believed now, else 0."""
        believed = self._believed
        if believed is not None and believed.agrees(reading):
            self._believed, self._others = reading, ()
            return 0.0
        self._others = (*self._others, reading)[-STEP_AGREE:]
        if believed is None:
            if sum(each.agrees(reading) for each in self._others) >= FIRST_AGREE:
                self._believed, self._others = reading, ()
            return 0.0
        if len(self._others) < STEP_AGREE or not all(each.agrees(reading) for each in self._others):
            return 0.0
        self._believed, self._others = reading, ()
        return reading.low - believed.low
