"""The registry of runs, verb by verb: no threads, and time is handed in."""

from __future__ import annotations

from typing import Any

from ottoscaler.ledger.records import IndexStage, IndexState, Record
from ottoscaler.model import ScaleUp
from ottoscaler.workers.beginning import ALONE_SECONDS
from ottoscaler.workers.head_start import HeadStart
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.registry import PAST_EVENTS, RunRegistry
from ottoscaler.workers.run import EventRun, Task
from tests.harness.pod_makers import planned, scale_up, unplanned_run


class Desk:
    """A registry and what was started from it."""

    def __init__(self, slots: int = 100, hands: int = 16) -> None:
        self.in_hand = InHand(hands, 2)
        self.registry = RunRegistry(slots, self.in_hand)
        self.now = 0.0

    def add(self, event_id: str, count: int = 1, **record: Any) -> EventRun:
        event = ScaleUp(event_id, event_id, count)
        facts = Record(event_id, 1, record.pop("strikes", 0), b"[]", **record)
        run = unplanned_run(event, facts)
        assert self.registry.add(run)
        self.registry.admit(run)
        return run

    def start(self) -> Task | None:
        return self.registry.next_task(self.now)

    def starts(self) -> list[str]:
        """Everything that may start now, as ``event/index``."""
        found = []
        while (task := self.start()) is not None:
            found.append(f"{task.run.event.event_id}/{task.index}")
        return found


def test_event_that_is_here_already_is_not_added_twice() -> None:
    desk = Desk()
    run = desk.add("1-0")
    again = unplanned_run(run.event, Record("1-0", 1, 0, b"[]"))
    assert not desk.registry.add(again)
    newer = unplanned_run(run.event, Record("1-0", 2, 0, b"[]"))
    assert desk.registry.add(newer)
    assert run.dropped


def test_end_of_a_create_is_no_news_where_nothing_waits_to_start() -> None:
    desk = Desk()
    desk.add("1-0")
    alone = desk.start()
    assert alone is not None
    assert not desk.registry.under_way(alone)
    desk.add("2-0", 2)
    first = desk.start()
    assert first is not None
    assert desk.registry.under_way(first)


def test_nothing_starts_before_the_dispatcher_has_admitted_it() -> None:
    desk = Desk()
    run = unplanned_run(ScaleUp("1-0", "t", 1), Record("1-0", 1, 0, b"[]"))
    desk.registry.add(run)
    assert desk.starts() == []
    assert not desk.registry.idle
    desk.registry.admit(run)
    assert desk.starts() == ["1-0/0"]


def test_retry_waits_for_its_time() -> None:
    desk = Desk()
    run = desk.add("1-0", indexes={0: IndexState(IndexStage.WAITING, 1, due_ms=0)})
    (due, _) = run.waiting[0]
    desk.now = due - 0.01
    assert desk.starts() == []
    assert 0 < (desk.registry.due_in(desk.now) or 0) < 0.1
    desk.now = due
    task = desk.start()
    assert task is not None
    assert task.attempt == 1


def test_adoptee_without_a_slot_may_be_claimed_and_given_back() -> None:
    desk = Desk(slots=0)
    desk.add("1-0", indexes={0: IndexState(IndexStage.BEGUN, 0, uid="u")})
    (waiting,) = desk.registry.adoptees()
    task = desk.registry.claim_adoptee(waiting.worker)
    assert task is waiting
    assert desk.registry.claim_adoptee(waiting.worker) is None
    desk.registry.return_adoptee(task)
    assert desk.registry.adoptees() == [task]
    assert desk.registry.has_adoptees("1-0")
    assert desk.registry.claim_adoptee(waiting.worker) is task
    assert not desk.registry.has_adoptees("1-0")
    desk.registry.adoptee_ended(task)
    assert not desk.registry.knows("1-0")


def test_last_worker_that_ends_takes_the_event_with_it() -> None:
    desk = Desk()
    desk.add("1-0", 2)
    first, second = desk.start(), desk.start()
    assert first is not None
    assert second is not None
    desk.registry.ended(first)
    assert desk.registry.knows("1-0")
    desk.registry.ended(second)
    assert not desk.registry.knows("1-0")


