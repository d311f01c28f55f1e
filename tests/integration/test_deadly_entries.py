"""An entry that kills whoever reads it: the third reader is spared, and its neighbours run."""

from __future__ import annotations

from typing import Any

from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import ScaleUp
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import LEASE

__all__ = ["book", "redis_server"]

STREAM, GROUP = "otto:scale:events", "ottoscaler"
HANDED = "otto:scale:events:ottoscaler:handed"


class Reader:
    """One life of a replica that always has the same name: it reads its pending entries, or dies of one."""

    def __init__(self, book: Book, incarnation: str) -> None:
        self.ledger: Ledger = book.ledger("a", incarnation)
        self.stream: RedisClient = book.stream("a")

    def read_new(self) -> list[str]:
        return [entry.id for entry in self.stream.read(count=4, block_ms=10)]

    def read_own(self, *, left: bool = True, deadly: str = "") -> tuple[list[str], list[str]]:
        """What is read and taken until the deadly one, and what is dead-lettered unread."""
        behind = "0"
        taken: list[str] = []
        given_up: list[str] = []
        while True:
            count, spared, _ = self.ledger.replicas.next_pending(behind, 4, left_by_the_dead=left)
            given_up += spared
            entries = self.stream.read(count=count, behind=behind) if count else []
            if deadly in [entry.id for entry in entries]:
                return taken, given_up
            for entry in entries:
                self.ledger.take(ScaleUp(entry.id, "t", 1), Entry(entry.id, ((b"type", b"scale_up"),)))
            if not entries and not spared:
                return taken, given_up
            taken += [entry.id for entry in entries]
            behind = entries[-1].id if entries else behind


def add(book: Book, count: int) -> list[str]:
    fields: Any = {"type": "scale_up", "pod_count": 1}
    return [str(book.redis.xadd(STREAM, fields)) for _ in range(count)]


def test_who_would_be_the_third_reader_is_spared_and_the_neighbours_are_read(book: Book) -> None:
    ids = add(book, 4)
    deadly = ids[1]
    first = Reader(book, "1")
    assert first.read_new() == ids  # and dies
    assert Reader(book, "2").read_own(deadly=deadly) == ([ids[0]], [])  # and dies
    assert Reader(book, "3").read_own(deadly=deadly) == ([ids[0], ids[2], ids[3]], [deadly])
    (letter,) = [fields for _, fields in book.redis.xrange("otto:scale:dead")]
    assert letter["event_id"] == deadly
    assert "two replicas died" in letter["error"]
    assert book.redis.xpending(STREAM, GROUP)["pending"] == 3
    assert not book.redis.exists(HANDED)


def test_lost_replies_are_no_deaths(book: Book) -> None:
    (event_id,) = add(book, 1)
    reader = Reader(book, "1")
    reader.read_new()
    for _ in range(5):
        assert reader.read_own(left=False, deadly=event_id) == ([], [])
    assert Reader(book, "2").read_own() == ([event_id], [])


def test_entries_that_were_taken_before_are_read_together(book: Book) -> None:
    ids = add(book, 3)
    reader = Reader(book, "1")
    reader.read_new()
    assert reader.read_own() == (ids, [])
    assert Reader(book, "2").ledger.replicas.next_pending("0", 4, left_by_the_dead=True) == (3, [], "0")


def test_an_entry_that_killed_two_readers_is_dead_lettered_by_the_next_replica(place: Sandbox) -> None:
    deadly = place.scale_up()
    place.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    assert place.redis.xreadgroup(GROUP, "replica", {STREAM: ">"}, count=10)
    place.redis.hset(HANDED, deadly, "1:the-second-reader")
    well = place.scale_up()
    place.start("replica", OTTO_LEASE_SECONDS=LEASE)
    assert "two replicas died" in place.wait_dead(deadly)["error"]
    assert place.wait_event(well)["status"] == "succeeded"
    assert not place.results("worker", deadly)
