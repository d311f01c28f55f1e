"""Reads a busy watch every few milliseconds instead of event by event.

In a burst of a thousand workers, the watch thread woke for nearly each of six events a worker. Each time it
competed with dozens of other threads for the interpreter, only to wait again: a tenth of a worker's CPU. So
while the next event never keeps it waiting for long, it sleeps a little first and then takes all that has
come. In quiet times each event is read as soon as it comes.
"""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Callable
from typing import Any

GATHER_SECONDS = 0.005
SHORT_SECONDS = GATHER_SECONDS / 2  # a wait of less than this was short
SHORT_WAITS = 8  # in a row: then the stream is busy


class GatheringSocket:
    """A socket from which a stream is read. For the one thread that reads it."""

    def __init__(
        self,
        sock: Any,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sock = sock
        self._clock = clock
        self._sleep = sleep
        self._short_waits = 0  # in a row

    def recv(self, size: int) -> bytes:
        """What the socket's ``recv`` returns or raises, on a busy stream up to GATHER_SECONDS later."""
        if self._short_waits >= SHORT_WAITS and not self._has_more():
            self._sleep(GATHER_SECONDS)
        begun = self._clock()
        piece: bytes = self._sock.recv(size)
        self._short_waits = self._short_waits + 1 if self._clock() - begun < SHORT_SECONDS else 0
        return piece

    def _has_more(self) -> bool:
        """Whether TLS has more that has come: it gives one record at a time. Other sockets gave all."""
        if not isinstance(self._sock, ssl.SSLSocket):
            return False
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(self._sock.pending() or poll.poll(0))
