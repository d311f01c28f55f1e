"""One HTTP/1.1 request and its answer, at a fraction of a general client's price. Only wire.py uses this.

urllib3 makes the connections (TLS, certificates, server names as the kubeconfig says); the bytes are written
and read here. In a burst of a thousand workers the general client took 0.48 ms of CPU a request, measured
with py-spy beside this module's 0.14 ms: the largest single cost of a worker (docs/adr/0005).
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Mapping
from typing import Any

MOST_ANSWER = 16 * 1024 * 1024  # bytes: an API server's objects are smaller; lists go another way
MOST_HEAD = 64 * 1024
_CHUNK = 65536


class Broken(OSError):
    """The connection ended in mid-answer, or what came is no HTTP."""


class Answer:
    """What came back. ``headers`` has lower-case names."""

    __slots__ = ("data", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


class Exchange:
    """Idle connections of one pool of urllib3's, and requests over them. Thread-safe.

    Never sends a request twice. A connection that the server closed while it was idle is not used.
    """

    def __init__(self, pool: Any, *, connect_seconds: float) -> None:
        self._pool = pool
        self._connect_seconds = connect_seconds
        self._idle: deque[Any] = deque()
        port = f":{pool.port}" if pool.port else ""
        host = f"[{pool.host}]" if ":" in pool.host else pool.host
        self._host = f"Host: {host}{port}\r\n"

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], read_seconds: float
    ) -> Answer:
        """Send it once. Raises OSError (or urllib3's HTTPError while connecting) where no answer came.

        ``read_seconds`` bounds each wait for bytes, as urllib3's read time-out does.
        """
        head = [f"{method} {path} HTTP/1.1\r\n", self._host]
        head += [f"{name}: {value}\r\n" for name, value in headers.items()]
        head.append(f"Content-Length: {len(body or b'')}\r\n\r\n")
        connection = self._take()
        try:
            connection.sock.settimeout(read_seconds)
            connection.sock.sendall("".join(head).encode("latin-1") + (body or b""))
            answer, keep = _read(connection.sock, method)
        except BaseException:
            connection.close()
            raise
        if keep:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _take(self) -> Any:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if not _readable(connection.sock):
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


def _read(sock: Any, method: str) -> tuple[Answer, bool]:
    rest = b""
    while True:
        while (end := rest.find(b"\r\n\r\n")) < 0:
            if len(rest) > MOST_HEAD:
                raise Broken("the answer's head has no end")
            rest += _more(sock)
        lines = rest[:end].decode("latin-1").split("\r\n")
        rest = rest[end + 4 :]
        status = _status(lines[0])
        if status >= 200:  # else it is only an interim answer
            break
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    wish = headers.get("connection", "").lower()
    keep = wish != "close" if lines[0].startswith("HTTP/1.1") else wish == "keep-alive"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, headers, _chunks(sock, rest)), keep
    if method == "HEAD" or status in (204, 304):
        return Answer(status, headers, b""), keep
    length = headers.get("content-length")
    if length is None:
        return Answer(status, headers, _to_the_end(sock, rest)), False
    return Answer(status, headers, _exactly(sock, rest, _number(length, 10))), keep


def _status(line: str) -> int:
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1."):
        raise Broken("the answer is no HTTP/1.1")
    return _number(words[1], 10)


def _number(text: str | bytes, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise Broken("the answer has no number where one belongs") from None
    if not 0 <= number <= MOST_ANSWER:
        raise Broken("the answer is too large")
    return number


def _more(sock: Any) -> bytes:
    chunk: bytes = sock.recv(_CHUNK)
    if not chunk:
        raise Broken("the connection was closed before the answer's end")
    return chunk


def _exactly(sock: Any, rest: bytes, length: int) -> bytes:
    parts, have = [rest], len(rest)
    while have < length:
        parts.append(_more(sock))
        have += len(parts[-1])
    if have > length:
        raise Broken("the answer is longer than it says")
    return b"".join(parts)


def _chunks(sock: Any, rest: bytes) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        while (end := rest.find(b"\r\n")) < 0:
            rest += _more(sock)
        length = _number(rest[:end].split(b";")[0].strip(), 16)
        size += length
        if size > MOST_ANSWER:
            raise Broken("the answer is too large")
        rest = rest[end + 2 :]
        while len(rest) < length + 2:
            rest += _more(sock)  # bounded: what may be large goes another way
        if rest[length : length + 2] != b"\r\n":
            raise Broken("a chunk of the answer has no end")
        if not length:  # no trailers: nobody announces any to us
            return b"".join(parts)
        parts.append(rest[:length])
        rest = rest[length + 2 :]


def _to_the_end(sock: Any, rest: bytes) -> bytes:
    parts, size = [rest], len(rest)
    while chunk := sock.recv(_CHUNK):
        size += len(chunk)
        if size > MOST_ANSWER:
            raise Broken("the answer is too large")
        parts.append(chunk)
    return b"".join(parts)
