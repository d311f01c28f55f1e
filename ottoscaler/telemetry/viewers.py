"""Bounds the connections of the status page's viewers, apart from those of health probes and metrics."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VIEWERS = 32  # open streams at one time; each browser tab has one
REQUESTS = 8  # other requests for the page at one time


class Full(Exception):
    """No place is free. The text is a sentence for the viewer."""


class OpenConnections:
    """Open connections of one kind, at most ``most``. Any thread."""

    def __init__(self, most: int, full: str) -> None:
        self._most = most
        self._full = full
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    @contextmanager
    def place(self, connection: socket.socket) -> Iterator[None]:
        """Hold a place while the context is open. Raises Full."""
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
        """The connections that hold a place."""
        with self._lock:
            return list(self._open)
