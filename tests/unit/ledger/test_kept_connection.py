"""The kept connection after an error: what comes late on it is no later command's answer."""

from __future__ import annotations

from collections import deque

import pytest
import redis

from ottoscaler.ledger.kept_connection import KeptConnection
from ottoscaler.ledger.pipelining import Call
from ottoscaler.ledger.redis_endpoint import Endpoint


class SlowRedis:
    """A connection on which the first answer is not there in time, and the pool that has only this one."""

    generation = 1

    def __init__(self) -> None:
        self.answers: deque[bytes] = deque()
        self.late = True

    def get_connection(self) -> SlowRedis:
        return self

    def release(self, _connection: SlowRedis) -> None:
        """It may be used again."""

    def send_packed_command(self, packed: list[bytes]) -> None:
        self.answers.extend(packed)

    def read_response(self) -> bytes:
        if self.late:
            self.late = False
            raise redis.TimeoutError("no answer in time")
        return self.answers.popleft()

    def disconnect(self) -> None:
        self.answers.clear()


def test_answer_that_came_too_late_is_not_taken_for_the_next_commands() -> None:
    kept = KeptConnection(SlowRedis(), Endpoint())
    with pytest.raises(redis.TimeoutError):
        kept.exchange([Call(b"first")])
    second = Call(b"second")
    kept.exchange([second])
    assert second.answer == b"second"
