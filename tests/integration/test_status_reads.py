"""What the status page reads of entries that are larger than a replica can hold, on a real Redis."""

from __future__ import annotations

import json

import pytest

from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.status.dead_letters import DeadLetters
from ottoscaler.status.event_results import ResultsMemory
from ottoscaler.status.events import event_fields
from ottoscaler.status.search import search
from ottoscaler.status.story import story
from ottoscaler.status.streams import MOST_BYTES, MOST_FIELDS, cut_entries
from ottoscaler.status.untold import letter_told
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]

LARGE = 5_000_000
STREAM, DEAD = "otto:scale:events", "otto:scale:dead"
MOST_TOLD = 10 * MOST_BYTES


@pytest.fixture
def page(book: Book) -> RedisClient:
    book.ledger()
    return book.stream()


def send(book: Book, **more: str) -> str:
    return str(book.redis.xadd(STREAM, {"type": "scale_up", "task_id": "build-17", **more}))


def test_large_unread_entry_is_found_and_told_by_its_beginning(book: Book, page: RedisClient) -> None:
    event_id = send(book, note="x" * LARGE, profile="gpu")
    fields = dict(event_fields(page, event_id))
    assert (fields["task_id"], fields["note"], fields["profile"]) == ("build-17", "x" * 200, "gpu")
    for text in (event_id, "BUILD"):
        assert [each["event_id"] for each in search(page, text)["found"]] == [event_id]
    told = story(page, book.settings.instance, ResultsMemory(page), event_id)
    assert told is not None
    assert told["status"] == "not read yet"
    assert len(json.dumps(told)) < MOST_TOLD


def test_entry_of_very_many_fields_is_told_by_the_first_ones(book: Book, page: RedisClient) -> None:
    event_id = send(book, **{f"n{number}": "" for number in range(50_000)})
    (entry,) = cut_entries(page, "events", event_id, event_id, 1)
    assert len(entry.fields or ()) == MOST_FIELDS
    assert entry.cut_bytes > 50_000
    (entry,) = cut_entries(page, "events", send(book), "+", 1)
    assert entry.cut_bytes == 0


def test_large_dead_letter_says_that_it_was_cut(book: Book, page: RedisClient) -> None:
    about = {"event_id": "1-0", "task_id": "t", "error": "note: invalid value 's3cr3t...'", "at": "now"}
    large = {"field:type": "scale_up", "field:note": "s3cr3t" * (LARGE // 6)}
    small = {"field:type": "scale_up", "field:note": "short"}
    for more in (large, small):
        book.redis.xadd(DEAD, {**about, **more})
    newest, cut = DeadLetters(page).newest_cut(20)
    assert [name for name, _ in newest.fields] == ["type", "note"]
    assert cut.fields[0] == ("type", "scale_up")
    assert cut.field("ottoscaler.io/omitted").startswith("5000")
    told = letter_told(cut.document())
    assert "s3cr3t" not in json.dumps(told)
    assert told["error"] == "note: invalid value '***'"
    assert len(json.dumps(told)) < MOST_TOLD


def test_quotation_in_a_cut_letter_is_hidden_as_its_value_may_be_what_was_left_out(
    book: Book, page: RedisClient
) -> None:
    many = {f"field:n{number}": "" for number in range(MOST_FIELDS)}
    error = {"event_id": "1-0", "error": "last: invalid value 's3cr3t'"}
    book.redis.xadd(DEAD, {**error, **many, "field:last": "s3cr3t"})
    (cut,) = DeadLetters(page).newest_cut(1)
    assert letter_told(cut.document())["error"] == "last: invalid value '***'"
