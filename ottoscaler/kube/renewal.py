"""Decides when to give up connections because a wrong server answers on them.

Several API servers may share one name. One that has lost its etcd keeps its connections and answers each
request with an error, while a new connection would reach a healthy server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

WRONG_IN_A_ROW = 2  # after so many wrong answers, the other connections are given up too
FIRST_PAUSE_SECONDS = 0.5  # between two renewals of all connections; doubled while the new ones are no better
LONGEST_PAUSE_SECONDS = 4.0  # if the name leads to another server, it is followed within this time
FORGET_SECONDS = 30.0  # after so long without a wrong answer, the next one begins a new incident


class Loss(Enum):
    """Which connections are given up after a wrong server's answer."""

    KEEP = "keep"  # the connection is young: another one would be no better
    ONE = "this connection"
    ALL = "all connections"
    ALL_AT_ONCE = "all connections and open watches"  # the first time in an incident


class Renewal:
    """The back-off between renewals. Thread-safe; nothing here waits. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._row = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._last = -FORGET_SECONDS
        self._next_all = 0.0
        self._renewed = False  # in this incident
        self.stale_before = 0.0  # connections made before this time are not used any more

    def well(self) -> None:
        """Note that a server did what it cannot do without its etcd. Costs nothing while all is well."""
        if self._row:
            with self._lock:
                self._row = 0

    def wrong(self, opened_at: float) -> Loss:
        """Count a wrong server's answer, and say which connections to give up.

        ``opened_at`` is when the answering connection was made."""
        with self._lock:
            now = self._clock()
            if now - self._last > FORGET_SECONDS:
                self._row, self._pause, self._renewed = 0, FIRST_PAUSE_SECONDS, False
            self._last = now
            self._row += 1
            if self._row >= WRONG_IN_A_ROW and now >= self._next_all:
                self.stale_before = now
                self._next_all = now + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
                first, self._renewed = not self._renewed, True
                return Loss.ALL_AT_ONCE if first else Loss.ALL
            return Loss.ONE if now - opened_at >= self._pause else Loss.KEEP
