"""Entries that were removed from the stream before they were read are told once, and nothing else is."""

from __future__ import annotations

import hashlib
import re
from unittest.mock import Mock

import pytest

from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.errors import NoAnswer
from ottoscaler.ledger import script_calls
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.replicas import DELETED_UNREAD
from ottoscaler.model import ScaleDown, ScaleUp, WorkerId
from ottoscaler.status.backlog import backlog
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.ledger_steps import DONE
from tests.harness.redis_fixture import Book, book, counts_what_is_added, redis_server

__all__ = ["book", "redis_server"]

STREAM, DEAD = "otto:scale:events", "otto:scale:dead"
PREFIX = f"{STREAM}:ottoscaler:"
UP = {"type": "scale_up", "pod_count": 1}


@pytest.fixture
def ledger(book: Book) -> Ledger:
    """On a Redis that counts what is added."""
    if not counts_what_is_added(book.redis):
        pytest.skip("Redis before 7.0 does not count what is added")
    return book.ledger()


@pytest.fixture
def uncounted(book: Book, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """On Redis 6.2, or as if on it."""
    real = script_calls._script

    def hiding(name: str) -> tuple[str, str]:
        text = real(name)[0].replace("s['entries-added']", "s['not-known']")
        return text, hashlib.sha1(text.encode()).hexdigest()

    monkeypatch.setattr(script_calls, "_script", hiding)
    return book.ledger()


@pytest.fixture(params=["counted", "uncounted"])
def either(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = request.getfixturevalue("ledger" if request.param == "counted" else "uncounted")
    return found


def add(book: Book, count: int = 1) -> list[str]:
    return [str(book.redis.xadd(STREAM, UP)) for _ in range(count)]


def read(book: Book, count: int = 100, name: str = "a") -> list[str]:
    found = book.redis.xreadgroup("ottoscaler", name, {STREAM: ">"}, count=count)
    return [entry_id for _, entries in found for entry_id, _ in entries]


def take(ledger: Ledger, *ids: str) -> None:
    for event_id in ids:
        ledger.take(ScaleUp(event_id, "t", 1), Entry(event_id, ((b"type", b"scale_up"),)))


def finish(ledger: Ledger, *ids: str) -> None:
    take(ledger, *ids)
    for event_id in ids:
        worker = WorkerId(event_id, 0, 0)
        ledger.start(worker, 1)
        ledger.record(worker, 1, "", DONE)


def settle(book: Book, ledger: Ledger, count: int = 1) -> None:
    """Some entries are added, read and taken."""
    add(book, count)
    take(ledger, *read(book))


def lost(ledger: Ledger) -> int:
    return ledger.upkeep.find_lost().entries


def told(book: Book) -> list[str]:
    return [fields["error"] for _, fields in book.redis.xrange(DEAD)]


def test_trimmed_unread_entries_are_told_by_one_dead_letter(book: Book, ledger: Ledger) -> None:
    """12 added, 8 gone, once without a word."""
    before = add(book)
    take(ledger, *read(book))
    assert lost(ledger) == 0
    ids = [str(book.redis.xadd(STREAM, UP, maxlen=4, approximate=False)) for _ in range(12)]
    assert lost(ledger) == 8
    assert lost(ledger) == 0
    sentence = (
        f"8 entries between {before[0]} and {ids[8]} were removed from the stream before they were read; "
        f"{before[0]} itself had been handed out"
    )
    assert told(book) == [sentence]
    take(ledger, *read(book))
    assert lost(ledger) == 0, "those that were left are read now"


@pytest.mark.parametrize("left", [0, 2])
def test_entries_that_were_trimmed_away_unread_are_not_said_to_wait(
    book: Book, ledger: Ledger, left: int
) -> None:
    """Redis 7.0 counts them for ever, so a stream with nothing unread raised OttoscalerBacklog."""
    settle(book, ledger)
    add(book, 5)
    book.redis.xtrim(STREAM, maxlen=left, approximate=False)
    assert said_to_wait(ledger) == left
    take(ledger, *read(book))
    settle(book, ledger)
    assert said_to_wait(ledger) == 0


def test_no_entry_leaves_redis_to_tell_how_many_wait(book: Book, ledger: Ledger) -> None:
    """A producer may add one of hundreds of megabytes, and each replica asks every 3 s."""
    settle(book, ledger)
    book.redis.xadd(STREAM, UP | {"large": "x" * 2_000_000})
    before = book.redis.info("stats")["total_net_output_bytes"]
    assert said_to_wait(ledger) == 1
    assert book.redis.info("stats")["total_net_output_bytes"] - before < 200_000


def test_what_redis_counts_stands_where_it_does_not_say_whether_anything_waits(
    book: Book, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow answer must neither fail ``status`` nor keep the look for lost entries from its turn."""
    settle(book, ledger)
    add(book, 2)
    monkeypatch.setattr(RedisClient, "script", Mock(side_effect=NoAnswer("it took too long")))
    assert said_to_wait(ledger) == 2


def said_to_wait(ledger: Ledger) -> int:
    metrics = Metrics()
    Housekeeping(ledger, metrics, retention=1.0, dead_retention=1.0, logs_total_bytes=65536).measure()
    (lag,) = re.findall(r"^ottoscaler_stream_lag (\d+)\.0$", metrics.exposition()[0].decode(), re.MULTILINE)
    assert backlog(ledger.redis, 0)["lag"] == int(lag)
    return int(lag)


def test_loss_while_no_replica_ran_is_told_by_the_next_one(book: Book, ledger: Ledger) -> None:
    settle(book, ledger)
    add(book, 5)
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    add(book, 2)
    successor = book.ledger("a", "2")
    take(successor, *read(book))
    assert lost(successor) == 5
    assert len(told(book)) == 1


def test_one_unread_entry_that_is_deleted_is_told(book: Book, ledger: Ledger) -> None:
    settle(book, ledger)
    lost(ledger)
    (gone,) = add(book)
    book.redis.xdel(STREAM, gone)
    assert lost(ledger) == 1
    assert f" and {gone} was removed from the stream before it was read" in told(book)[0]
    assert told(book)[0].startswith("1 entry between ")


def test_entry_that_was_handed_out_and_removed_is_told_by_its_own_id(book: Book, either: Ledger) -> None:
    """Redis 7 drops it from the pending list as it is claimed: it was told as one between its own id and the
    newest."""
    settle(book, either)
    gone, kept = add(book, 2)
    assert read(book, name="dead") == [gone, kept]
    assert lost(either) == 0
    book.redis.xdel(STREAM, gone)
    claimed, deleted = either.replicas.claim_pending("dead", "", "", 10)
    if book.redis.info("server")["redis_version"].startswith(
        "6."
    ):  # it comes over, and is found out when read
        claimed.remove(gone)
        either.dead_letter(gone, DELETED_UNREAD, [])
    else:
        assert deleted == [gone]
    assert claimed == [kept]
    take(either, kept)
    add(book)
    take(either, *read(book))
    assert lost(either) == 0
    assert [(fields["event_id"], fields["error"]) for _, fields in book.redis.xrange(DEAD)] == [
        (gone, DELETED_UNREAD)
    ]
    assert either.replicas.forget("dead", "", ""), "nothing of it is pending"


def test_finished_entry_that_was_handed_out_again_and_removed_is_no_loss(book: Book, either: Ledger) -> None:
    keeper = Housekeeping(either, Metrics(), retention=0.0, dead_retention=3600.0, logs_total_bytes=65536)
    (over,) = add(book)
    book.redis.xgroup_create(STREAM, "others", "0")  # keeps the entry on the stream
    finish(either, *read(book))
    for _ in range(3):
        keeper.step()
    book.redis.xgroup_setid(STREAM, "ottoscaler", "0")
    assert read(book, name="dead") == [over]
    book.redis.xdel(STREAM, over)
    either.replicas.claim_pending("dead", "", "", 10)
    assert told(book) == []


def test_range_of_what_a_group_made_anew_was_to_read_again_begins_at_its_mark(
    book: Book, ledger: Ledger
) -> None:
    others = add(book, 3)
    finish(ledger, *read(book))
    Housekeeping(ledger, Metrics(), retention=60.0, dead_retention=3600.0, logs_total_bytes=65536).step()
    fresh = add(book, 2)
    read(book)  # and its reader never takes them
    assert lost(ledger) == 0
    book.redis.xgroup_destroy(STREAM, "ottoscaler")
    ledger.upkeep.ensure_group()
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert lost(ledger) == 2
    assert f"between {others[-1]} and {fresh[-1]} were" in told(book)[0]


def test_what_was_removed_before_there_was_a_group_is_nobodys_loss(book: Book) -> None:
    if not counts_what_is_added(book.redis):
        pytest.skip("Redis before 7.0 does not count what is added")
    for _ in range(20):
        book.redis.xadd(STREAM, UP, maxlen=5, approximate=False)
    ledger = book.ledger()
    assert lost(ledger) == 0
    take(ledger, *read(book))
    assert lost(ledger) == 0
    add(book, 3)
    book.redis.xtrim(STREAM, maxlen=1, approximate=False)
    assert lost(ledger) == 2


def test_entries_that_were_read_may_be_trimmed_at_any_time(book: Book, either: Ledger) -> None:
    add(book, 6)
    first, *others = read(book, 3)
    take(either, first)
    book.redis.xtrim(STREAM, maxlen=3, approximate=False)
    assert lost(either) == 0, "two of them are on their way to be taken"
    take(either, *others)
    assert lost(either) == 0
    finish(either, *read(book))
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert lost(either) == 0


def test_own_housekeeping_is_no_loss(book: Book, either: Ledger) -> None:
    metrics = Metrics()
    keeper = Housekeeping(either, metrics, retention=0.0, dead_retention=3600.0, logs_total_bytes=65536)
    add(book, 10)
    first, *rest = read(book, 8)
    take(either, first)
    finish(either, *rest)
    for _ in range(3):
        keeper.step()
    finish(either, first, *read(book))
    for _ in range(3):
        keeper.step()
    assert book.redis.xlen(STREAM) == 0
    assert told(book) == []
    assert "\nottoscaler_entries_lost_total 0.0\n" in metrics.exposition()[0].decode()


def goes_on(book: Book, ledger: Ledger, keeper: Housekeeping) -> None:
    keeper.step()
    add(book)
    again = read(book)
    keeper.step()
    take(ledger, *again)
    keeper.step()


def test_group_made_anew_or_set_back_raises_no_alarm(book: Book, either: Ledger) -> None:
    keeper = Housekeeping(either, Metrics(), retention=0.0, dead_retention=3600.0, logs_total_bytes=65536)
    add(book, 6)
    first, *rest = read(book)
    take(either, first)
    finish(either, *rest[:3])
    keeper.step()
    for _ in range(2):
        book.redis.xgroup_destroy(STREAM, "ottoscaler")
        either.upkeep.ensure_group()
        goes_on(book, either, keeper)
        book.redis.xgroup_setid(STREAM, "ottoscaler", "0")
        goes_on(book, either, keeper)
    assert told(book) == []


def test_scale_down_that_is_applied_ahead_of_its_turn_raises_no_alarm(book: Book, either: Ledger) -> None:
    settle(book, either)
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    add(book, 2)
    down = ScaleDown(book.redis.xadd(STREAM, {"type": "scale_down", "task_id": "t"}), "t")
    assert lost(either) == 0
    either.take(down, Entry(down.event_id, ((b"type", b"scale_down"),)))
    assert lost(either) == 0
    either.scale_downs.finish(down.event_id, 1)
    assert lost(either) == 0
    entries = read(book)
    take(either, *entries[:2])
    assert lost(either) == 0
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert lost(either) == 0


def test_loss_beside_a_scale_down_that_was_applied_ahead_is_told_whole(book: Book, ledger: Ledger) -> None:
    settle(book, ledger)
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    lost(ledger)
    add(book, 3)
    down = ScaleDown(book.redis.xadd(STREAM, {"type": "scale_down", "task_id": "t"}), "t")
    ledger.take(down, Entry(down.event_id, ((b"type", b"scale_down"),)))
    book.redis.xtrim(STREAM, maxlen=2, approximate=False)
    assert lost(ledger) == 2


def test_entry_that_a_stranger_acknowledged_is_no_loss(book: Book, either: Ledger) -> None:
    settle(book, either)
    lost(either)
    add(book, 2)
    book.redis.xack(STREAM, "ottoscaler", *read(book, name="stranger"))
    assert lost(either) == 0
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert lost(either) == 0


def test_stream_that_was_deleted_and_made_anew_raises_no_alarm(book: Book, ledger: Ledger) -> None:
    settle(book, ledger, 5)
    lost(ledger)
    book.redis.delete(STREAM)
    add(book, 3)
    ledger.upkeep.ensure_group()
    assert lost(ledger) == 0
    take(ledger, *read(book))
    assert lost(ledger) == 0
    add(book, 2)
    book.redis.xtrim(STREAM, maxlen=1, approximate=False)
    assert lost(ledger) == 1


def test_dead_letters_and_expired_events_count_as_read(book: Book, either: Ledger) -> None:
    add(book, 3)
    bad, late = read(book, 2)
    either.dead_letter(bad, "it is bad", [])
    either.dead_letter(late, "expired", [])
    book.redis.xtrim(STREAM, maxlen=1, approximate=False)
    assert lost(either) == 0
    assert [re.match(r"\d+ entries", error) for error in told(book)] == [None, None]


# --- on a Redis that does not count what is added


def test_without_a_count_unread_entries_that_were_seen_are_told_as_one_at_least(
    book: Book, uncounted: Ledger
) -> None:
    before = add(book)
    take(uncounted, *read(book))
    assert lost(uncounted) == 0
    add(book, 3)
    assert lost(uncounted) == 0
    kept = add(book, 2)
    book.redis.xtrim(STREAM, maxlen=2, approximate=False)
    assert lost(uncounted) == 1
    assert lost(uncounted) == 0
    assert told(book) == [
        f"at least 1 entry between {before[0]} and {kept[0]} was removed from the stream before it was read; "
        f"{before[0]} itself had been handed out"
    ]
    take(uncounted, *read(book))
    assert lost(uncounted) == 0


def test_without_a_count_a_stream_that_was_emptied_unread_is_told(book: Book, uncounted: Ledger) -> None:
    settle(book, uncounted)
    assert lost(uncounted) == 0
    add(book, 3)
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert lost(uncounted) == 1, "nobody had seen the others"
    add(book)
    assert lost(uncounted) == 0
    last = add(book)
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert lost(uncounted) == 2, "the one that was seen, and the newest"
    assert f" and {last[0]} were removed" in told(book)[-1]
    add(book)
    take(uncounted, *read(book))
    assert lost(uncounted) == 0


def test_without_a_count_what_was_removed_before_there_was_a_group_is_nobodys_loss(
    book: Book, uncounted: Ledger
) -> None:
    book.redis.delete(STREAM)
    add(book, 3)
    book.redis.xtrim(STREAM, maxlen=0, approximate=False)
    uncounted.upkeep.ensure_group()
    assert lost(uncounted) == 0
    add(book)
    take(uncounted, *read(book))
    assert lost(uncounted) == 0
