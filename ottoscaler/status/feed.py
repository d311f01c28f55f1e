"""Snapshots for all viewers of the page. Each is read once for all, and only while there are viewers.

A thread named ``page`` reads them. It starts with the first viewer, and ends when there has been none for a
while. It never takes more than ``SHARE`` of a core: a costly snapshot is read less often.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ottoscaler.errors import RedisError
from ottoscaler.model import JsonObject
from ottoscaler.telemetry.logs import flood
from ottoscaler.telemetry.redaction import redact

LEAST_SECONDS = 1.0  # between two snapshots
MOST_SECONDS = 10.0
SHARE = 0.012  # of a core, for reading; sending takes some of the 2 % too
LINGER_SECONDS = 2.0  # the thread goes on for so long without viewers, so that a reload finds its memory


def pause(cost: float) -> float:
    """Seconds until the next snapshot, after one that took so many seconds of CPU."""
    return min(MOST_SECONDS, max(LEAST_SECONDS, cost / SHARE))


def json_bytes(told: JsonObject) -> bytes:
    """What the page is sent: JSON without secrets."""
    return redact(json.dumps(told, ensure_ascii=False, separators=(",", ":"))).encode("utf-8", "replace")


class Feed:
    """The feed. Any thread. ``read`` returns a snapshot or raises RedisError; one thread at a time calls
    it."""

    def __init__(self, read: Callable[[], JsonObject]) -> None:
        self._read = read
        self._condition = threading.Condition()
        self._viewers = 0
        self._running = False
        self._left_at = 0.0
        self._number = 0
        self._frame = b""

    @contextmanager
    def watch(self) -> Iterator[Viewer]:
        """Be a viewer for as long as the context is open."""
        with self._condition:
            if not self._running:
                # It raises where the process may have no more threads. Then nothing must seem to run.
                threading.Thread(target=self._run, name="page", daemon=True).start()
                self._running = True
                self._frame = b""  # what is left of the viewers before is old
            self._viewers += 1
        try:
            yield Viewer(self)
        finally:
            with self._condition:
                self._viewers -= 1
                self._left_at = time.monotonic()

    def after(self, number: int, timeout: float) -> tuple[int, bytes] | None:
        """Wait for a frame whose number is not ``number``. Returns it and its number, or ``None`` after
        ``timeout`` seconds."""
        with self._condition:
            if not self._condition.wait_for(lambda: self._frame and self._number != number, timeout):
                return None
            return self._number, self._frame

    def _run(self) -> None:
        try:
            while self._wanted():
                began = time.thread_time()
                self._publish(self.frame())
                time.sleep(pause(time.thread_time() - began))
        except BaseException:  # at the usual end, another thread may run already
            with self._condition:
                self._running = False
            raise

    def _wanted(self) -> bool:
        with self._condition:
            wanted = self._viewers > 0 or time.monotonic() - self._left_at < LINGER_SECONDS
            self._running = wanted
            return wanted

    def frame(self) -> bytes:
        """One snapshot as JSON. If Redis does not answer, it has ``error``, a sentence."""
        try:
            told = self._read()
        except RedisError as error:
            flood.warning("page_unread", f"the status page cannot be read: {error}")
            told = {"error": f"Redis does not answer: {error}"}
        except Exception as error:  # noqa: BLE001 - what another version wrote must not end the thread
            flood.warning("page_unread", f"the status page cannot be read: {type(error).__name__}: {error}")
            told = {"error": f"internal error ({type(error).__name__})"}
        return json_bytes(told)

    def _publish(self, frame: bytes) -> None:
        with self._condition:
            self._number += 1
            self._frame = frame
            self._condition.notify_all()


class Viewer:
    """One viewer's place in the feed. One thread."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._number = 0

    def next(self, timeout: float) -> bytes | None:
        """The newest frame that this viewer has not had; ``None`` if none comes within ``timeout``
        seconds."""
        found = self._feed.after(self._number, timeout)
        if found is None:
            return None
        self._number, frame = found
        return frame
