"""Reads results for the client: waits for Redis during an outage, and raises every error as a ClientError."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ottoscaler.client.connection import Connection
from ottoscaler.client.entries import Result
from ottoscaler.client.errors import RedisFailed
from ottoscaler.client.streams import BLOCK_MS, Streams
from ottoscaler.errors import RedisError

AWAY_SECONDS = 1.0  # between two attempts while Redis is unavailable
LONGEST_AWAY_SECONDS = 300.0  # how long it goes on trying


def past(connection: Connection) -> Iterator[Result]:
    """The results that are there now, oldest first. Raises RedisFailed."""
    with connection.told():
        yield from Streams(connection.redis).past()


def follow(connection: Connection) -> Iterator[Result]:
    """The results that are there now, oldest first, and then those that come later; it never ends. Raises
    RedisFailed, in an outage after at most five minutes."""
    streams = Streams(connection.redis)
    with connection.told():
        yield from streams.past()
    connection.answered()
    away_since: float | None = None
    while True:
        try:
            found = streams.next(BLOCK_MS)
            away_since = None
        except RedisError as error:
            now = time.monotonic()
            away_since = now if away_since is None else away_since
            text = connection.outage(error)
            if now - away_since > LONGEST_AWAY_SECONDS:
                raise RedisFailed(text) from error
            time.sleep(AWAY_SECONDS)
            continue
        yield from found
