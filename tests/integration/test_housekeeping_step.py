"""Housekeeping, step by step on a real Redis: what expires, what stays, and that nothing runs twice."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ottoscaler.controller.housekeeping import BATCH, Housekeeping
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.model import ScaleDown, ScaleUp, WorkerId
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.ledger_steps import DONE, add, read
from tests.harness.redis_fixture import Book, book, counts_what_is_added, redis_server
from tests.harness.waiting import wait_for
from tests.tools import memory

__all__ = ["book", "redis_server"]

STREAM = "otto:scale:events"
PREFIX = f"{STREAM}:ottoscaler:"


@pytest.fixture
def ledger(book: Book) -> Ledger:
    return book.ledger()


def housekeeping(book: Book, ledger: Ledger, **bounds: Any) -> Housekeeping:
    """With a retention time of nothing, so that what has ended is out of its time."""
    facts = {"retention": 0.0, "dead_retention": 3600.0, "logs_total_bytes": 65536} | bounds
    return Housekeeping(ledger, Metrics(), **facts)


def deliver(book: Book, count: int = 1, task: str = "t") -> list[ScaleUp]:
    """Scale_ups of one worker each, added and read."""
    pipe = book.redis.pipeline(transaction=False)
    for _ in range(count):
        pipe.xadd(STREAM, {"type": "scale_up", "pod_count": 1, "task_id": task})
    ids = pipe.execute()
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"}, count=count)
    return [ScaleUp(event_id, task, 1) for event_id in ids]


def entry(event: ScaleUp | ScaleDown) -> Entry:
    return Entry(event.event_id, ((b"type", event.type.encode()),))


def finish(ledger: Ledger, event: ScaleUp) -> None:
    assert ledger.take(event, entry(event)).how == "taken"
    worker = WorkerId(event.event_id, 0, 0)
    ledger.start(worker, 1)
    assert ledger.record(worker, 1, "", DONE).word == "ended"


def now_ms(book: Book) -> int:
    seconds, micros = book.redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def ids(book: Book) -> list[str]:
    return [entry_id for entry_id, _ in book.redis.xrange(STREAM)]


def test_finished_events_behind_an_open_one_leave_nothing(book: Book, ledger: Ledger) -> None:
    first, *rest = deliver(book, 20)
    ledger.take(first, entry(first))
    for event in rest:
        finish(ledger, event)
    housekeeping(book, ledger).step()
    assert ids(book) == [first.event_id]
    assert list(book.redis.scan_iter(f"{PREFIX}event:*")) == [f"{PREFIX}event:{first.event_id}"]
    assert book.redis.zcard(f"{PREFIX}finished") == 0
    assert book.redis.zcard(f"{PREFIX}results-from") == 0


def test_results_stay_until_the_retention_time_after_their_event_has_ended(
    book: Book, ledger: Ledger
) -> None:
    event = add(book, count=2)
    read(book)
    ledger.take(event, entry(event))
    for index, told in ((0, 1), (1, 0)):
        worker = WorkerId(event.event_id, index, 0)
        ledger.start(worker, 1)
        ledger.record(worker, 1, "", DONE)
        last = int(book.redis.xinfo_stream("otto:scale:results")["last-generated-id"].partition("-")[0])
        wait_for(lambda last=last: now_ms(book) > last, "the next millisecond: results are trimmed by it")  # type: ignore[misc]
        housekeeping(book, ledger).step()
        assert len(book.results("worker")) == told


def test_frozen_reader_that_wakes_after_the_retention_time_runs_nothing_again(
    book: Book, ledger: Ledger
) -> None:
    """It had read the entry and not taken it yet; another replica ran it and its ledger has gone since."""
    first, second, bad = deliver(book, 3)
    ledger.take(first, entry(first))
    finish(ledger, second)
    assert ledger.dead_letter(bad.event_id, "it is bad", [])
    housekeeping(book, ledger).step()
    frozen = book.ledger("frozen")
    assert frozen.take(second, entry(second)).how == "done"
    assert not frozen.dead_letter(bad.event_id, "it is bad", [])
    assert book.results("worker") == [], "the one that was told has expired"
    assert book.redis.xlen("otto:scale:dead") == 1


def test_frozen_reader_runs_nothing_again_in_whatever_order_the_events_ended(
    book: Book, ledger: Ledger
) -> None:
    first, second, third, fourth = deliver(book, 4)
    ledger.take(first, entry(first))
    frozen = book.ledger("frozen")
    for ended in ((third, second), (fourth,)):
        for event in ended:
            finish(ledger, event)
        housekeeping(book, ledger).step()
        for event in ended:
            assert frozen.take(event, entry(event)).how == "done"


def test_entries_that_ended_while_xack_was_refused_are_acknowledged_when_it_is_allowed_again(
    book: Book, ledger: Ledger
) -> None:
    """Before, they stayed pending until a replica with that name started, or the retention time."""
    open_one, *ended = deliver(book, 4)
    ledger.take(open_one, entry(open_one))
    kept = housekeeping(book, ledger, retention=3600.0)
    book.redis.execute_command("ACL", "SETUSER", "default", "-xack")
    try:
        for event in ended:
            finish(ledger, event)
        kept.step()
        assert book.redis.xpending(STREAM, "ottoscaler")["pending"] == 4
    finally:
        book.redis.execute_command("ACL", "SETUSER", "default", "+xack")
    kept.step()
    assert [p["message_id"] for p in book.redis.xpending_range(STREAM, "ottoscaler", "-", "+", 9)] == [
        open_one.event_id
    ]


def test_what_may_not_be_acknowledged_outlives_the_retention_time(book: Book, ledger: Ledger) -> None:
    """Before, its ledger went, and the next start dead-lettered it as deleted before it was read."""
    open_one, ended = deliver(book, 2)
    ledger.take(open_one, entry(open_one))
    kept = housekeeping(book, ledger)
    book.redis.execute_command("ACL", "SETUSER", "default", "-xack")
    try:
        finish(ledger, ended)
        kept.step()
        assert ledger.take(ended, entry(ended)).how == "done"
        assert ids(book) == [open_one.event_id, ended.event_id]
    finally:
        book.redis.execute_command("ACL", "SETUSER", "default", "+xack")
    kept.step()
    assert ids(book) == [open_one.event_id]
    assert book.redis.xpending(STREAM, "ottoscaler")["pending"] == 1


def test_what_was_acknowledged_goes_even_if_nothing_may_be_acknowledged_any_more(
    book: Book, ledger: Ledger
) -> None:
    (ended,) = deliver(book)
    finish(ledger, ended)
    kept = housekeeping(book, ledger)
    book.redis.execute_command("ACL", "SETUSER", "default", "-xack")
    try:
        kept.step()
    finally:
        book.redis.execute_command("ACL", "SETUSER", "default", "+xack")
    assert ids(book) == []


def test_entry_that_is_delivered_again_after_its_end_is_not_pending_for_ever(
    book: Book, ledger: Ledger
) -> None:
    (event,) = deliver(book)
    finish(ledger, event)
    book.redis.xgroup_setid(STREAM, "ottoscaler", "0")
    book.redis.xreadgroup("ottoscaler", "frozen", {STREAM: ">"})
    housekeeping(book, ledger).step()
    assert book.redis.xpending(STREAM, "ottoscaler")["pending"] == 0


def test_entry_without_a_ledger_stays_for_the_retention_time(book: Book, ledger: Ledger) -> None:
    (event,) = deliver(book)
    book.redis.xack(STREAM, "ottoscaler", event.event_id)
    for _ in range(2):
        housekeeping(book, ledger, retention=3600.0).step()
    assert ids(book) == [event.event_id]


def test_group_made_anew_or_set_back_is_handed_nothing_that_has_expired(book: Book, ledger: Ledger) -> None:
    first, second = deliver(book, 2)
    ledger.take(first, entry(first))
    finish(ledger, second)
    housekeeping(book, ledger).step()
    book.redis.xgroup_destroy(STREAM, "ottoscaler")
    assert ledger.upkeep.ensure_group()
    assert [e.id for e in book.stream("a").read(count=10)] == [first.event_id]
    book.redis.xgroup_setid(STREAM, "ottoscaler", "0")
    assert [e.id for e in book.stream("a").read(count=10)] == [first.event_id]
    assert ledger.take(first, entry(first)).how == "mine"


def test_entry_that_was_read_and_trimmed_is_run_though_younger_ones_have_expired(
    book: Book, ledger: Ledger
) -> None:
    first, slow, young = deliver(book, 3)
    ledger.take(first, entry(first))
    finish(ledger, young)
    housekeeping(book, ledger).step()
    book.redis.xdel(STREAM, slow.event_id)
    assert ledger.take(slow, entry(slow)).how == "taken"


def test_entry_that_another_group_needs_stays_with_its_ledger(book: Book, ledger: Ledger) -> None:
    book.redis.xgroup_create(STREAM, "auditors", "0", mkstream=True)
    first, second = deliver(book, 2)
    ledger.take(first, entry(first))
    finish(ledger, second)
    keeper = housekeeping(book, ledger)
    keeper.step()
    assert ids(book) == [first.event_id, second.event_id]
    assert ledger.take(second, entry(second)).how == "done"
    book.redis.xreadgroup("auditors", "x", {STREAM: ">"})
    keeper.step()
    assert second.event_id in ids(book), "they have read it, and not acknowledged it"
    book.redis.xack(STREAM, "auditors", second.event_id)
    keeper.step()
    assert ids(book) == [first.event_id]


def test_scale_down_that_was_applied_ahead_of_its_turn_stays_until_it_is_read(
    book: Book, ledger: Ledger
) -> None:
    deliver(book)
    unread = book.redis.xadd(STREAM, {"type": "scale_up", "pod_count": 1})
    down = ScaleDown(book.redis.xadd(STREAM, {"type": "scale_down", "task_id": "t"}), "t")
    ledger.take(down, entry(down))
    ledger.scale_downs.finish(down.event_id, 1)
    keeper = housekeeping(book, ledger)
    keeper.step()
    assert down.event_id in ids(book)
    assert ledger.take(down, entry(down)).how == "done"
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"})
    keeper.step()
    assert down.event_id not in ids(book)
    assert unread in ids(book)


def test_walk_goes_on_behind_what_has_to_stay(book: Book, ledger: Ledger) -> None:
    """As many events as a step looks at, which another group needs, must not hide the next ones for ever."""
    deliver(book, BATCH)
    pipe = book.redis.pipeline(transaction=False)
    for event_id in ids(book):
        pipe.zadd(f"{PREFIX}finished", {event_id: 1})
        pipe.hset(f"{PREFIX}event:{event_id}", mapping={"state": "done", "status": "succeeded"})
    pipe.execute()
    book.redis.sadd(f"{PREFIX}events", ids(book)[0])  # holds the low-water mark
    book.redis.xgroup_create(STREAM, "auditors", "0")
    last = deliver(book)[0]
    book.redis.xgroup_create(STREAM, "readers", last.event_id)
    finish(ledger, last)
    book.redis.xreadgroup("auditors", "x", {STREAM: ">"})
    book.redis.xack(STREAM, "auditors", last.event_id)
    keeper = housekeeping(book, ledger)
    assert keeper.step() == 0.0, "more is left to look at"
    assert last.event_id in ids(book)
    keeper.step()
    assert last.event_id not in ids(book)
    assert len(ids(book)) == BATCH


def test_tombstone_goes_when_no_older_scale_up_is_left_to_take(book: Book, ledger: Ledger) -> None:
    """Also behind an open event: else every task that was ever cancelled would leave one."""
    first, untaken = deliver(book, 2, task="x")
    ledger.take(first, entry(first))
    down = ScaleDown(book.redis.xadd(STREAM, {"type": "scale_down", "task_id": "x"}), "x")
    ledger.take(down, entry(down))
    ledger.scale_downs.finish(down.event_id, 1)
    keeper = housekeeping(book, ledger, retention=3600.0)
    keeper.step()
    assert book.redis.hgetall(f"{PREFIX}tombstones") == {"x": down.event_id}
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"})
    keeper.step()
    assert book.redis.hgetall(f"{PREFIX}tombstones") == {"x": down.event_id}, "one of them may yet be taken"
    assert ledger.take(untaken, entry(untaken)).how == "cancelled"
    keeper.step()
    assert book.redis.hgetall(f"{PREFIX}tombstones") == {}


def test_leftover_pod_of_an_event_that_expired_above_the_mark_is_no_lost_one(
    book: Book, ledger: Ledger
) -> None:
    first, second, third = deliver(book, 3)
    ledger.take(first, entry(first))
    finish(ledger, second)
    housekeeping(book, ledger).step()
    states = ledger.upkeep.states([(second.event_id, 0), (third.event_id, 0), ("9999999999999-0", 0)])
    assert [state[0] for state in states] == ["below", "missing", "missing"]


def test_entry_that_nobody_has_a_ledger_of_goes_with_the_streams_head(book: Book, ledger: Ledger) -> None:
    (event,) = deliver(book)
    book.redis.xack(STREAM, "ottoscaler", event.event_id)  # an operator
    keeper = housekeeping(book, ledger)
    keeper.step()
    keeper.step()
    assert ids(book) == []


def test_entry_that_another_group_needed_for_long_goes_while_it_needs_a_younger_one(
    book: Book, ledger: Ledger
) -> None:
    """Ids end in -0 here, as those of entries that are added in different milliseconds do."""
    book.redis.xgroup_create(STREAM, "auditors", "0", mkstream=True)
    events = [add(book, f"{ms}-0", count=1) for ms in (1717, 1718, 1719)]
    read(book)
    for event in events:
        finish(ledger, event)
    keeper = housekeeping(book, ledger)
    keeper.step()  # the ledgers go, the entries stay
    book.redis.xreadgroup("auditors", "x", {STREAM: ">"})
    book.redis.xack(STREAM, "auditors", "1717-0", "1718-0")
    keeper.step()
    assert ids(book) == ["1719-0"]


def test_entry_that_nobody_has_a_ledger_of_goes_while_a_younger_event_is_open(
    book: Book, ledger: Ledger
) -> None:
    acknowledged, opened = add(book, "1717-0", count=1), add(book, "1718-0", count=1)
    read(book)
    book.redis.xack(STREAM, "ottoscaler", acknowledged.event_id)  # an operator
    ledger.take(opened, entry(opened))
    keeper = housekeeping(book, ledger)
    keeper.step()
    keeper.step()
    assert ids(book) == [opened.event_id]


def test_marks_that_somebody_has_overwritten_begin_anew(book: Book, ledger: Ledger) -> None:
    acknowledged, opened = add(book, "1717-0", count=1), add(book, "1718-0", count=1)
    read(book)
    book.redis.xack(STREAM, "ottoscaler", acknowledged.event_id)  # an operator
    ledger.take(opened, entry(opened))
    book.redis.set(f"{PREFIX}marks", "x")
    keeper = housekeeping(book, ledger)
    keeper.step()
    keeper.step()
    assert ids(book) == [opened.event_id]


def gauges(book: Book, ledger: Ledger) -> dict[str, str]:
    metrics = Metrics()
    Housekeeping(ledger, metrics, retention=1.0, dead_retention=1.0, logs_total_bytes=65536).measure()
    lines = metrics.exposition()[0].decode().splitlines()
    return dict(line.removeprefix("ottoscaler_").split(" ") for line in lines if line.count(" ") == 1)


def test_gauges_tell_of_the_streams(book: Book, ledger: Ledger) -> None:
    book.redis.xgroup_create(STREAM, "auditors", "0", mkstream=True)
    deliver(book, 3)
    book.redis.xadd(STREAM, {"type": "scale_up"})
    ledger.dead_letter(ids(book)[0], "it is bad", [])
    shown = gauges(book, ledger)
    lag = "1.0" if counts_what_is_added(book.redis) else "NaN"
    assert (shown["dead_letters"], shown["stream_pending"], shown["stream_lag"]) == ("1.0", "2.0", lag)


def test_gauges_of_keys_that_hold_something_else_are_unknown_and_the_others_are_set(
    book: Book, ledger: Ledger
) -> None:
    book.redis.set("otto:scale:dead", "x")
    deliver(book, 1)
    assert [gauges(book, ledger)[name] for name in ("dead_letters", "stream_pending")] == ["NaN", "1.0"]
    book.redis.set(STREAM, "x")
    book.redis.delete("otto:scale:dead")
    assert [gauges(book, ledger)[name] for name in ("dead_letters", "stream_pending")] == ["0.0", "0.0"]


@pytest.mark.parametrize(
    ("ago", "least", "most"),
    [(100, 100, 130), (-100, 0, 0), (40 * 86_400, 0, 0)],
    ids=["100 s", "of a clock that is ahead", "a number that is hardly a time"],
)
def test_age_of_the_oldest_pending_event_is_measured_where_its_id_is_a_time(
    book: Book, ledger: Ledger, ago: float, least: float, most: float
) -> None:
    assert float(gauges(book, ledger)["oldest_pending_seconds"]) == 0
    book.redis.xadd(STREAM, {"type": "scale_up"}, id=f"{(time.time() - ago) * 1000:.0f}-0")
    read(book)
    assert least <= float(gauges(book, ledger)["oldest_pending_seconds"]) <= most


def test_memory_behind_an_event_that_stays_open_is_flat(book: Book) -> None:
    """A small form of tests/tools/memory.py."""
    samples = memory.measure_ledger(book.url, 1000, behind_open=True)
    assert memory.growth(samples) <= memory.FLAT
    assert samples[-1].keys == samples[1].keys
