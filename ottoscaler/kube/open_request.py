"""A request that is sent but for its last byte, so that the API server has read it when that byte comes.

docs/adr/0013 says what it is for.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ottoscaler.kube.connections import Connections, Link, Response, readable
from ottoscaler.kube.http1 import MOST_HEAD, read_head

OPEN_SECONDS = 0.5  # it holds a place in the API server meanwhile
MOST_OPEN = 16 * 1024  # bytes of its body
_INTERIM = b"HTTP/1.1 1"  # how the server begins to say that it waits for the rest


def open_request(
    connections: Connections, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> OpenRequest | None:
    """Send a request but for its last byte, without waiting. Raises OSError.

    ``None`` if no connection is idle, the body has more than MOST_OPEN bytes, or the server does not know
    Expect. An idle connection's send buffer is empty and takes so many. One that does not raises."""
    link = connections.take_idle() if connections.opens and 0 < len(body) <= MOST_OPEN else None
    if link is None:
        return None
    # The interim answer to Expect acknowledges what has come. Without it, a proxy that has Nagle's
    # algorithm on would hold the last byte back for 40 ms.
    data = connections.packed(method, path, body, {**headers, "Expect": "100-continue"})
    try:
        link.sock.settimeout(0)
        link.sock.sendall(data[:-1])
    except BaseException:
        link.close()
        raise
    return OpenRequest(connections, link, method, data[-1:])


class OpenRequest:
    """A request that is whole with its last byte. The server does nothing with it before that byte.

    One thread at a time uses it. It must be completed and answered, or dropped."""

    completed_at = 0.0  # monotonic, when its last byte was sent

    def __init__(self, connections: Connections, link: Link, method: str, last: bytes) -> None:
        self._connections, self._link, self._method, self._last = connections, link, method, last
        self._sent_at = time.monotonic()
        self._came = b""  # what the server had sent before the last byte

    def complete(self) -> bool:
        """Send the last byte, without waiting. Then ``answer`` must follow.

        Where the server has refused the request already, the byte is not sent, and ``answer`` reads why.

        False if the request is not carried out: the server has closed the connection, or the rest was sent
        more than OPEN_SECONDS ago. Then the request is dropped."""
        link, now = self._link, time.monotonic()
        fresh = self._connections.usable(link) and now - self._sent_at <= OPEN_SECONDS
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
        response = self._connections.read(link, self._method, head, keep=not (self._refused or unexpected))
        if unexpected:
            self._connections.opens = False
            return None
        return response

    def drop(self) -> None:
        """Give it up: the server sees the connection end in the middle of the request."""
        self._link.close()


def _come(sock: Any) -> bytes | None:
    """What the server has sent by now on a socket that does not wait; ``None`` if that is its end."""
    if not readable(sock):
        return b""
    try:
        return sock.recv(MOST_HEAD) or None
    except (BlockingIOError, ssl.SSLWantReadError):  # a part of TLS's own, such as a session ticket
        return b""
    except OSError:
        return None
