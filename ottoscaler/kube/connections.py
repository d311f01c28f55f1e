"""HTTP/1.1 requests and their answers, at a fraction of a general client's price. For transport.py only.

urllib3 makes the connections (TLS, certificates, server names as the kubeconfig says); the bytes are written
and read here. In a burst of a thousand workers the general client took 0.48 ms of CPU a request, measured
with py-spy beside this module's 0.14 ms: the largest single cost of a worker (docs/adr/0005).
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from ottoscaler.kube.http1 import Head, pieces, read_head, whole

FRESH_SECONDS = 0.5  # a connection that was used so lately is not asked whether the server has closed it


class Response:
    """What came back. ``headers`` has lower-case names."""

    __slots__ = ("data", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


class ResponseStream:
    """An answer whose body is read as it comes. One thread reads and closes it; any may shut it down."""

    def __init__(self, owner: Connections, connection: Any, method: str, head: Head) -> None:
        self.status, self.headers = head.status, head.headers
        self._owner, self._connection, self._head = owner, connection, head
        self._parts = pieces(connection.sock, method, head)
        self._ended = False

    def stream(self) -> Iterator[bytes]:
        """Pieces of the body. Raises TimeoutError and other OSErrors."""
        yield from self._parts
        self._ended = True

    @property
    def data(self) -> bytes:
        """All of it: for an answer that is an error."""
        return whole(self.stream())

    def shutdown(self) -> None:
        """End whatever reads it now. Any thread. Raises OSError where it has ended already."""
        self._connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._owner.done(self._connection, keep=self._ended and self._head.keep)


class Connections:
    """Idle connections of one pool of urllib3's, and requests over them. Thread-safe.

    Never sends a request twice. A connection that the server closed while it was idle is not used.
    """

    def __init__(self, pool: Any, *, connect_seconds: float) -> None:
        self._pool = pool
        self._connect_seconds = connect_seconds
        self._idle: deque[tuple[Any, float]] = deque()
        port = f":{pool.port}" if pool.port else ""
        host = f"[{pool.host}]" if ":" in pool.host else pool.host
        self._host = f"Host: {host}{port}\r\n"

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], read_seconds: float
    ) -> Response:
        """Send it once. Raises OSError (or urllib3's HTTPError while connecting) where no answer came.

        ``read_seconds`` bounds each wait for bytes, as urllib3's read time-out does.
        """
        connection, head = self._ask(method, path, body, headers, read_seconds)
        try:
            data = whole(pieces(connection.sock, method, head))
        except BaseException:
            connection.close()
            raise
        self.done(connection, keep=head.keep)
        return Response(head.status, head.headers, data)

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], read_seconds: float
    ) -> ResponseStream:
        """The same, for a body that the caller reads as it comes, and closes."""
        connection, head = self._ask(method, path, None, headers, read_seconds)
        return ResponseStream(self, connection, method, head)

    def done(self, connection: Any, *, keep: bool) -> None:
        """The connection is free again, or not to be used any more."""
        if keep:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], read_seconds: float
    ) -> tuple[Any, Head]:
        lines = [f"{method} {path} HTTP/1.1\r\n", self._host]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(body or b'')}\r\n\r\n")
        connection = self._take()
        try:
            if connection.sock.gettimeout() != read_seconds:  # each change is a system call
                connection.sock.settimeout(read_seconds)
            connection.sock.sendall("".join(lines).encode("latin-1") + (body or b""))
            return connection, read_head(connection.sock)
        except BaseException:
            connection.close()
            raise

    def _take(self) -> Any:
        while self._idle:
            try:
                connection, used = self._idle.pop()
            except IndexError:
                break
            if time.monotonic() - used < FRESH_SECONDS or not _readable(connection.sock):
                return connection
            connection.close()
        connection = self._pool._new_conn()
        connection.timeout = self._connect_seconds
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection


def _readable(sock: Any) -> bool:
    """Whether something waits to be read where nothing was asked: the end of the connection."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