def test_worker_that_is_left_to_the_next_replica_keeps_its_event() -> None:
    desk = Desk()
    desk.add("1-0")
    task = desk.start()
    assert task is not None
    desk.registry.ended(task, left=True)
    assert desk.registry.knows("1-0")


def test_late_are_those_that_have_begun_nothing() -> None:
    desk = Desk(slots=1)
    first, second = desk.add("1-0"), desk.add("2-0")
    desk.starts()
    later = max(first.taken_at, second.taken_at) + 6
    assert desk.registry.late(later, 5) == [second]
    second.offered = True
    assert desk.registry.late(later, 5) == []


def test_skipped_workers_leave_the_hand() -> None:
    desk = Desk(slots=0)
    desk.add("1-0", 2)
    assert desk.registry.fresh() == [("1-0", 0)]
    desk.registry.skip("1-0", {0, 1})
    assert desk.in_hand.count() == 0
    assert not desk.registry.knows("1-0")


def begun(desk: Desk, event_id: str, count: int = 1) -> Task | None:
    """The first worker of an event that Redis has just taken, and has begun in the ledger."""
    run = unplanned_run(ScaleUp(event_id, event_id, count), Record(event_id, 1, 0, b"[]"))
    return desk.registry.begin(run, HeadStart(3, 0.0), desk.now)


def test_event_whose_first_worker_has_begun_holds_its_slot_and_the_others_wait_until_it_is_admitted() -> None:
    desk = Desk()
    task = begun(desk, "1-0", 3)
    assert task is not None
    assert (task.index, task.attempt, task.head_start is not None) == (0, 0, True)
    assert (desk.registry.busy, desk.registry.idle) == (1, False)
    assert task.run.states == {0: "s:0:"}
    assert desk.registry.snapshot() == [task.run]
    assert desk.registry.late(task.run.taken_at + 60, 5) == []
    assert desk.in_hand.count() == 1
    assert desk.starts() == []
    desk.registry.admit(task.run)
    assert desk.starts() == ["1-0/1", "1-0/2"]


def test_ids_of_past_events_are_remembered_up_to_a_bound() -> None:
    desk = Desk()
    for number in range(PAST_EVENTS + 1):
        desk.registry.drop(desk.add(f"{number}-0"))
    assert not desk.registry.knew("0-0")
    assert desk.registry.knew("1-0")
    assert desk.registry.knew(f"{PAST_EVENTS}-0")


def test_only_an_idle_replica_begins_an_event_and_one_at_a_time() -> None:
    desk = Desk()
    assert begun(desk, "1-0") is not None
    assert begun(desk, "2-0") is None
    desk = Desk()
    desk.add("1-0")
    assert begun(desk, "2-0") is None
    suspect = Desk()
    suspect.add("1-0", strikes=2)
    assert suspect.start() is not None
    assert begun(suspect, "2-0") is None
    assert not suspect.registry.knows("2-0")


def test_event_that_is_here_is_not_begun_again() -> None:
    """All its workers wait for their retries, so the replica is idle."""
    desk = Desk()
    waiting(desk, "1-0")
    assert desk.registry.idle
    assert begun(desk, "1-0") is None


def test_worker_with_a_head_start_that_was_put_back_in_a_pause_begins_like_any_other() -> None:
    desk = Desk()
    task = begun(desk, "1-0", 2)
    assert task is not None
    task.run.note_not_begun(0, 0)
    desk.registry.under_way(task)
    desk.registry.put_back(task)
    desk.registry.admit(task.run)
    again = desk.start()
    assert again is not None
    assert (again.index, again.head_start) == (0, None)
    assert desk.starts() == ["1-0/1"]


def waiting(desk: Desk, event_id: str) -> Task:
    """An event whose one worker has failed and waits to be tried again."""
    desk.add(event_id)
    task = desk.start()
    assert task is not None
    again = Task(task.run, 0, 1)
    desk.registry.ended(task, again=again, delay=60)
    return again


