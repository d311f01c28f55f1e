"""The outgoing streams are bounded in bytes, and no event is written a thousand times over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ottoscaler.config.settings import Settings
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry, Record, Taking
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Outcome, Reason, ScaleDown, ScaleUp, Status, WorkerId
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]

RESULTS, DEAD = "otto:scale:results", "otto:scale:dead"
MIB = 1 << 20
DONE = Outcome(
    Status.SUCCEEDED, Reason.COMPLETED, "m" * 4000, pod="p", finished_at="2026-01-01T00:00:00.000Z"
)


def bounded(book: Book, **bounds: Any) -> Ledger:
    """A ledger with bounds of its own."""
    known = book.ledger()
    return Ledger(RedisClient(Settings(redis_url=book.url, redis_consumer="a", **bounds)), known.identity)


def kept_bytes(book: Book, stream: str) -> int:
    return int(book.redis.memory_usage(stream, samples=0))


def scale_up(book: Book, ledger: Ledger, count: int, **metadata: str) -> ScaleUp:
    event_id = str(book.redis.xadd("otto:scale:events", {"type": "scale_up"}))
    event = ScaleUp(event_id, "t", count, metadata=metadata)
    ledger.take(event, Entry(event_id, ((b"type", b"scale_up"),)))
    return event


def record(ledger: Ledger, event: ScaleUp) -> None:
    for index in range(event.pod_count):
        worker = WorkerId(event.event_id, index, 0)
        ledger.start(worker, 1)
        ledger.record(worker, 1, "", DONE)


def test_4000_dead_letters_of_20_kb_stay_below_the_default_bound(book: Book) -> None:
    ledger = book.ledger()
    letter = [(b"type", b"x"), (b"note", b"n" * 20_000)]
    most = 0
    for number in range(4000):
        ledger.dead_letter(f"{number + 1}-0", "it is bad", letter)
        if number % 100 == 99:
            most = max(most, kept_bytes(book, DEAD))
    assert most <= 64 * MIB
    assert kept_bytes(book, DEAD) > 44 * MIB, "no more goes than has to"
    assert book.redis.xrevrange(DEAD, count=1)[0][1]["event_id"] == "4000-0"


def test_newest_100_dead_letters_stay_whole_though_they_are_too_large(book: Book) -> None:
    ledger = bounded(book, dead_max_bytes=MIB)
    for number in range(300):
        ledger.dead_letter(f"{number + 1}-0", "it is bad", [(b"note", b"n" * 20_000)])
    kept = book.redis.xrange(DEAD)
    assert [fields["event_id"] for _, fields in kept][-100:] == [f"{n}-0" for n in range(201, 301)]
    assert len(kept) <= 110
    assert all(len(fields["field:note"]) == 20_000 for _, fields in kept)


def test_results_are_bounded_in_bytes_and_the_newest_stay(book: Book) -> None:
    ledger = bounded(book, results_max_bytes=MIB)
    for _ in range(6):
        record(ledger, scale_up(book, ledger, 100))
    assert MIB / 2 < kept_bytes(book, RESULTS) <= MIB
    assert book.redis.xrevrange(RESULTS, count=1)[0][1]["kind"] == "event"
    assert book.redis.zcard("otto:scale:events:ottoscaler:places:results") <= 32, "nor does the count grow"


def test_what_went_for_want_of_bytes_is_counted_by_one_replica(book: Book) -> None:
    ledger = bounded(book, results_max_bytes=MIB)
    for _ in range(6):
        record(ledger, scale_up(book, ledger, 100))
    gone = 606 - book.redis.xlen(RESULTS)
    shown = []
    for _ in range(2):
        metrics = Metrics()
        Housekeeping(ledger, metrics, retention=60.0, dead_retention=60.0, logs_total_bytes=65536).step()
        shown.append(metrics.exposition()[0].decode())
    line = 'ottoscaler_entries_trimmed_total{stream="results"}'
    assert f"\n{line} {gone}.0\n" in shown[0]
    assert f"\n{line} 0.0\n" in shown[1]


def test_streams_that_the_count_knows_nothing_of_are_brought_below_their_bound(book: Book) -> None:
    """They are older than the bound, or a failover lost the count."""
    ledger = bounded(book, results_max_bytes=MIB, dead_max_bytes=MIB)
    pipe = book.redis.pipeline(transaction=False)
    for _ in range(1000):
        pipe.xadd(RESULTS, {"kind": "worker", "message": "m" * 4000})
        pipe.xadd(DEAD, {"event_id": "1-0", "error": "m" * 4000})
    pipe.execute()
    ledger.upkeep.bound(3600, 3600, 10, "0")
    assert MIB / 2 < kept_bytes(book, RESULTS) <= MIB * 1.1
    assert kept_bytes(book, DEAD) <= MIB * 1.1
    assert book.redis.xlen(DEAD) >= 100
    for _ in range(120):
        book.redis.xadd(DEAD, {"event_id": "1-0", "error": "m" * 20_000})
    ledger.upkeep.bound(3600, 3600, 10, "0")
    assert book.redis.xlen(DEAD) == 100, "though these are 2 MB"


def test_dead_letters_that_an_operator_dropped_make_no_others_go(book: Book) -> None:
    ledger = bounded(book, dead_max_bytes=8 * MIB)
    for number in range(300):
        ledger.dead_letter(f"{number + 1}-0", "it is bad", [(b"note", b"n" * 20_000)])
    book.redis.xdel(DEAD, *[entry_id for entry_id, _ in book.redis.xrange(DEAD)][50:])
    for number in range(300, 500):
        ledger.dead_letter(f"{number + 1}-0", "it is bad", [(b"note", b"n" * 20_000)])
    assert book.redis.xlen(DEAD) == 250


@pytest.mark.parametrize("size", [2000, 60_000])
def test_metadata_is_told_once_and_by_workers_only_where_it_is_small(book: Book, size: int) -> None:
    ledger = book.ledger()
    event = scale_up(book, ledger, 3, note="n" * size)
    record(ledger, event)
    (told,) = book.results("event")
    assert json.loads(told["metadata"]) == {"note": "n" * size}
    for worker in book.results("worker"):
        metadata = json.loads(worker["metadata"])
        assert (
            metadata == {"note": "n" * size} if size < 2048 else list(metadata) == ["ottoscaler.io/omitted"]
        )


def test_eight_events_of_60_kb_and_a_thousand_workers_write_little(book: Book) -> None:
    """They once wrote 502 MiB of results."""
    ledger = book.ledger()
    event = scale_up(book, ledger, 200, note="n" * 60_000)
    before = kept_bytes(book, "otto:scale:events")
    record(ledger, event)
    assert kept_bytes(book, RESULTS) - before < 200 * 7000


def test_cancelling_a_thousand_workers_by_their_tombstone_is_done_in_batches(book: Book) -> None:
    ledger = book.ledger()
    up = str(book.redis.xadd("otto:scale:events", {"type": "scale_up"}))
    down = ScaleDown(book.redis.xadd("otto:scale:events", {"type": "scale_down"}), "t")
    ledger.take(down, Entry(down.event_id, ((b"type", b"scale_down"),)))
    scripts = calls(book)
    taken = ledger.take(ScaleUp(up, "t", 1000), Entry(up, ((b"type", b"scale_up"),)))
    assert taken.how is Taking.CANCELLED
    assert calls(book) - scripts >= 1000 / 100, "no script cancels more than a hundred"
    assert len(book.results("worker")) == 1000
    (told,) = book.results("event")
    assert (told["status"], told["cancelled"]) == ("cancelled", "1000")


def test_cancelling_that_was_broken_off_is_finished_by_whoever_takes_the_event_over(book: Book) -> None:
    ledger = book.ledger()
    up = str(book.redis.xadd("otto:scale:events", {"type": "scale_up"}))
    down = ScaleDown(book.redis.xadd("otto:scale:events", {"type": "scale_down"}), "t")
    ledger.take(down, Entry(down.event_id, ((b"type", b"scale_down"),)))
    words = (up, ledger.owner, "scale_up", "t", 1000, "", "[]", "{}", "2026-01-01T00:00:00.000Z", "1", "")
    ledger.run("take", *words)  # and its replica dies here, after the first batch
    assert len(book.results("worker")) == 100
    successor = book.ledger("a", "2")
    assert successor.take_over(up, "a/1").how is Taking.CANCELLED
    assert len(book.results("worker")) == 1000
    assert len(book.results("event")) == 1


def test_poisoned_event_of_many_workers_is_cancelled_in_batches(book: Book) -> None:
    ledger = book.ledger()
    event = scale_up(book, ledger, 1000)
    begun = WorkerId(event.event_id, 7, 0)
    ledger.start(begun, 1)
    ledger.poison(Record(event.event_id, 1, 0, b"[]"), "it is poison")
    assert len(book.results("worker")) == 999
    assert ledger.record(begun, 1, "", DONE, despite_intent=True).word == "ended"
    assert book.redis.xlen(DEAD) == 1


def test_victims_are_found_without_copying_bodies_in_bounded_steps(book: Book) -> None:
    ledger = book.ledger()
    events = [scale_up(book, ledger, count) for count in (1500, 3, 700)]
    ledger.start(WorkerId(events[0].event_id, 1400, 0), 1)
    ledger.start(WorkerId(events[2].event_id, 5, 0), 1)
    down = ScaleDown(book.redis.xadd("otto:scale:events", {"type": "scale_down"}), None, 5)
    found = {r.event_id: r for r in ledger.scale_downs.candidates(down.event_id, None)}
    assert {i: r.count for i, r in found.items()} == {e.event_id: e.pod_count for e in events}
    assert list(found[events[0].event_id].indexes) == [1400]
    assert list(found[events[2].event_id].indexes) == [5]


def calls(book: Book) -> int:
    """How many scripts Redis has run."""
    return sum(stats["calls"] for name, stats in book.redis.info("commandstats").items() if "eval" in name)
