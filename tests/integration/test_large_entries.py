"""An entry that is too large to be held by its reader is cut as it is read, and dead-lettered."""

from __future__ import annotations

import re
import select
from pathlib import Path
from typing import Any

import pytest
import redis

from ottoscaler.ledger import bounded_replies
from ottoscaler.ledger.bounded_replies import MOST_BYTES
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

__all__ = ["book", "redis_server"]

STREAM, DEAD = "otto:scale:events", "otto:scale:dead"
HUGE_BYTES = 150_000_000
MOST_RSS_BYTES = 300 << 20


def read(book: Book, *, behind: str = ">") -> list[Entry]:
    stream = RedisClient(book.settings, bounded_entries=True)
    try:
        return stream.read(count=4, behind=behind, block_ms=10)
    finally:
        stream.close()


def pairs(count: int, size: int = 0) -> dict[str, str]:
    return {f"{n:06d}": "x" * size for n in range(count)}


def test_an_entry_that_fits_is_read_as_it_is(book: Book) -> None:
    book.ledger()
    fields = {"type": "scale_up", "empty": "", "big": "x" * 900_000, "end": "y"}
    book.redis.xadd(STREAM, fields)
    (entry,) = read(book)
    assert {k.decode(): v.decode() for k, v in entry.fields or ()} == fields
    assert entry.cut_bytes == 0


@pytest.mark.parametrize(
    ("fields", "kept", "size"),
    [
        ({"type": "t", "big": "x" * (MOST_BYTES + 1), "end": "y"}, 1, 13 + MOST_BYTES),
        (pairs(20, 100_000), 10, 20 * 100_006),
        (pairs(509), 500, 6 * 509),
        ({"n" * (MOST_BYTES + 7): "value"}, 0, MOST_BYTES + 12),
    ],
)
def test_of_a_larger_entry_the_first_fields_are_kept_and_its_size_is_told(
    book: Book, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], kept: int, size: int
) -> None:
    monkeypatch.setattr(bounded_replies, "PART_BYTES", 1000)
    monkeypatch.setattr(bounded_replies, "MOST_STRINGS", 1000)
    book.ledger()
    book.redis.xadd(STREAM, fields)
    book.redis.xadd(STREAM, {"type": "next"})
    for behind in (">", "0"):  # as a new one, and from our own pending list
        large, following = read(book, behind=behind)
        assert [k.decode() for k, _ in large.fields or ()] == list(fields)[:kept]
        assert large.cut_bytes == size
        assert following.fields == ((b"type", b"next"),)


def test_a_look_ahead_hands_out_what_fits_and_walks_past_the_rest(book: Book) -> None:
    ledger = book.ledger()
    down = {"type": "scale_down", "task_id": "t"}
    book.redis.xadd(STREAM, {**down, "note": "x" * (MOST_BYTES + 1)})
    small = [book.redis.xadd(STREAM, down) for _ in range(45)]
    found: list[str] = []
    behind = "0-0"
    while behind:
        behind, entries = ledger.scale_downs.look_ahead(behind, 30)
        found += [entry.id for entry in entries]
    assert found == small


def peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def add_in_all_shapes(held: Any) -> list[str]:
    """Entries that are large each in its own way, up to 150 MB; none of them can be an event."""
    up = [(b"type", b"scale_up"), (b"pod_count", b"1")]
    shapes = [
        [*up, (b"note", b"x" * HUGE_BYTES)],
        [*up, (b"n" * 1_048_000, b"")],
        [*up, *((b"%d" % n, b"") for n in range(40_000))],
        [(b"", b"")] * 70_000,
        [*up, (b"note", b"\x01" * 1_048_000)],
    ]
    words = ([word for pair in shape for word in pair] for shape in shapes)
    return [held.execute_command("XADD", STREAM, "*", *each).decode() for each in words]


def test_entries_of_up_to_150_mb_are_dead_lettered_and_harm_neither_their_reader_nor_others(
    place: Sandbox,
) -> None:
    replica = place.start()
    held: Any = redis.Redis(port=place.redis_server.port, socket_timeout=60)
    ids = add_in_all_shapes(held)
    place.wait_event(place.scale_up())
    wait_for(lambda: held.xlen(DEAD) == len(ids), "all are dead-lettered", 20)
    ((_, letter),) = held.xrange(DEAD, count=1)
    assert letter[b"event_id"].decode() == ids[0]
    assert letter[b"error"].startswith(b"the event has %d bytes; the limit is 65536" % (HUGE_BYTES + 26))
    assert (letter[b"field:type"], letter[b"field:pod_count"]) == (b"scale_up", b"1")
    assert b"field:note" not in letter
    assert peak_bytes(replica.pid) < MOST_RSS_BYTES
    assert replica.process.poll() is None
    held.close()


def test_read_after_a_pause_in_which_the_server_closed_the_connection_makes_a_new_one(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ottoscaler.ledger.kept_connection.FRESH_SECONDS", 0.0)  # as if the pause were longer
    book.ledger()
    stream = RedisClient(book.settings, bounded_entries=True)
    first = stream.client_id()
    assert stream.read(count=1, block_ms=1) == []
    assert stream.client_id() == first, "one connection, whose id tells whom to unblock"
    book.redis.client_kill_filter(_id=first)
    wait_for(lambda: select.select([stream._kept._connection._sock], [], [], 0)[0], "its end has come")
    event_id = book.redis.xadd(STREAM, {"type": "scale_up"})
    (entry,) = stream.read(count=1, block_ms=1)
    assert entry.id == event_id
    assert stream.client_id() != first
    stream.close()