def test_with_so_many_events_that_wait_for_a_retry_nothing_more_is_read() -> None:
    desk = Desk()
    first = waiting(desk, "1-0")
    assert desk.in_hand.room() == 16
    waiting(desk, "2-0")
    assert desk.in_hand.room() == 0
    assert desk.in_hand.count() == 0
    desk.now = first.run.waiting[0][0]
    task = desk.start()
    assert task is first
    assert desk.in_hand.room() == 16


def test_event_that_leaves_waits_no_more() -> None:
    desk = Desk()
    first, _ = waiting(desk, "1-0"), waiting(desk, "2-0")
    desk.registry.drop(first.run)
    assert desk.in_hand.room() == 16


def test_events_that_run_wait_and_are_in_hand_are_bounded_together() -> None:
    """OTTO_MAX_EVENTS_WAITING is looked at before a read: what is running or in hand by then may come to wait
    as well, and no more than that."""
    slots, hands = 3, 4
    desk, read, most = Desk(slots, hands), 0, 0
    for _ in range(20):
        while desk.in_hand.room():
            read += 1
            desk.add(f"{read}-0")
        most = max(most, len(desk.registry.snapshot()))
        for task in iter(desk.start, None):
            desk.registry.under_way(task)
            desk.registry.ended(task, again=Task(task.run, 0, task.attempt + 1), delay=60)
            if task.run.event.event_id.endswith("3-0"):
                break
    assert 2 < most <= 2 + slots + hands


# --- what only a new Pod needs


def test_run_holds_a_plan_only_while_a_worker_of_it_may_be_created() -> None:
    desk = Desk()
    event = scale_up(pod_count=2)
    record = Record(event.event_id, 1, 0, b"[]")
    run = EventRun(event, planned(event), record, lambda run: run.plan or planned(event))
    desk.registry.add(run)
    desk.registry.admit(run)
    first, second = desk.start(), desk.start()
    assert first is not None
    assert second is not None
    held = []
    for step in (
        lambda: desk.registry.under_way(first),  # the second is about to be created
        lambda: desk.registry.under_way(second),  # both have their Pods
        run.planned,  # a create was refused, and tries again
        lambda: desk.registry.ended(first, again=Task(run, 0, 1), delay=60),
    ):
        step()
        held.append(run.plan is not None)
    assert held == [True, False, True, False]


# --- suspects


def test_suspect_begins_alone_and_the_others_go_on_when_it_is_under_way() -> None:
    desk = Desk()
    desk.add("1-0", strikes=2)
    desk.add("2-0", 2)
    suspect = desk.start()
    assert suspect is not None
    assert suspect.run.suspect
    assert desk.starts() == []
    assert desk.registry.under_way(suspect)
    assert desk.starts() == ["2-0/0", "2-0/1"]


def test_suspect_that_waits_for_quota_holds_nobody_up() -> None:
    """Its create was refused, so it is under way; what it waits for is its own."""
    desk = Desk()
    desk.add("1-0", 5, strikes=2)
    suspect = desk.start()
    assert suspect is not None
    desk.registry.under_way(suspect)
    desk.add("2-0", 90)
    assert len(desk.starts()) == 35  # one event's share of what may begin at one time
    assert suspect.run.active == {0}


def test_suspect_waits_until_what_others_began_is_under_way_or_outlived() -> None:
    desk = Desk()
    desk.add("1-0")
    other = desk.start()
    desk.add("2-0", strikes=2)
    assert desk.start() is None
    desk.now += ALONE_SECONDS
    assert desk.starts() == ["2-0/0"]
    assert other is not None


def test_hanging_create_of_a_suspect_holds_others_up_for_no_longer_than_it_takes_to_kill() -> None:
    desk = Desk()
    desk.add("1-0", strikes=2)
    desk.add("2-0")
    assert desk.starts() == ["1-0/0"]
    desk.now += ALONE_SECONDS
    assert desk.starts() == ["2-0/0"]


