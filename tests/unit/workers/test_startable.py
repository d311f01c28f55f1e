"""The events with a worker to start: whichever is next of all of them is found without a look at all."""

from __future__ import annotations

import random

import pytest

from ottoscaler.ledger.records import Record
from ottoscaler.model import ScaleUp
from ottoscaler.workers.beginning import Beginning
from ottoscaler.workers.lane import SLACK
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.startable import Startable
from ottoscaler.workers.turns import RETRY_WAITS_TURNS, next_of
from tests.harness.pod_makers import unplanned_run


def event_run(
    event_id: str, *, count: int = 1, priority: int = 0, profile: str = "a", strikes: int = 0
) -> EventRun:
    event = ScaleUp(event_id, event_id, count, priority=priority, profile=profile)
    return unplanned_run(event, Record(event_id, 1, strikes, b"[]"))


class Play:
    """Events come, start workers, retry, progress and go, at random; and what a look at all of them says."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.startable, self.beginning = Startable(), Beginning()
        self.runs: list[EventRun] = []
        self.begun: list[Task] = []
        self.now = 0.0

    def arrive(self) -> None:
        dice, number = self.dice, len(self.runs)
        run = event_run(
            f"{number + 1}-0",
            count=dice.choice((1, 1, 3, 60)),
            priority=dice.choice((0, 0, 0, 1, -1)),
            profile=dice.choice("abc"),
            strikes=dice.choice((0,) * 12 + (2, 3)),
        )
        self.runs.append(run)
        self.startable.enter(run)
        self.startable.file(run)

    def start(self) -> None:
        if self.beginning.full:
            return
        expected = self.by_looking_at_all()
        task = self.startable.next(self.beginning, self.now)
        assert (task.run.event.event_id if task is not None else None) == expected
        if task is not None:
            self.startable.file(task.run)
            task.run.active.add(task.index)
            self.beginning.start(task, self.now)
            self.begun.append(task)

    def by_looking_at_all(self) -> str | None:
        startable, beginning = self.startable, self.beginning
        if beginning.suspect_lately(self.now):
            return None
        may = [
            run
            for run in startable.runs()
            if beginning.may_start(run.event.event_id, run.event.profile) and not (run.suspect and run.active)
        ]
        run = next_of(may, startable._turn + 1, went_ahead=startable._went_ahead)
        lately = run is not None and run.suspect and beginning.any_lately(self.now)
        return None if run is None or lately else run.event.event_id

    def get_under_way(self) -> None:
        if self.begun:
            task = self.begun.pop(self.dice.randrange(len(self.begun)))
            self.beginning.end(task)
            task.run.active.discard(task.index)
            task.run.progressed = task.run.progressed or self.dice.random() < 0.5
            if self.dice.random() < 0.3:
                self.startable.due(Task(task.run, task.index, task.attempt + 1))
            elif self.dice.random() < 0.1:
                self.startable.put_back(task)
                self.startable.file(task.run)

    def drop(self) -> None:
        if self.runs:
            self.startable.forget(self.dice.choice(self.runs).event.event_id)


@pytest.mark.parametrize("seed", range(8))
def test_next_is_the_same_as_by_a_look_at_all_events(seed: int) -> None:
    play = Play(seed)
    moves = (play.arrive, play.start, play.start, play.start, play.get_under_way, play.get_under_way)
    for _ in range(400):
        play.now += play.dice.choice((0.0, 0.0, 0.1, 3.0))
        (play.drop if play.dice.random() < 0.02 else play.dice.choice(moves))()


def test_retries_that_have_waited_long_go_ahead_at_every_second_start_only() -> None:
    startable, beginning = Startable(), Beginning()
    waiting, *others = (event_run(f"{number}-0", count=9) for number in range(1, 42))
    for run in (waiting, *others):
        startable.enter(run)
        startable.file(run)
    starts = []
    for number in range(45):
        task = startable.next(beginning, 0.0)
        assert task is not None
        startable.file(task.run)
        if task.run is waiting:
            starts.append((number, task.attempt))
        if number == 0:
            for index in (6, 7, 8):
                startable.due(Task(waiting, index, 1))
    late = RETRY_WAITS_TURNS + 1
    assert starts == [(0, 0), (late, 1), (late + 2, 1), (late + 4, 1)]


def test_profile_without_events_keeps_nothing_of_those_that_it_had() -> None:
    startable = Startable()
    for event_id in ("1-0", "2-0"):
        startable.file(event_run(event_id, profile="heavy"))
        startable.forget(event_id)
    assert startable._lanes == {}


def test_event_that_starts_a_thousand_workers_leaves_no_thousand_entries() -> None:
    startable, beginning = Startable(), Beginning()
    urgent, other = event_run("1-0", count=1000, priority=1), event_run("2-0", count=1000)
    for run in (urgent, other):
        startable.enter(run)
        startable.file(run)
    for _ in range(1000):
        task = startable.next(beginning, 0.0)
        assert task is not None
        startable.file(task.run)
    orders = startable._lanes["a"]._orders
    assert all(len(order._heap) <= 2 * 2 + SLACK + 1 for order in orders)


def test_events_that_go_while_an_urgent_one_is_first_leave_no_entries() -> None:
    """Theirs lie below the urgent one's, which is all that is looked at."""
    startable, beginning = Startable(), Beginning()
    urgent = event_run("1-0", count=1001, priority=1)
    startable.enter(urgent)
    startable.file(urgent)
    for number in range(1000):
        cancelled = event_run(f"2-{number}")
        startable.enter(cancelled)
        startable.file(cancelled)
        startable.forget(cancelled.event.event_id)
        assert startable.next(beginning, 0.0) is not None
        startable.file(urgent)
    assert all(len(order._heap) <= 2 * 2 + SLACK + 1 for order in startable._lanes["a"]._orders)
