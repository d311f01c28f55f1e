"""A busy watch is read in larger parts, and a quiet one at once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from ottoscaler.kube.gathering import BUSY_READS, Gathering

SECONDS = 0.02


class Watch:
    """A connection whose far end, clock and sleep the test controls."""

    def __init__(self) -> None:
        near, self.far = socket.socketpair()
        near.settimeout(30.0)
        self.near = near
        self.now = 0.0
        self.slept: list[float] = []
        self.meanwhile: Callable[[], object] = lambda: None  # happens during a sleep
        self.gathering = Gathering(self, sleep=self._sleep, clock=lambda: self.now)
        self.gathering.seconds = SECONDS
        self.delay = 0.0  # how long the next bytes let wait

    def fileno(self) -> int:
        return self.near.fileno()

    def recv(self, most: int) -> bytes:
        self.now += self.delay
        return self.near.recv(most)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.meanwhile()

    def read(self) -> bytes:
        return self.gathering.recv(65536)


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.near.close()
    made.far.close()


def make_busy(watch: Watch) -> None:
    for _ in range(BUSY_READS):
        watch.far.sendall(b"event")
        assert watch.read() == b"event"
    assert watch.slept == []  # a few events are read at once, however close they are


def test_what_keeps_coming_is_read_together(watch: Watch) -> None:
    make_busy(watch)
    watch.meanwhile = lambda: [watch.far.send(event) for event in (b"bound ", b"running ")]
    assert watch.read() == b"bound running "
    assert watch.slept == [SECONDS]


def test_what_has_come_already_is_read_at_once(watch: Watch) -> None:
    """Otherwise a watch that brings more than one read can hold would fall behind."""
    make_busy(watch)
    watch.far.sendall(b"x" * 10)
    assert [watch.gathering.recv(4) for _ in range(3)] == [b"xxxx", b"xxxx", b"xx"]
    assert watch.slept == []


def test_watch_that_became_quiet_is_read_at_once(watch: Watch) -> None:
    make_busy(watch)
    watch.far.sendall(b"last")
    watch.delay = SECONDS
    assert watch.read() == b"last"
    watch.far.sendall(b"later")
    assert watch.read() == b"later"
    assert watch.slept == []


def test_answer_that_is_not_a_watch_is_never_late(watch: Watch) -> None:
    watch.gathering.seconds = 0.0
    make_busy(watch)
    watch.far.sendall(b"line")
    assert watch.read() == b"line"
    assert watch.slept == []
