"""When connections are given up, because what answers on them is the wrong server.

Behind one name stand several API servers. One that has lost its etcd keeps its connections and answers each
request with an error, while a new connection would reach a well one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

WRONG_IN_A_ROW = 2  # answers after which the connections that have not spoken are doubted too
FIRST_PAUSE_SECONDS = 0.5  # between two renewals of all connections; doubled while the new ones are no better
LONGEST_PAUSE_SECONDS = 4.0  # so that a name that leads elsewhere is followed within that time
FORGET_SECONDS = 30.0  # without such an answer: the next one is a new incident


class Loss(Enum):
    """What a wrong server's answer costs."""

    KEEP = "keep"  # the connection is young: another one would be no better
    ONE = "this connection"
    ALL = "all connections"
    ALL_AT_ONCE = "all connections and open watches"  # the first time in an incident


class Renewal:
    """The back-off. Thread-safe; nothing here waits. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._row = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._last = -FORGET_SECONDS
        self._next_all = 0.0
        self._renewed = False  # in this incident
        self.stale_before = 0.0  # connections that were made earlier are not to be used any more

    def well(self) -> None:
        """A server did what only one with its etcd can do. Costs nothing while all is well."""
        if self._row:
            with self._lock:
                self._row = 0

    def wrong(self, opened_at: float) -> Loss:
        """Count a wrong server's answer, on a connection made at ``opened_at``, and say what it costs."""
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
