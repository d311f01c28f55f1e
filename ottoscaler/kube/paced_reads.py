"""Reads a busy connection in large parts, so that its thread wakes less often.

Each worker's Pod makes six events. Read one by one, each wakes the watch thread, which then waits for the
interpreter that other threads use. With pauses, a burst of 1,000 workers took 0.83 times the CPU a worker, of
one replica and of ten (docs/performance.md).
"""

from __future__ import annotations

import time
from typing import Any

PAUSE_SECONDS = 0.02  # between two reads of a busy connection: 5 ms gained nothing (docs/performance.md)
# Reads without a pause after a quiet time. A lone worker's six events come in some nine TLS records.
READS_AHEAD = 16
QUIET_SECONDS = 0.1  # from one read to the next: more than a thread is late on busy processors
MOST_BYTES = 64 * 1024  # of TLS records read together; what is left is read next, without a pause


class Pace:
    """When reads are due: READS_AHEAD at once after a quiet time, then one a pause. For one thread.

    Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._ahead = READS_AHEAD
        self._last = 0.0  # when the last read was made

    def wait(self, now: float) -> float:
        """How many seconds the read that is to be made at ``now`` waits: at most PAUSE_SECONDS."""
        passed = now - self._last
        if passed >= QUIET_SECONDS:
            self._ahead = READS_AHEAD
        seconds = 0.0
        if self._ahead:
            self._ahead -= 1
        else:
            seconds = min(PAUSE_SECONDS, max(0.0, PAUSE_SECONDS - passed))
        self._last = now + seconds
        return seconds


class PacedReads:
    """A socket's ``recv`` that waits its pace out, and then reads all that has come. For one thread."""

    def __init__(self, sock: Any, *, tls: bool) -> None:
        self._sock = sock
        self._tls = tls
        self._pace = Pace()
        self._more = False  # the last read was full, so more may have come already

    def recv(self, size: int) -> bytes:
        """The next bytes, with TLS maybe more than ``size``; empty at the end. Raises OSErrors."""
        seconds = 0.0 if self._more else self._pace.wait(time.monotonic())
        if seconds:
            time.sleep(seconds)
        piece: bytes = self._sock.recv(size)
        if self._tls and (seconds or self._more):
            return self._with_other_records(piece, size)
        self._more = len(piece) == size
        return piece

    def _with_other_records(self, piece: bytes, size: int) -> bytes:
        """``piece`` and what else has come. A read brings one record, which has 16 KiB at most."""
        parts, have = [piece], len(piece)
        timeout = self._sock.gettimeout()
        self._sock.settimeout(0.0)
        try:
            while piece and have < MOST_BYTES:
                piece = self._sock.recv(size)
                parts.append(piece)
                have += len(piece)
        except OSError:
            pass  # nothing more has come, or the next read tells what is wrong
        finally:
            self._sock.settimeout(timeout)
        self._more = have >= MOST_BYTES
        return b"".join(parts)
