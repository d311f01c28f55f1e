"""What this replica remembers of an event, and what that costs."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from string import ascii_letters as letters

import pytest

from ottoscaler.controller.reading import EventReader
from ottoscaler.events.parse import parse_event
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.ledger import pack_fields
from ottoscaler.ledger.records import Entry, IndexStage, IndexState, Record
from ottoscaler.model import ScaleUp
from ottoscaler.workers.run import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, EventRun
from tests.harness.parsed_events import LIMITS
from tests.harness.pod_makers import DEFAULTS, LIVE, env_of, planned, unplanned_run

READER = EventReader(LIMITS, LIVE, DEFAULTS, ReplicaIdentity("a"))
BYTES = 60_000
OVERHEAD = 8_000  # of a run; so 500 that wait for a retry (OTTO_MAX_EVENTS_WAITING) come to 35 MB at most


def waiting(number: int) -> EventRun:
    """An event of nearly the largest size that waits for its next attempt."""
    text = random.Random(number)
    about = tuple((f"m{i}".encode(), "".join(text.choices(letters, k=BYTES // 30))) for i in range(30))
    fields = tuple((name, value.encode()) for name, value in about)
    entry = Entry(f"{number}-0", ((b"type", b"scale_up"), (b"pod_count", b"1"), *fields))
    return run_of(entry, {0: IndexState(IndexStage.WAITING, 1)})


def run_of(entry: Entry, states: dict[int, IndexState]) -> EventRun:
    event = parse_event(entry.id, entry.fields or (), LIMITS)
    assert isinstance(event, ScaleUp)
    body = pack_fields(entry.fields or ())
    record = Record(entry.id, 1, 0, body, states, count=event.pod_count)
    return EventRun(event, planned(event), record, READER.planned)


def test_event_that_waits_costs_its_bytes_once() -> None:
    waiting(1)
    tracemalloc.start()
    runs = [waiting(number) for number in range(2, 12)]
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / len(runs) < BYTES + OVERHEAD


def test_event_that_waits_is_read_anew_for_its_next_attempt() -> None:
    run = waiting(1)
    assert run.plan is None
    assert run.event.metadata == {}
    pod = run.planned().pod(0, 1)
    told = json.loads(pod["metadata"]["annotations"]["ottoscaler.io/metadata"])
    assert len(told) == 30
    assert env_of(pod)["OTTO_ATTEMPT"] == "1"
    assert len(json.loads(run.body)) == 32


def test_control_characters_cost_a_waiting_event_no_more_than_letters_do() -> None:
    """JSON writes each as six bytes, so that a body is six times as large as what was sent."""
    rng = random.Random(1)
    sent = "".join(chr(rng.randrange(1, 32)) for _ in range(BYTES // 4))
    fields = ((b"type", b"scale_up"), (b"pod_count", b"1"), (b"note", sent.encode()))
    states = {0: IndexState(IndexStage.WAITING, 1)}
    run_of(Entry("1-0", fields), states)
    tracemalloc.start()
    run = run_of(Entry("2-0", fields), states)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 1.5 * BYTES // 4 + OVERHEAD
    assert json.loads(run.body)[2][1] == sent


def test_plan_is_built_for_the_installation_of_the_moment() -> None:
    """Redis was emptied, and has another one now."""
    identity = ReplicaIdentity("a")
    reader = EventReader(LIMITS, LIVE, DEFAULTS, identity)
    identity.join("first")
    entry = Entry("1-0", ((b"type", b"scale_up"), (b"pod_count", b"1")))
    event = reader.event(entry)
    assert isinstance(event, ScaleUp)
    body = pack_fields(entry.fields or ())
    run = EventRun(event, reader.plan(event), Record("1-0", 1, 0, body), reader.planned)
    before = run.planned()
    assert before is run.planned()
    identity.join("second")
    assert run.planned().defaults.installation == "second"


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [(1, FIRST_RETRY_SECONDS), (3, 4 * FIRST_RETRY_SECONDS), (5000, LONGEST_RETRY_SECONDS)],
)
def test_no_difference_of_clocks_makes_a_wait_longer_than_its_attempt_s_back_off(
    attempt: int, longest: float
) -> None:
    """Redis's clock and ours may differ by hours, or Redis's was set back since."""
    event = ScaleUp("1-0", "t", 1)
    waiting = IndexState(IndexStage.WAITING, attempt, due_ms=2**50)
    before = time.monotonic()
    run = unplanned_run(event, Record("1-0", 1, 0, b"[]", {0: waiting}))
    assert before + longest <= run.waiting[0][0] <= time.monotonic() + longest


def test_begun_without_a_pod_is_told_from_begun_with_one() -> None:
    run = unplanned_run(ScaleUp("1-0", "t", 2), Record("1-0", 1, 0, b"[]"))
    seen: list[bool] = []
    run.note_begun(0, 0)
    seen.append(run.has_pods)
    run.note_begun(0, 0, "uid")
    seen.append(run.has_pods)
    run.note_done(0, 0, "succeeded", "uid")
    seen.append(run.has_pods)
    assert seen == [False, True, False]
