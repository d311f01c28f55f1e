"""Which replicas are called silent, as seen over time by somebody whose own machine may stand still."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import pytest

from ottoscaler.ledger import heartbeats
from ottoscaler.ledger.heartbeats import (
    BEATS_MISSED,
    LONGEST_LOOK_SECONDS,
    LOOK_SECONDS,
    MOST_GAPS,
    Heartbeats,
)
from ottoscaler.ledger.redis_client import RedisClient

BEGIN = 100.0


class Watched:
    """Redis, and a clock that goes on only while somebody sleeps, or by ``reads``: what each read takes."""

    prefix = "p:"

    def __init__(self, beat: Callable[[float], int], reads: list[float], *, renamed: bool = False) -> None:
        self.now = BEGIN
        self._beat = beat
        self._reads = reads
        self._renamed = renamed  # at each read

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def command_or(self, default: Any, *words: str) -> list[bytes]:
        return [str(self.now).encode()] if self._renamed else [b"a"]

    def pipeline(self, commands: list[Any]) -> list[Any]:
        self.now += self._reads.pop(0) if self._reads else 0.0
        return [[b"inc", str(self._beat(self.now)).encode(), json.dumps({"lease_seconds": 6}).encode()]]


def look(monkeypatch: pytest.MonkeyPatch, watched: Watched) -> str:
    monkeypatch.setattr(heartbeats, "time", watched)
    (replica,) = Heartbeats(cast(RedisClient, watched)).look()
    return str(replica["state"])


def state(monkeypatch: pytest.MonkeyPatch, beat: Callable[[float], int], *reads: float) -> str:
    return look(monkeypatch, Watched(beat, list(reads)))


def test_replica_whose_heartbeat_moves_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state(monkeypatch, int) == "alive"


def test_replica_whose_heartbeat_stands_still_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(lambda _: 7, [])
    assert look(monkeypatch, watched) == "silent"
    assert watched.now - BEGIN < BEATS_MISSED + 2 * LOOK_SECONDS, "no longer than it takes to be overdue"


def test_time_in_which_the_reader_stood_still_counts_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moves_later = iter([7, 7, 7, 8])
    assert state(monkeypatch, lambda _: next(moves_later), 0.0, 20.0) == "alive"
    assert state(monkeypatch, lambda _: 7, 0.0, 20.0) == "silent"


def test_redis_that_is_slow_at_each_read_does_not_make_a_look_endless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for first, told in ((0.0, "alive"), (20.0, "silent")):  # with or without a gap too many
        beats = iter([7] * (MOST_GAPS + 1) + [8])
        gaps = [20.0] * MOST_GAPS
        assert state(monkeypatch, partial(_next, beats), first, *gaps) == told


def _next(beats: Iterator[int], _now: float) -> int:
    return next(beats)


def test_look_ends_where_other_replicas_come_and_go_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(lambda _: 7, [], renamed=True)
    assert look(monkeypatch, watched) == "alive", "it was seen only once"
    assert watched.now - BEGIN < LONGEST_LOOK_SECONDS + 2 * LOOK_SECONDS
