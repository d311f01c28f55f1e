"""Who looks at the status page at one time: bounded, and apart from who asks for health and metrics."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VIEWERS = 32  # open streams; one a browser tab
REQUESTS = 8  # of the page's other requests at one time


class Full(Exception):
    """No place is free; the text is a sentence for the person."""


class Places:
    """Open connections of one kind, at most ``most``. Any thread."""

    def __init__(self, most: int, full: str) -> None:
        self._most = most
        self._full = full
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    @contextmanager
    def place(self, connection: socket.socket) -> Iterator[None]:
        """Hold a place. Raises Full."""
        with self._lock:
            if len(self._open) >= self._most:
                raise Full(self._full)
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def open(self) -> list[socket.socket]:
        """The connections that hold one."""
        with self._lock:
            return list(self._open)
