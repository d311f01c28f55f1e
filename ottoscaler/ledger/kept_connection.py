"""The connection that carries the shared round trips. It is kept from one round trip to the next."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis

from ottoscaler.ledger.pipelining import Call
from ottoscaler.ledger.redis_endpoint import Endpoint

FRESH_SECONDS = 0.5  # a connection used within this time is not checked for having been closed by the server


class KeptConnection:
    """Makes the round trips of :class:`~ottoscaler.ledger.pipelining.RoundTrips`, one thread at a time.

    ``pool`` is redis-py's."""

    def __init__(self, pool: Any, endpoint: Endpoint) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._connection: Any = None
        self._process = os.getpid()
        self._used_at = 0.0  # monotonic

    def exchange(self, calls: Sequence[Call]) -> None:
        """Make one round trip. Raises redis-py's errors and OSErrors if not all answers came.

        Then the connection is closed: an answer that comes later must not be taken for another command's."""
        connection = self._usable()
        try:
            connection.send_packed_command([b"".join([call.data for call in calls])])
            if calls[0].meanwhile is not None:
                calls[0].meanwhile()
            for call in calls:
                answers = [_answer(connection) for _ in range(call.commands or 1)]
                if call.commands is not None:
                    call.answer = answers
                elif isinstance(answers[0], redis.ResponseError):
                    call.error = answers[0]
                else:
                    call.answer = answers[0]
        except BaseException:
            connection.disconnect()
            self.give_back()
            raise
        self._used_at = time.monotonic()

    def _usable(self) -> Any:
        """The kept connection. If the server has closed it in a pause, or after a failover, the pool makes it
        anew.

        The pool's own check of a connection takes 0.2 ms after a pause, most of it for redis-py's metrics."""
        if self._process != os.getpid():  # a fork: the answers on its parent's connection are not its own
            self._process, self._connection = os.getpid(), None
        kept = self._connection
        if kept is not None and kept.generation == self._endpoint.generation:
            if time.monotonic() - self._used_at <= FRESH_SECONDS:
                return kept
            with suppress(redis.RedisError, OSError):
                if not kept.can_read():  # what it could read is its end
                    return kept
        self.give_back()
        self._connection = self._pool.get_connection()
        return self._connection

    def give_back(self) -> None:
        """Give the connection back to the pool. No round trip may be under way."""
        kept, self._connection = self._connection, None
        if kept is not None:
            self._pool.release(kept)


def _answer(connection: Any) -> Any:
    """The next answer, or the refusal that Redis answered with."""
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
