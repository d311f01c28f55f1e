"""What wakes the listener while the replica has its hands full."""

from __future__ import annotations

import time
from threading import Timer

import pytest

from ottoscaler.workers.in_hand import InHand

LONG = 20.0  # seconds: whoever is not woken sleeps for this long


def hand_with(*events: str) -> InHand:
    hand = InHand(3, 1)
    for event_id in events:
        hand.enter(event_id)
    return hand


def test_room_for_several_events_is_there_once_so_many_have_left() -> None:
    hand = hand_with("1-0", "2-0")
    assert hand.wait_for_room(0.0)
    assert not hand.wait_for_room(0.0, 2)
    hand.leave("1-0")
    assert hand.wait_for_room(0.0, 2)


@pytest.mark.parametrize("least", [1, 2])
def test_event_that_leaves_wakes_whoever_waits_for_room(least: int) -> None:
    hand = hand_with("1-0", "2-0", "3-0")
    for event_id in ("1-0", "2-0")[:least]:
        Timer(0.1, hand.leave, (event_id,)).start()
    began = time.monotonic()
    assert hand.wait_for_room(LONG, least)
    assert time.monotonic() - began < LONG / 2


def test_event_whose_retries_are_over_wakes_whoever_waits_for_room() -> None:
    hand = hand_with("1-0")
    hand.wait("1-0")
    assert hand.room() == 0
    Timer(0.1, hand.go_on, ("1-0",)).start()
    began = time.monotonic()
    assert hand.wait_for_room(LONG)
    assert time.monotonic() - began < LONG / 2


def test_event_that_leaves_wakes_whoever_waits_for_fewer() -> None:
    hand = hand_with("1-0", "2-0")
    Timer(0.1, hand.leave, ("1-0",)).start()
    began = time.monotonic()
    hand.wait_for_fewer(2, LONG)
    assert hand.count() == 1
    assert time.monotonic() - began < LONG / 2


def test_whoever_waits_for_fewer_goes_on_at_once_where_fewer_are_there() -> None:
    began = time.monotonic()
    hand_with("1-0").wait_for_fewer(2, LONG)
    assert time.monotonic() - began < LONG / 2
