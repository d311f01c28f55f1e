"""Whose turn it is: fair to big events, to newcomers and to retries. Pure, with a play of many starts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ottoscaler.workers import turns
from ottoscaler.workers.turns import RETRY_WAITS_TURNS


@dataclass
class Event:
    name: str
    turn: int = 0
    priority: int = 0
    strikes: int = 0
    suspect: bool = False
    retry_due: int | None = None
    fresh: int = 1
    retries: int = 0


def next_of(events: list[Event], turn: int, *, went_ahead: bool) -> Event | None:
    return cast(Any, turns).next_of(events, turn, went_ahead=went_ahead)  # type: ignore[no-any-return]


class Play:
    """Starts one worker after the other, as the registry does."""

    def __init__(self) -> None:
        self.turn = 0
        self.went_ahead = False
        self.waiting: list[Event] = []
        self.order: list[str] = []

    def arrive(self, name: str, **facts: int) -> Event:
        self.turn += 1
        event = Event(name, turn=self.turn, **facts)  # type: ignore[arg-type]
        self.waiting.append(event)
        return event

    def start(self) -> str:
        event = next_of(self.waiting, self.turn + 1, went_ahead=self.went_ahead)
        assert event is not None
        self.turn += 1
        due = event.retry_due
        self.went_ahead = due is not None and self.turn - due > RETRY_WAITS_TURNS
        event.turn = self.turn
        if event.retries:
            event.retries -= 1
            event.retry_due = due if event.retries else None
            self.order.append(f"{event.name} again")
        else:
            event.fresh -= 1
            self.order.append(event.name)
        if not event.fresh and not event.retries:
            self.waiting.remove(event)
        return self.order[-1]

    def flood(self, hands: int, until: Callable[[], bool]) -> None:
        """Newcomers of one worker each, so many in hand at one time beside what waits, until that."""
        number = 0
        while not until():
            while sum(1 for event in self.waiting if event.fresh) < hands:
                self.arrive(f"new-{number}")
                number += 1
            self.start()


def test_retry_that_has_just_become_due_waits_for_its_events_turn() -> None:
    newcomer, again = Event("newcomer", turn=5), Event("again", turn=6, retry_due=6, retries=1)
    for waited, chosen in ((1, newcomer), (RETRY_WAITS_TURNS, newcomer), (RETRY_WAITS_TURNS + 1, again)):
        assert next_of([newcomer, again], 6 + waited, went_ahead=False) is chosen


def test_nobody_is_next_where_nobody_waits() -> None:
    assert next_of([], 1, went_ahead=False) is None


def test_events_take_turns_whatever_their_size() -> None:
    play = Play()
    play.arrive("big", fresh=500)
    play.arrive("small", fresh=2)
    assert [play.start() for _ in range(4)] == ["big", "small", "big", "small"]


def test_higher_priority_goes_first() -> None:
    play = Play()
    play.arrive("first")
    play.arrive("urgent", priority=7, fresh=2)
    assert [play.start() for _ in range(3)] == ["urgent", "urgent", "first"]


def test_newcomer_queues_behind_the_present_round() -> None:
    play = Play()
    play.arrive("a", fresh=3)
    play.arrive("b", fresh=3)
    assert play.start() == "a"
    play.arrive("newcomer")
    assert [play.start() for _ in range(3)] == ["b", "a", "newcomer"]


def test_last_of_40_workers_starts_before_the_60th_newcomer_with_two_hands() -> None:
    play = Play()
    big = play.arrive("big", fresh=40)
    play.flood(2, lambda: big.fresh == 0)
    assert sum(name.startswith("new-") for name in play.order) < 60


def test_at_most_20_newcomers_start_between_two_workers_of_a_big_event() -> None:
    play = Play()
    big = play.arrive("big", fresh=40)
    play.flood(16, lambda: big.fresh == 0)
    places = [at for at, name in enumerate(play.order) if name == "big"]
    assert len(places) == 40
    assert max(b - a - 1 for a, b in itertools.pairwise(places)) <= 20


def test_due_retry_starts_before_60_newcomers_that_came_after_it() -> None:
    play = Play()
    for number in range(10):
        play.arrive(f"first-{number}", fresh=5)
    event = play.arrive("failed", fresh=0, retries=1)
    event.retry_due = play.turn
    play.flood(16, lambda: event.retries == 0)
    assert sum(name.startswith("new-") for name in play.order) < 60


def test_due_retry_comes_before_its_events_other_workers() -> None:
    play = Play()
    event = play.arrive("a", fresh=3, retries=1)
    event.retry_due = play.turn
    assert [play.start() for _ in range(2)] == ["a again", "a"]


def test_many_due_retries_of_one_event_start_before_60_newcomers_too() -> None:
    """One turn a round would be one start in sixteen."""
    play = Play()
    event = play.arrive("failed", fresh=0, retries=10)
    event.retry_due = play.turn
    play.flood(16, lambda: event.retries == 0)
    assert sum(name.startswith("new-") for name in play.order) < 60


def test_retries_ahead_of_their_turn_leave_every_second_start_to_the_others() -> None:
    late = Event("late", turn=9, retry_due=1, retries=50)
    other = Event("other", turn=5)
    now = 1 + RETRY_WAITS_TURNS + 1
    assert next_of([late, other], now, went_ahead=False) is late
    assert next_of([late, other], now, went_ahead=True) is other


def test_retry_ahead_of_its_turn_does_not_pass_a_higher_priority() -> None:
    late = Event("late", retry_due=1, retries=1)
    urgent = Event("urgent", turn=50, priority=1)
    assert next_of([late, urgent], 100, went_ahead=False) is urgent


def test_suspects_take_the_blame_in_turn() -> None:
    worse = Event("worse", turn=1, strikes=3, suspect=True)
    lesser = Event("lesser", turn=2, strikes=2, suspect=True)
    innocent = Event("innocent", turn=3)
    assert next_of([worse, lesser, innocent], 4, went_ahead=False) is lesser
    assert next_of([innocent], 4, went_ahead=False) is innocent
