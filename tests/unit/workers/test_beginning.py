"""How many tasks may wait for their create, of one event, one profile and in all."""

from __future__ import annotations

from ottoscaler.workers.beginning import ALL, EVENT, MORE, PROFILE, Beginning


def start(beginning: Beginning, event_id: str, profile: str, most: int) -> int:
    """Start tasks until no more may, or ``most`` have."""
    started = 0
    while started < most and not beginning.full and beginning.may_start(event_id, profile):
        beginning.start(event_id, profile)
        started += 1
    return started


def test_one_event_gets_its_places_and_a_few_more() -> None:
    assert start(Beginning(), "1-0", "default", 500) == EVENT + MORE


def test_events_of_one_profile_leave_room_to_others() -> None:
    beginning = Beginning()
    assert sum(start(beginning, f"{n}-0", "slow", 500) for n in range(10)) == PROFILE + MORE
    assert start(beginning, "99-0", "quick", 10) == 10


def test_everyone_together_is_bounded() -> None:
    beginning = Beginning()
    assert sum(start(beginning, f"{n}-0", f"profile-{n}", 500) for n in range(10)) == ALL + MORE


def test_dispatcher_is_woken_when_several_may_start_and_not_for_each() -> None:
    beginning = Beginning()
    start(beginning, "1-0", "default", 500)
    assert [beginning.end("1-0", "default") for _ in range(MORE)] == [False] * (MORE - 1) + [True]


def test_end_that_makes_room_for_another_event_wakes_the_dispatcher() -> None:
    beginning = Beginning()
    for n in range(10):
        start(beginning, f"{n}-0", f"profile-{n}", 500)
    assert any(beginning.end("0-0", "profile-0") for _ in range(MORE))
