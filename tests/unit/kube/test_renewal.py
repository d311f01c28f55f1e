"""Wrong answers cost connections, with back-off."""

from __future__ import annotations

from itertools import pairwise

from ottoscaler.kube.renewal import (
    FIRST_PAUSE_SECONDS,
    FORGET_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Loss,
    Renewal,
)
from tests.harness.clock import Clock


def test_first_wrong_answer_costs_its_connection_and_the_second_in_a_row_all() -> None:
    clock = Clock()
    renewal = Renewal(clock)
    assert renewal.wrong(900.0) is Loss.ONE
    assert renewal.stale_before == 0.0
    assert renewal.wrong(900.0) is Loss.ALL_AT_ONCE
    assert renewal.stale_before == clock.now


def test_good_answer_between_two_wrong_ones_spares_the_others() -> None:
    renewal = Renewal(Clock())
    for _ in range(5):
        assert renewal.wrong(900.0) is Loss.ONE
        renewal.well()


def test_new_connections_that_are_no_better_are_kept_for_longer_and_longer() -> None:
    clock = Clock()
    renewal = Renewal(clock)
    renewal.wrong(0.0)
    all_at = []
    for _ in range(3000):  # a wrong answer each 10 ms, always on a connection as young as may be
        if renewal.wrong(renewal.stale_before) in (Loss.ALL, Loss.ALL_AT_ONCE):
            all_at.append(clock.now)
        clock.now += 0.01
    pauses = [round(b - a, 1) for a, b in pairwise(all_at)]
    assert pauses[0] == FIRST_PAUSE_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_watches_are_cut_once_in_an_incident() -> None:
    clock = Clock()
    renewal = Renewal(clock)
    verdicts = []
    for _ in range(100):
        verdicts.append(renewal.wrong(0.0))
        clock.now += 1.0
    assert verdicts.count(Loss.ALL_AT_ONCE) == 1
    assert verdicts.count(Loss.ALL) > 10


def test_incident_is_forgotten_after_a_while() -> None:
    clock = Clock()
    renewal = Renewal(clock)
    renewal.wrong(0.0), renewal.wrong(0.0)
    clock.now += FORGET_SECONDS + 1
    assert renewal.wrong(0.0) is Loss.ONE
    assert renewal.wrong(0.0) is Loss.ALL_AT_ONCE


def test_young_connection_is_kept_as_another_would_be_no_better() -> None:
    clock = Clock()
    assert Renewal(clock).wrong(clock.now - FIRST_PAUSE_SECONDS / 2) is Loss.KEEP
