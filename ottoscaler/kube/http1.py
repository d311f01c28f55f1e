"""Reads an HTTP/1.1 answer from a socket.

Every length that the server announces has a bound. Whatever is not HTTP raises Broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST_ANSWER = 16 * 1024 * 1024  # bytes; an API server's objects are smaller. Lists are read by list_page.py
MOST_HEAD = 64 * 1024
_PIECE = 65536


class Broken(OSError):
    """The connection ended in the middle of an answer, or what came is not HTTP."""


class Head:
    """Status and headers (lower-case names) of an answer.

    ``rest`` is the part of its body that has come already. ``keep``: the server keeps the connection open."""

    __slots__ = ("headers", "keep", "rest", "status")

    def __init__(self, status: int, headers: dict[str, str], keep: bool, rest: bytes) -> None:
        self.status, self.headers, self.keep, self.rest = status, headers, keep, rest


def read_head(sock: Any, rest: bytes = b"") -> Head:
    """The head of the next answer; interim answers (1xx) are skipped. ``rest``: its bytes that came already.

    Raises Broken and other OSErrors."""
    while True:
        while (end := rest.find(b"\r\n\r\n")) < 0:
            if len(rest) > MOST_HEAD:
                raise Broken("the answer's head has no end")
            rest += _more(sock)
        lines = rest[:end].decode("latin-1").split("\r\n")
        rest = rest[end + 4 :]
        status = _status(lines[0])
        if status >= 200:
            break
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    wishes = {wish.strip() for wish in headers.get("connection", "").lower().split(",")}
    keep = "close" not in wishes if lines[0].startswith("HTTP/1.1") else "keep-alive" in wishes
    return Head(status, headers, keep, rest)


def pieces(sock: Any, method: str, head: Head) -> Iterator[bytes]:
    """The body, as it comes. Clears ``head.keep`` if only the end of the connection marks the body's end."""
    if method == "HEAD" or head.status in (204, 304):
        return iter(())
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(sock, head.rest)
    length = head.headers.get("content-length")
    if length is None:
        head.keep = False
        return _to_the_end(sock, head.rest)
    return _exactly(sock, head.rest, _number(length, 10))


def whole(parts: Iterator[bytes]) -> bytes:
    """The whole body. Raises Broken if it has more than MOST_ANSWER bytes."""
    found, size = [], 0
    for part in parts:
        size += len(part)
        if size > MOST_ANSWER:
            raise Broken("the answer is too large")
        found.append(part)
    return found[0] if len(found) == 1 else b"".join(found)


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
    piece: bytes = sock.recv(_PIECE)
    if not piece:
        raise Broken("the connection was closed before the answer's end")
    return piece


def _exactly(sock: Any, rest: bytes, length: int) -> Iterator[bytes]:
    while True:
        length -= len(rest)
        if length < 0:
            raise Broken("the answer is longer than it says")
        if rest:
            yield rest
        if not length:
            return
        rest = _more(sock)


def _chunks(sock: Any, rest: bytes) -> Iterator[bytes]:
    while True:
        while (end := rest.find(b"\r\n")) < 0:
            if len(rest) > MOST_HEAD:
                raise Broken("a chunk's length has no end")
            rest += _more(sock)
        begin = end + 2
        length = _number(rest[:end].split(b";")[0].strip(), 16)
        if not length:
            _pass_trailers(sock, rest[end:])
            return
        if len(rest) < begin + length + 2:
            parts, have = [rest], len(rest)
            while have < begin + length + 2:
                parts.append(_more(sock))
                have += len(parts[-1])
            rest = b"".join(parts)
        if rest[begin + length : begin + length + 2] != b"\r\n":
            raise Broken("a chunk of the answer has no end")
        yield rest[begin : begin + length]
        rest = rest[begin + length + 2 :]


def _pass_trailers(sock: Any, rest: bytes) -> None:
    """Read past what follows the last chunk: fields that a proxy may add, and an empty line."""
    while (end := rest.find(b"\r\n\r\n")) < 0:
        if len(rest) > MOST_HEAD:
            raise Broken("the answer's trailers have no end")
        rest += _more(sock)
    if len(rest) > end + 4:
        raise Broken("the answer is longer than it says")


def _to_the_end(sock: Any, rest: bytes) -> Iterator[bytes]:
    if rest:
        yield rest
    while piece := sock.recv(_PIECE):
        yield piece
