"""Retries that are not due yet: each is taken once, and only while its event waits for it."""

from __future__ import annotations

from ottoscaler.ledger.records import Record
from ottoscaler.workers.retries import Retries
from ottoscaler.workers.run import Task
from tests.harness.pod_makers import scale_up, unplanned_run


def taken(retries: Retries, now: float) -> list[Task]:
    """What is due, as the registry takes it."""
    found = []
    for task in retries.take_due(now):
        del task.run.waiting[task.index]
        found.append(task)
    return found


def test_retry_is_taken_once_and_only_if_it_is_what_its_event_waits_for() -> None:
    """One that ended before its event was admitted is added again at the admission."""
    retries, run = Retries(), unplanned_run(scale_up(), Record("1717-0", 1, 0, b"[]"))
    twice, former, present, early = Task(run, 0, 1), Task(run, 1, 1), Task(run, 1, 2), Task(run, 2, 1)
    for due, task in ((1.0, twice), (1.0, twice), (1.0, former), (3.0, present), (9.0, early)):
        run.waiting[task.index] = (due, task)
        retries.add(due, task)
    assert taken(retries, 2.0) == [twice]
    assert taken(retries, 3.0) == [present]
    assert retries.due_in(4.0) == 5.0
    run.dropped = True
    assert taken(retries, 9.0) == []
