"""The API server's clock, learned from the Date headers of its answers.

It measures the age of Pods that another replica created. A Date header has whole seconds. One answer may come
from a server whose clock is wrong, and a clock may be set. So the first time is believed once a second answer
agrees with it. After a step, the new time is believed once three answers in a row agree. Until then the time
is unknown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

FIRST_AGREE = 2  # answers that must agree before the first time is believed
STEP_AGREE = 3  # answers in a row that must agree before a new time is believed
SLACK_SECONDS = 1.0  # by which two answers may differ and agree: drift, and a clock that is being slewed


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer says: its clock is ``low`` to ``high`` seconds ahead of our monotonic clock."""

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
        self._others: tuple[Reading, ...] = ()  # the latest in a row that contradict the believed one

    def now(self) -> float | None:
        """Unix seconds by the API server's clock, at most one second late; ``None`` while unknown."""
        believed = self._believed
        return None if believed is None or self._others else self._monotonic() + believed.low

    def note(self, date: str, asked_at: float) -> None:
        """Note an answer's Date header. The request was sent at ``asked_at`` (monotonic). Any thread.

        Costs nothing for an answer of the same second as the last one."""
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
        """Under the lock. Returns the seconds of a step that is believed from now on, else 0."""
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
