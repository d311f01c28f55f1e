"""HTTP/1.1 requests and their answers, with less CPU than urllib3 needs.

urllib3 makes the connections (TLS, certificates, server names as the kubeconfig says). This module writes and
reads the bytes. In a burst of a thousand workers, urllib3 took 0.48 ms of CPU for a request and this module
takes 0.14 ms, measured with py-spy. That was the largest single cost of a worker (docs/adr/0005).
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from ottoscaler.kube.http1 import Head, pieces, read_head, whole
from ottoscaler.kube.paced_reads import PacedReads
from ottoscaler.kube.renewal import Loss, Renewal

# Idle connections kept. With 32, small events opened one for every sixth worker, each 1 to 1.5 ms of CPU with
# TLS (docs/performance.md).
MOST_IDLE = 96  # of 100 KiB each with TLS. Calls that hang may open some 150
IDLE_SECONDS = 60.0  # then the one that has been idle for longest is closed, one with each answer
FRESH_SECONDS = 0.5  # a connection used within this time is not checked for having been closed by the server


class Link:
    """A connection of urllib3's and its age. One thread uses it; any thread may set ``doomed``."""

    __slots__ = ("connection", "doomed", "opened_at", "used_at")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.opened_at = self.used_at = time.monotonic()
        self.doomed = False  # not to be used for another request

    @property
    def sock(self) -> Any:
        return self.connection.sock

    def close(self) -> None:
        self.connection.close()


class Response:
    """A whole answer. ``headers`` has lower-case names; ``link`` is the connection that it came on."""

    __slots__ = ("data", "headers", "link", "status")

    def __init__(self, status: int, headers: dict[str, str], data: bytes, link: Link) -> None:
        self.status = status
        self.headers = headers
        self.data = data
        self.link = link


class ResponseStream:
    """An answer whose body is read as it comes. One thread reads and closes it; any may shut it down."""

    def __init__(self, owner: Connections, link: Link, method: str, head: Head, *, paced: bool) -> None:
        self.status, self.headers, self.link = head.status, head.headers, link
        self._owner, self._head = owner, head
        sock = PacedReads(link.sock, tls=isinstance(link.sock, ssl.SSLSocket)) if paced else link.sock
        self._parts = pieces(sock, method, head)
        self._ended = False

    def stream(self) -> Iterator[bytes]:
        """Yield the pieces of the body. Raises TimeoutError and other OSErrors."""
        yield from self._parts
        self._ended = True

    @property
    def data(self) -> bytes:
        """The whole body, for an answer that is an error."""
        return whole(self.stream())

    def shutdown(self) -> None:
        """End the read that is under way. Any thread. Raises OSError if the connection has ended already."""
        self.link.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._owner.ended(self)
        self._owner.done(self.link, keep=self._ended and self._head.keep)


class Connections:
    """The idle connections of one urllib3 pool, and requests over them. Thread-safe.

    A request is never sent twice. A connection is not used if the server closed it while it was idle, or if
    ``renewal`` has given it up.
    """

    def __init__(self, pool: Any, renewal: Renewal, *, connect_seconds: float) -> None:
        self._pool = pool
        self._renewal = renewal
        self._connect_seconds = connect_seconds
        self._idle: deque[Link] = deque()
        self.opens = True  # whether requests may be opened (open_request.py)
        self._streams: set[ResponseStream] = set()
        port = f":{pool.port}" if pool.port else ""
        host = f"[{pool.host}]" if ":" in pool.host else pool.host
        self._host = f"Host: {host}{port}\r\n"

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], read_seconds: float
    ) -> Response:
        """Send a request once. Raises OSError (or urllib3's HTTPError while connecting) if no answer came.

        ``read_seconds`` bounds each wait for bytes, as urllib3's read timeout does.
        """
        link, head = self._ask(method, path, body, headers, read_seconds)
        return self.read(link, method, head)

    def read(self, link: Link, method: str, head: Head, *, keep: bool = True) -> Response:
        """The answer after its head, whole. The connection is closed unless ``keep``. Raises OSError."""
        try:
            data = whole(pieces(link.sock, method, head))
        except BaseException:
            link.close()
            raise
        self.done(link, keep=keep and head.keep)
        return Response(head.status, head.headers, data, link)

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], read_seconds: float, *, paced: bool = False
    ) -> ResponseStream:
        """Like :meth:`request`, for an answer that the caller reads as it comes. The caller closes it.

        With ``paced``, it comes in larger parts while it is busy, up to PAUSE_SECONDS late."""
        link, head = self._ask(method, path, None, headers, read_seconds)
        stream = ResponseStream(self, link, method, head, paced=paced)
        self._streams.add(stream)
        return stream

    def done(self, link: Link, *, keep: bool) -> None:
        """Take back a connection whose request is over. It is closed unless ``keep``."""
        now = time.monotonic()
        if keep and not link.doomed and len(self._idle) < MOST_IDLE:
            link.used_at = now
            self._idle.append(link)
        else:
            link.close()
        with suppress(IndexError):  # another thread may take them meanwhile
            if now - self._idle[0].used_at > IDLE_SECONDS:
                self._idle.popleft().close()

    def ended(self, stream: ResponseStream) -> None:
        """Nobody reads that stream any more."""
        self._streams.discard(stream)

    def give_up(self, link: Link | None, verdict: Loss) -> None:
        """Stop using the connection on which a wrong server answered, and others as ``verdict`` says.

        Any thread."""
        if link is not None and verdict is not Loss.KEEP:
            link.doomed = True
        if verdict in (Loss.ALL, Loss.ALL_AT_ONCE):
            while self._idle:
                with suppress(IndexError):
                    self._idle.pop().close()
        if verdict is Loss.ALL_AT_ONCE:
            for stream in tuple(self._streams):
                with suppress(OSError, AttributeError):
                    stream.shutdown()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], read_seconds: float
    ) -> tuple[Link, Head]:
        data = self.packed(method, path, body, headers)
        link = self.take_idle() or self._connect()
        try:
            if link.sock.gettimeout() != read_seconds:  # each change is a system call
                link.sock.settimeout(read_seconds)
            link.sock.sendall(data)
            return link, read_head(link.sock)
        except BaseException:
            link.close()
            raise

    def packed(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """The bytes of a request."""
        lines = [f"{method} {path} HTTP/1.1\r\n", self._host]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(body or b'')}\r\n\r\n")
        return "".join(lines).encode("latin-1") + (body or b"")

    def usable(self, link: Link) -> bool:
        """Whether nothing is known that speaks against using the connection for a request."""
        return not link.doomed and link.opened_at >= self._renewal.stale_before

    def take_idle(self) -> Link | None:
        """An idle connection that may be used. ``None`` if there is none."""
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:
                break
            fresh = time.monotonic() - link.used_at < FRESH_SECONDS
            if self.usable(link) and (fresh or not readable(link.sock)):
                return link
            link.close()
        return None

    def _connect(self) -> Link:
        connection = self._pool._new_conn()
        connection.timeout = self._connect_seconds
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return Link(connection)


def readable(sock: Any) -> bool:
    """Whether there is something to read now. On an idle connection, that can only be its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