def test_pod_that_is_yet_to_be_found_waits_too_while_a_suspect_begins() -> None:
    """If the process died of the suspect meanwhile, both would be blamed. A known Pod's event is not."""
    desk = Desk()
    desk.add("1-0", strikes=2)
    assert desk.starts() == ["1-0/0"]
    desk.add("2-0", indexes={0: IndexState(IndexStage.BEGUN, 0)})
    desk.add("3-0", indexes={0: IndexState(IndexStage.BEGUN, 0, uid="uid")})
    assert desk.starts() == ["3-0/0"]
    desk.now += ALONE_SECONDS
    assert desk.starts() == ["2-0/0"]


def test_suspect_finds_the_pods_of_its_workers_one_after_the_other() -> None:
    """If the process dies, nobody need ask which of them it died of."""
    desk = Desk()
    begun_before = {index: IndexState(IndexStage.BEGUN, 0) for index in (0, 1)}
    desk.add("1-0", 2, strikes=2, indexes=begun_before)
    first = desk.start()
    assert first is not None
    desk.now += ALONE_SECONDS
    assert desk.start() is None
    desk.registry.under_way(first)
    desk.registry.ended(first)
    assert desk.starts() == ["1-0/1"]


def test_suspect_finds_its_pod_after_what_others_began_is_under_way_or_outlived() -> None:
    desk = Desk()
    desk.add("1-0")
    assert desk.start() is not None
    desk.add("2-0", strikes=2, indexes={0: IndexState(IndexStage.BEGUN, 0)})
    desk.add("3-0", indexes={0: IndexState(IndexStage.BEGUN, 0)})
    assert desk.starts() == ["3-0/0"]
    desk.now += ALONE_SECONDS
    assert desk.starts() == ["2-0/0"]


def test_suspect_that_has_made_progress_is_none_any_more() -> None:
    desk = Desk()
    run = desk.add("1-0", 3, strikes=4)
    first = desk.start()
    assert first is not None
    run.note_begun(0, 0, "uid")
    desk.registry.under_way(first)
    assert desk.starts() == ["1-0/1", "1-0/2"]


def test_task_that_was_put_back_starts_again_in_its_place() -> None:
    desk = Desk(slots=4, hands=16)
    run = desk.add("1-0", 3)
    task = desk.start()
    assert task is not None
    desk.registry.put_back(task)
    assert (desk.registry.busy, desk.in_hand.count(), run.begun) == (0, 1, False)
    assert desk.starts() == ["1-0/0", "1-0/1", "1-0/2"]
    assert desk.in_hand.count() == 0


def test_event_whose_only_worker_was_put_back_is_in_hand_again() -> None:
    desk = Desk()
    desk.add("1-0")
    task = desk.start()
    assert task is not None
    assert desk.in_hand.count() == 0
    desk.registry.put_back(task)
    assert desk.in_hand.count() == 1


def test_retry_that_was_put_back_stays_that_attempt_and_the_first_in_turn() -> None:
    desk = Desk()
    due = IndexState(IndexStage.WAITING, 2, due_ms=0)
    run = desk.add("1-0", indexes={0: due, 1: due})
    desk.now = max(at for at, _ in run.waiting.values())
    task = desk.start()
    assert task is not None
    desk.registry.put_back(task)
    assert desk.start() is task


def test_adopted_worker_that_was_put_back_is_adopted_when_it_starts_again() -> None:
    desk = Desk()
    desk.add("1-0", indexes={0: IndexState(IndexStage.BEGUN, 0)})
    task = desk.start()
    assert task is not None
    desk.registry.put_back(task)
    assert desk.start() is task


def test_event_of_which_another_worker_has_begun_is_not_late_when_one_was_put_back() -> None:
    desk = Desk()
    run = desk.add("1-0", 2)
    first, second = desk.start(), desk.start()
    assert first is not None
    assert second is not None
    run.note_begun(first.index, 0)
    desk.registry.put_back(second)
    assert desk.registry.late(run.taken_at + 60, 5) == []


def test_task_of_an_event_that_is_anothers_now_is_not_put_back() -> None:
    desk = Desk()
    run = desk.add("1-0")
    task = desk.start()
    assert task is not None
    desk.registry.drop(run)
    desk.registry.put_back(task)
    assert (desk.registry.busy, desk.in_hand.count(), desk.starts()) == (0, 0, [])
