"""HTTP/1.1 requests and their answers, with less CPU than urllib3 needs. Only transport.py uses this.

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
from http import HTTPStatus
from typing import Any

from ottoscaler.kube.http1 import MOST_HEAD, Head, pieces, read_head, whole
from ottoscaler.kube.paced_reads import PacedReads
from ottoscaler.kube.renewal import Loss, Renewal

# Idle connections kept. With 32, small events opened one for every sixth worker, each 1 to 1.5 ms of CPU with
# TLS (docs/performance.md).
MOST_IDLE = 96  # of 100 KiB each with TLS. Calls that hang may open some 150
IDLE_SECONDS = 60.0  # then the one that has been idle for longest is closed, one with each answer
# Of a request that is sent but for its last byte: it holds a place in the API server meanwhile.
OPEN_SECONDS = 0.5
MOST_OPEN = 16 * 1024  # bytes of its body
_INTERIM = b"HTTP/1.1 1"  # how the server begins to say that it waits for the rest
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


class OpenRequest:
    """A request whose bytes were all sent but for the last. The server does nothing with it before that byte.

    One thread at a time uses it. It must be completed and answered, or dropped."""

    completed_at = 0.0  # monotonic, when its last byte was sent

    def __init__(self, owner: Connections, link: Link, method: str, last: bytes) -> None:
        self._owner, self._link, self._method, self._last = owner, link, method, last
        self._sent_at = time.monotonic()
        self._came = b""  # what the server had sent before the last byte

    def complete(self) -> bool:
        """Send the last byte, without waiting. Then ``answer`` must follow.

        Where the server has refused the request already, the byte is not sent, and ``answer`` reads why.

        False if the request is not carried out: the server has closed the connection, or the rest was sent
        more than OPEN_SECONDS ago. Then the request is dropped."""
        link, now = self._link, time.monotonic()
        fresh = self._owner.usable(link) and now - self._sent_at <= OPEN_SECONDS
        came = _come(link.sock) if fresh else None
        if came is None:
            self.drop()
            return False
        self._came, self.completed_at = came, now
        if not self._refused:
            try:
                link.sock.sendall(self._last)
            except OSError:  # the socket does not wait: it has taken all of the byte or nothing
                self.drop()
                return False
        return True

    @property
    def _refused(self) -> bool:
        return not _INTERIM.startswith(self._came[: len(_INTERIM)])

    def answer(self, read_seconds: float) -> Response | None:
        """Read the answer. Raises what ``Connections.request`` raises.

        ``None`` if the request was not carried out, as the server does not know Expect. No other is opened
        then."""
        link = self._link
        try:
            link.sock.settimeout(read_seconds)
            head = read_head(link.sock, self._came)
        except BaseException:
            self.drop()
            raise
        unexpected = head.status == HTTPStatus.EXPECTATION_FAILED  # of a proxy that does not know Expect
        response = self._owner.read(link, self._method, head, keep=not (self._refused or unexpected))
        if unexpected:
            self._owner.opens = False
            return None
        return response

    def drop(self) -> None:
        """Give it up: the server sees the connection end in the middle of the request."""
        self._link.close()


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
        self.opens = True  # whether requests may be opened
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

    def open(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> OpenRequest | None:
        """Send a request but for its last byte, without waiting. Raises OSError.

        ``None`` if no connection is idle, the body has more than MOST_OPEN bytes, or the server does not know
        Expect. An idle connection's send buffer is empty and takes so many. One that does not raises."""
        link = self._take_idle() if self.opens and 0 < len(body) <= MOST_OPEN else None
        if link is None:
            return None
        # The interim answer to Expect acknowledges what has come. Without it, a proxy that has Nagle's
        # algorithm on would hold the last byte back for 40 ms.
        data = self._packed(method, path, body, {**headers, "Expect": "100-continue"})
        try:
            link.sock.settimeout(0)
            link.sock.sendall(data[:-1])
        except BaseException:
            link.close()
            raise
        return OpenRequest(self, link, method, data[-1:])

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
        data = self._packed(method, path, body, headers)
        link = self._take_idle() or self._connect()
        try:
            if link.sock.gettimeout() != read_seconds:  # each change is a system call
                link.sock.settimeout(read_seconds)
            link.sock.sendall(data)
            return link, read_head(link.sock)
        except BaseException:
            link.close()
            raise

    def _packed(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {path} HTTP/1.1\r\n", self._host]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(body or b'')}\r\n\r\n")
        return "".join(lines).encode("latin-1") + (body or b"")

    def usable(self, link: Link) -> bool:
        """Whether nothing is known that speaks against using the connection for a request."""
        return not link.doomed and link.opened_at >= self._renewal.stale_before

    def _take_idle(self) -> Link | None:
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:
                break
            fresh = time.monotonic() - link.used_at < FRESH_SECONDS
            if self.usable(link) and (fresh or not _readable(link.sock)):
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


def _readable(sock: Any) -> bool:
    """Whether an idle connection has something to read. That can only be its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _come(sock: Any) -> bytes | None:
    """What the server has sent by now on a socket that does not wait; ``None`` if that is its end."""
    if not _readable(sock):
        return b""
    try:
        return sock.recv(MOST_HEAD) or None
    except (BlockingIOError, ssl.SSLWantReadError):  # a part of TLS's own, such as a session ticket
        return b""
    except OSError:
        return None
