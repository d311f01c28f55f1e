"""The API server's time is known when several of its answers agree, and no one of them can change it."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from ottoscaler.kube.server_clock import ServerClock

HOURS = 7200.0


class Answers:
    """A server whose clock shows ``ahead`` seconds more than 1,000,000 at our monotonic zero."""

    def __init__(self) -> None:
        self.monotonic = 500.0
        self.clock = ServerClock(lambda: self.monotonic)

    def answer(self, ahead: float = 0.0, *, seconds: float = 0.01, pause: float = 1.3) -> None:
        """One answer, ``pause`` after the one before; it took ``seconds``."""
        self.monotonic += pause
        asked_at = self.monotonic
        self.monotonic += seconds
        self.clock.note(formatdate(1_000_000 + self.monotonic + ahead, usegmt=True), asked_at)

    def error(self) -> float:
        """Seconds that the clock is off."""
        now = self.clock.now()
        assert now is not None
        return now - (1_000_000 + self.monotonic)


def test_one_answer_alone_is_not_believed() -> None:
    server = Answers()
    assert server.clock.now() is None
    server.answer()
    assert server.clock.now() is None
    server.answer(pause=0.0)
    assert -1.1 <= server.error() <= 0


def test_wrong_answer_among_the_first_delays_and_decides_nothing() -> None:
    server = Answers()
    server.answer(HOURS)
    server.answer()
    assert server.clock.now() is None
    server.answer()
    assert -1.1 <= server.error() <= 0


@pytest.mark.parametrize("ahead", [HOURS, -HOURS])
def test_single_wrong_answer_puts_the_time_in_doubt_until_the_next_one(ahead: float) -> None:
    server = Answers()
    server.answer()
    server.answer()
    server.answer(ahead)
    assert server.clock.now() is None
    server.answer()
    assert -1.1 <= server.error() <= 0


@pytest.mark.parametrize("ahead", [HOURS, -HOURS, 90.0])
def test_step_is_believed_after_three_answers_in_a_row(ahead: float) -> None:
    server = Answers()
    server.answer()
    server.answer()
    for _ in range(2):
        server.answer(ahead)
        assert server.clock.now() is None
    server.answer(ahead)
    assert ahead - 1.1 <= server.error() <= ahead


def test_stray_answer_before_a_step_does_not_keep_it_from_being_believed() -> None:
    server = Answers()
    server.answer()
    server.answer()
    server.answer(3 * HOURS)
    for _ in range(3):
        server.answer(HOURS)
    assert HOURS - 1.1 <= server.error() <= HOURS


def test_two_servers_with_different_clocks_never_count_as_a_step() -> None:
    server = Answers()
    server.answer()
    server.answer()
    for _ in range(20):
        server.answer(HOURS)
        server.answer(HOURS)
        server.answer()
        assert -1.1 <= server.error() <= 0


def test_answers_that_agree_with_nothing_are_never_believed() -> None:
    server = Answers()
    server.answer()
    server.answer()
    for wrong in range(1, 10):
        server.answer(wrong * HOURS)
        assert server.clock.now() is None


def test_slow_answers_and_drift_are_no_step() -> None:
    server = Answers()
    server.answer()
    server.answer()
    for turn in range(200):
        server.answer(turn * 0.01, seconds=40.0 if turn % 3 else 0.01)
        assert server.clock.now() is not None
    assert 0.5 <= server.error() <= 2.0


def test_time_is_never_early() -> None:
    server = Answers()
    server.answer()
    server.answer(seconds=12.0)
    assert -1.1 <= server.error() <= 0


@pytest.mark.parametrize("date", ["", "now", "Thu, 99 Foo 2026 00:00:00 GMT", "0"])
def test_answer_without_a_date_changes_nothing(date: str) -> None:
    server = Answers()
    server.clock.note(date, server.monotonic)
    assert server.clock.now() is None
    server.answer()
    server.answer()
    server.clock.note(date, server.monotonic)
    assert -1.1 <= server.error() <= 0
