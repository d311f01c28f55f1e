"""What the ledger's scripts do to the streams of a real Redis: dead letters, the low-water mark, trimming."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from ottoscaler.errors import RedisError, RedisUnavailable, Wiped
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.upkeep import Expired
from tests.harness.ledger_steps import DONE, add, add_down, begin, owned, read, take
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]


def test_dead_letter_is_written_once(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    read(book)
    fields = [(b"type", b"scale_up"), (b"raw", b"\xff\x00")]
    assert ledger.dead_letter(event.event_id, "it is bad", fields)
    assert not ledger.dead_letter(event.event_id, "it is bad", fields)
    assert book.redis.xlen("otto:scale:dead") == 1
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 0


def test_entry_of_an_event_that_somebody_works_on_or_that_has_ended_becomes_no_dead_letter(
    book: Book,
) -> None:
    """It was delivered again, to a replica with another policy."""
    ledger, fields = book.ledger(), [(b"type", b"scale_up")]
    held, handed_over, ended = (add(book, count=1) for _ in range(3))
    for event in (held, handed_over, ended):
        owned(ledger, event)
    read(book)
    begin(ledger, handed_over, 0)
    ledger.release([(handed_over.event_id, 1)])
    ledger.record(begin(ledger, ended, 0), 1, "uid-0-0", DONE)
    for event in (held, handed_over, ended):
        assert not ledger.dead_letter(event.event_id, "forbidden", fields)
    assert book.redis.xlen("otto:scale:dead") == 0
    ledger.release([(held.event_id, 1)])
    assert ledger.dead_letter(held.event_id, "forbidden", fields), "nobody holds it and nothing has begun"


def test_dead_letter_of_thousands_of_fields_is_kept_whole(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    read(book)
    own = [(b"f%d\xff" % i, b"\x00\xfe") for i in range(20_000)] + [(b"f0\xff", b"twice")]
    assert ledger.dead_letter(event.event_id, "too many", own)
    assert not ledger.dead_letter(event.event_id, "too many", own)
    (flat,) = [entry[1] for entry in book.stream("a").command("XRANGE", "otto:scale:dead", "-", "+")]
    named = event.event_id.encode()
    assert flat[:6] == [b"event_id", named, b"task_id", named, b"error", b"too many"]
    assert flat[8:] == [word for name, value in own for word in (b"field:" + name, value)]
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 0


def test_dead_letter_of_thousands_of_fields_is_fenced_like_any_other(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    own = [(b"f%d" % i, b"") for i in range(5000)]
    assert not ledger.dead_letter(event.event_id, "somebody owns it", own)
    assert book.redis.xlen("otto:scale:dead") == 0
    other = add(book)
    book.redis.set("otto:scale:dead", "of another kind")
    with pytest.raises(RedisError):
        ledger.dead_letter(other.event_id, "no place for it", own)
    assert ledger.owner_of(other.event_id) is None
    book.redis.flushall()
    with pytest.raises(Wiped):
        ledger.dead_letter(other.event_id, "emptied", own)
    assert book.redis.xlen("otto:scale:dead") == 0


def test_dead_letter_of_thousands_of_fields_is_written_once_by_two_at_once(book: Book) -> None:
    ledgers = [book.ledger(), book.ledger()]
    own = [(b"f%d" % i, b"") for i in range(4000)]
    events = [add(book) for _ in range(20)]

    def write(ledger: Ledger, event_id: str) -> bool:
        for _ in range(100):
            with suppress(RedisUnavailable):  # the other came between the look and the transaction
                return ledger.dead_letter(event_id, "too many", own)
        raise AssertionError("it was never written")

    with ThreadPoolExecutor(2) as pool:
        for event in events:
            written = list(pool.map(lambda ledger, i=event.event_id: write(ledger, i), ledgers))
            assert sorted(written) == [False, True]
    assert book.redis.xlen("otto:scale:dead") == len(events)


def test_group_made_anew_starts_at_the_low_water_mark(book: Book) -> None:
    ledger, old = book.ledger(), add(book, count=1)
    read(book)
    owned(ledger, old)
    ledger.record(begin(ledger, old, 0), 1, "uid-0-0", DONE)
    assert ledger.upkeep.expire(3600, 100, 0).low_water == old.event_id
    book.redis.xgroup_destroy("otto:scale:events", "ottoscaler")
    new = add(book)
    assert ledger.upkeep.ensure_group()
    assert [e.id for e in read(book)] == [new.event_id]


def test_stream_made_anew_with_smaller_ids_is_read_from_its_start(book: Book) -> None:
    ledger, old = book.ledger(), add(book, "9000-0", count=1)
    read(book)
    owned(ledger, old)
    ledger.record(begin(ledger, old, 0), 1, "uid-0-0", DONE)
    ledger.upkeep.expire(3600, 100, 0)
    book.redis.delete("otto:scale:events")
    event = add(book, "1717-0")
    assert ledger.upkeep.ensure_group()
    assert [e.id for e in read(book)] == ["1717-0"]
    assert take(ledger, event).how == "taken"


def test_low_water_mark_stays_below_what_is_open_or_pending(book: Book) -> None:
    ledger = book.ledger()
    first, second = add(book, "1717-0", count=1), add(book, "1718-0", count=1)
    read(book)
    owned(ledger, second)
    ledger.record(begin(ledger, second, 0), 1, "uid-0-0", DONE)
    assert ledger.upkeep.expire(3600, 100, 0).low_water == "1716-18446744073709551615"
    owned(ledger, first)
    ledger.record(begin(ledger, first, 0), 1, "uid-0-0", DONE)
    assert ledger.upkeep.expire(0, 100, 0) == Expired("1718-0", 2, 0, 2, 2)
    assert take(ledger, first).how == "done"


def test_low_water_mark_stays_below_an_open_event_whose_entry_a_stranger_has_acknowledged(book: Book) -> None:
    ledger, event = book.ledger(), add(book, "1717-0", count=1)
    read(book)
    owned(ledger, event)
    book.redis.xack("otto:scale:events", "ottoscaler", event.event_id)
    assert ledger.upkeep.expire(0, 100, 0).low_water == "1716-18446744073709551615"


@pytest.mark.parametrize("other", ["a-group-before-ours", "z-group-behind-ours"])
def test_trimming_never_takes_what_another_group_needs(book: Book, other: str) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    book.redis.xgroup_create("otto:scale:events", other, "0")
    read(book)
    owned(ledger, event)
    ledger.record(begin(ledger, event, 0), 1, "uid-0-0", DONE)
    for _ in range(3):  # the head is trimmed a retention time after the mark has passed it
        assert ledger.upkeep.expire(0, 100, 0).entries == 0
    assert book.redis.xlen("otto:scale:events") == 1


def test_look_ahead_finds_unread_scale_downs_only(book: Book) -> None:
    ledger = book.ledger()
    read_one = add_down(book, "x")
    read(book)
    for _ in range(30):
        add(book)
    unread = add_down(book, "y")
    last, found = ledger.scale_downs.look_ahead("0-0", 20)
    assert found == []
    assert last
    _, found = ledger.scale_downs.look_ahead(last, 20)
    assert [e.id for e in found] == [unread.event_id]
    assert read_one.event_id not in [e.id for e in found]
