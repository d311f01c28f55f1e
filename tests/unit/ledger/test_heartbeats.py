"""Which replicas are called silent, as seen over time by somebody whose own machine may stand still."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from ottoscaler.ledger import heartbeats
from ottoscaler.ledger.heartbeats import Heartbeats
from ottoscaler.ledger.redis_client import RedisClient


class Watched:
    """Redis, and a clock that goes on only while somebody sleeps, or by ``reads``: what each read takes."""

    prefix = "p:"

    def __init__(self, beat: Callable[[float], int], reads: list[float]) -> None:
        self.now = 100.0
        self._beat = beat
        self._reads = reads

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def command_or(self, default: Any, *words: str) -> list[bytes]:
        return [b"a"]

    def pipeline(self, commands: list[Any]) -> list[Any]:
        self.now += self._reads.pop(0) if self._reads else 0.0
        return [[b"inc", str(self._beat(self.now)).encode(), json.dumps({"lease_seconds": 6}).encode()]]


def state(monkeypatch: pytest.MonkeyPatch, beat: Callable[[float], int], *reads: float) -> str:
    watched = Watched(beat, list(reads))
    monkeypatch.setattr(heartbeats, "time", watched)
    (replica,) = Heartbeats(cast(RedisClient, watched)).look()
    return str(replica["state"])


def test_replica_whose_heartbeat_moves_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state(monkeypatch, int) == "alive"


def test_replica_whose_heartbeat_stands_still_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state(monkeypatch, lambda _: 7) == "silent"


def test_time_in_which_the_reader_stood_still_counts_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moves_later = iter([7, 7, 7, 8])
    assert state(monkeypatch, lambda _: next(moves_later), 0.0, 20.0) == "alive"
    assert state(monkeypatch, lambda _: 7, 0.0, 20.0) == "silent"


def test_redis_that_is_slow_at_each_read_does_not_make_a_look_endless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert state(monkeypatch, lambda _: 7, *[2.0] * 100) == "silent"
