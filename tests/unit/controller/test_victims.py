"""Which victims of a scale_down are cancelled together."""

from __future__ import annotations

from ottoscaler.controller.victims import EVENTS_A_SCRIPT, VICTIMS_A_SCRIPT, batches


def test_workers_of_one_event_are_cancelled_a_hundred_at_a_time() -> None:
    order = [("1-0", index) for index in range(2 * VICTIMS_A_SCRIPT + 1)]
    assert [len(batch) for batch in batches(order)] == [VICTIMS_A_SCRIPT, VICTIMS_A_SCRIPT, 1]
    assert [victim for batch in batches(order) for victim in batch] == order


def test_few_events_at_a_time_end_so_that_no_script_tells_the_metadata_of_many() -> None:
    order = [(f"{event}-0", index) for event in range(EVENTS_A_SCRIPT + 2) for index in range(2)]
    assert [len(batch) for batch in batches(order)] == [2 * EVENTS_A_SCRIPT, 4]
    assert [victim for batch in batches(order) for victim in batch] == order


def test_without_victims_the_choice_is_written_down_all_the_same() -> None:
    assert list(batches([])) == [[]]
