"""How many tasks may wait for their create, of one event, one profile and in all."""

from __future__ import annotations

from ottoscaler.kube.throttle import CREATES
from ottoscaler.ledger.records import Record
from ottoscaler.model import ScaleUp
from ottoscaler.workers.beginning import ALONE_SECONDS, MORE, Beginning
from ottoscaler.workers.run import EventRun, Task
from tests.harness.pod_makers import unplanned_run


def run_of(event_id: str, profile: str = "default", strikes: int = 0) -> EventRun:
    return unplanned_run(
        ScaleUp(event_id, event_id, 500, profile=profile), Record(event_id, 1, strikes, b"[]")
    )


def start(beginning: Beginning, run: EventRun, most: int = 500) -> list[Task]:
    """Start tasks until no more may, or ``most`` have."""
    started: list[Task] = []
    while (
        len(started) < most
        and not beginning.full
        and beginning.may_start(run.event.event_id, run.event.profile)
    ):
        started.append(Task(run, len(started), 0))
        beginning.start(started[-1], 0.0)
    return started


def test_one_event_gets_its_places_and_a_few_more() -> None:
    assert CREATES // 3 < len(start(Beginning(), run_of("1-0"))) <= CREATES // 3 + MORE


def test_events_of_one_profile_leave_room_to_others() -> None:
    beginning = Beginning()
    slow = sum(len(start(beginning, run_of(f"{n}-0", "slow"))) for n in range(10))
    assert CREATES // 2 < slow <= CREATES // 2 + MORE
    assert len(start(beginning, run_of("99-0", "quick"), 10)) == 10


def test_everyone_together_is_bounded() -> None:
    beginning = Beginning()
    started = sum(len(start(beginning, run_of(f"{n}-0", f"profile-{n}"))) for n in range(100))
    assert started == CREATES + MORE


def test_dispatcher_is_woken_when_several_may_start_and_not_for_each() -> None:
    beginning = Beginning()
    started = start(beginning, run_of("1-0"))
    assert [beginning.end(task) for task in started[:3]] == [False, False, True]


def test_end_that_makes_room_for_another_event_wakes_the_dispatcher() -> None:
    beginning = Beginning()
    started = [start(beginning, run_of(f"{n}-0", f"profile-{n}")) for n in range(10)]
    assert any(beginning.end(task) for task in started[0][:MORE])


def test_end_that_makes_room_in_the_profile_wakes_the_dispatcher_for_its_other_events() -> None:
    beginning = Beginning()
    others = [start(beginning, run_of(f"{n}-0"), 1)[0] for n in range(30)]
    large = start(beginning, run_of("99-0"))
    full = CREATES // 2 + 1  # what the profile holds once only those beyond the creates are left to it
    assert len(others + large) > 30 + 2
    for task in [Task(run_of("98-0"), n, 0) for n in range(full - len(others + large))]:
        beginning.start(task, 0.0)
    assert [beginning.end(task) for task in large[:2]] == [True, False]


def test_suspect_holds_others_back_until_it_is_under_way_or_outlived() -> None:
    beginning = Beginning()
    (task,) = start(beginning, run_of("1-0", strikes=2), 1)
    assert beginning.suspect_lately(ALONE_SECONDS / 2)
    assert not beginning.suspect_lately(ALONE_SECONDS)
    assert beginning.end(task)
    assert not beginning.suspect_lately(0.0)
