"""What this replica remembers of an event, and what that costs."""

from __future__ import annotations

import tracemalloc

from ottoscaler.events.images import ImagePolicy
from ottoscaler.events.parse import Limits, parse_event
from ottoscaler.ledger.ledger import pack_fields
from ottoscaler.ledger.records import Entry, IndexStage, IndexState, Record
from ottoscaler.model import ScaleUp
from ottoscaler.workers.run import LONGEST_RETRY_SECONDS, EventRun
from tests.harness.pod_makers import planned

LIMITS = Limits(1000, 65536, 86400, 10, "8", "32Gi", ImagePolicy(("busybox:latest",)))
BYTES = 60_000
MOST_BYTES = 5 * BYTES  # so 500 that wait for a retry (OTTO_MAX_EVENTS_WAITING) come to 150 MB at most


def waiting(number: int) -> EventRun:
    """An event of nearly the largest size that waits for its next attempt."""
    about = tuple((f"m{i}".encode(), f"{number}-{i}-{'x' * (BYTES // 30)}".encode()) for i in range(30))
    entry = Entry(f"{number}-0", ((b"type", b"scale_up"), (b"pod_count", b"1"), *about))
    event = parse_event(entry.id, entry.fields or (), LIMITS)
    assert isinstance(event, ScaleUp)
    states = {0: IndexState(IndexStage.WAITING, 1)}
    return EventRun(event, planned(event), Record(entry.id, 1, 0, pack_fields(entry.fields or ()), states))


def test_event_that_waits_costs_a_few_times_its_bytes() -> None:
    waiting(1)
    tracemalloc.start()
    runs = [waiting(number) for number in range(2, 12)]
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / len(runs) < MOST_BYTES


def test_wait_that_another_clock_made_long_is_bounded() -> None:
    """Redis's clock and ours may differ by hours."""
    event = ScaleUp("1-0", "t", 1)
    run = EventRun(
        event, None, Record("1-0", 1, 0, b"[]", {0: IndexState(IndexStage.WAITING, 1, due_ms=2**50)})
    )
    assert run.waiting[0][0] - run.taken_at <= LONGEST_RETRY_SECONDS + 1


def test_begun_without_a_pod_is_told_from_begun_with_one() -> None:
    run = EventRun(ScaleUp("1-0", "t", 2), None, Record("1-0", 1, 0, b"[]"))
    seen: list[bool] = []
    run.note_begun(0, 0)
    seen.append(run.has_pods)
    run.note_begun(0, 0, "uid")
    seen.append(run.has_pods)
    run.note_done(0, 0, "succeeded", "uid")
    seen.append(run.has_pods)
    assert seen == [False, True, False]
