"""The ledger's scripts on a real Redis: what is atomic, what is fenced, and what may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from ottoscaler.errors import Fenced, RedisError, RedisUnavailable, Wiped
from ottoscaler.ledger.ledger import OUTLIVED_MS, Ledger
from ottoscaler.ledger.records import Entry, Record, Taken
from ottoscaler.ledger.upkeep import Expired
from ottoscaler.model import Outcome, Reason, ScaleDown, ScaleUp, Status, WorkerId
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.waiting import wait_for

__all__ = ["book", "redis_server"]

DONE = Outcome(Status.SUCCEEDED, Reason.COMPLETED, pod="p", finished_at="2026-01-01T00:00:00.000Z")
FAILED = Outcome(Status.FAILED, Reason.ERROR, "it broke", 3, pod="p")


def add(book: Book, entry_id: str = "*", task: str = "t", count: int = 2) -> ScaleUp:
    fields = {"type": "scale_up", "pod_count": count, "task_id": task}
    event_id = str(book.redis.xadd("otto:scale:events", fields, id=entry_id))
    return ScaleUp(event_id, task, count, metadata={"k": "v"})


def add_down(book: Book, task: str | None = None, count: int | None = None) -> ScaleDown:
    fields: dict[str, Any] = {
        "type": "scale_down",
        **({"task_id": task} if task else {}),
        **({"pod_count": count} if count else {}),
    }
    return ScaleDown(str(book.redis.xadd("otto:scale:events", fields)), task, count)


def read(book: Book, name: str = "a") -> list[Entry]:
    return book.stream(name).read(count=100)


def take(ledger: Ledger, event: ScaleUp | ScaleDown) -> Taken:
    entry = Entry(
        event.event_id, ((b"type", event.type.encode()), (b"task_id", (event.task_id or "").encode()))
    )
    return ledger.take(event, entry)


def owned(ledger: Ledger, event: ScaleUp | ScaleDown) -> Record:
    record = take(ledger, event).record
    assert record is not None
    return record


def begin(ledger: Ledger, event: ScaleUp, index: int, epoch: int = 1, attempt: int = 0) -> WorkerId:
    worker = WorkerId(event.event_id, index, attempt)
    assert ledger.start(worker, epoch).word == "ok"
    assert ledger.created(worker, epoch, f"uid-{index}-{attempt}").word == "ok"
    return worker


def test_last_result_ends_the_event_and_acknowledges_it_in_one_step(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    read(book)
    owned(ledger, event)
    first, last = begin(ledger, event, 0), begin(ledger, event, 1)
    assert ledger.record(first, 1, "uid-0-0", DONE).word == "ok"
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 1
    assert book.results("event") == []
    answer = ledger.record(last, 1, "uid-1-0", FAILED)
    assert (answer.word, answer.detail) == ("ended", "partial")
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 0
    (entry,) = book.results("event")
    assert (entry["status"], entry["succeeded"], entry["failed"]) == ("partial", "1", "1")


def test_repeated_record_tells_the_result_once(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    ledger.record(worker, 1, "uid-0-0", DONE)
    assert ledger.record(worker, 1, "uid-0-0", FAILED).word == "recorded"
    assert [w["status"] for w in book.results("worker")] == ["succeeded"]


def test_index_with_a_result_never_starts_again(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    ledger.record(begin(ledger, event, 0), 1, "uid-0-0", DONE)
    assert ledger.start(WorkerId(event.event_id, 0, 0), 1).word == "recorded"
    assert ledger.start(WorkerId(event.event_id, 0, 1), 1).word == "recorded"


def test_finished_event_is_acknowledged_and_not_run_when_it_is_delivered_again(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    read(book)
    owned(ledger, event)
    ledger.record(begin(ledger, event, 0), 1, "uid-0-0", DONE)
    book.redis.xgroup_setid("otto:scale:events", "ottoscaler", "0")
    assert [e.id for e in read(book)] == [event.event_id]
    assert take(ledger, event).how == "done"
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 0


def test_second_pod_of_an_attempt_is_told_from_the_first(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    answer = ledger.created(worker, 1, "another-uid")
    assert (answer.word, answer.detail) == ("duplicate", "uid-0-0")
    assert ledger.record(worker, 1, "another-uid", DONE).word == "stale"
    assert book.results("worker") == []


def test_owner_that_was_taken_over_can_write_nothing(book: Book) -> None:
    old, new, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(old, event)
    worker = begin(old, event, 0)
    beat = str(book.redis.hget("otto:scale:events:ottoscaler:replica:a", "beat"))
    taken = new.take_over(event.event_id, "a/1", beat=beat)
    assert taken.record is not None
    assert taken.record.epoch == 2
    assert taken.record.indexes[0].uid == "uid-0-0"
    writes: list[Callable[[], object]] = [
        lambda: old.start(WorkerId(event.event_id, 1, 0), 1),
        lambda: old.created(worker, 1, "uid-0-0"),
        lambda: old.record(worker, 1, "uid-0-0", DONE),
        lambda: old.retry(worker, 1, "uid-0-0", 1.0, ""),
    ]
    for write in writes:
        with pytest.raises(Fenced):
            write()
    assert new.record(worker, 2, "uid-0-0", DONE).word == "ok"


def test_owner_whose_heart_beats_is_not_taken_over(book: Book) -> None:
    old, new, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(old, event)
    beat = str(book.redis.hget("otto:scale:events:ottoscaler:replica:a", "beat"))
    old.replicas.beat("{}", survey=False)
    assert new.take_over(event.event_id, "a/1", beat=beat).how == "alive"


def test_earlier_incarnation_is_taken_over_at_once(book: Book) -> None:
    old, event = book.ledger("a", "1"), add(book)
    owned(old, event)
    new = book.ledger("a", "2")
    assert new.take_over(event.event_id, "a/1", beat="whatever").how == "taken"


def test_entry_of_a_live_owner_is_left_alone_by_others(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    assert (take(second, event).how, take(second, event).detail) == ("owned", "a/1")
    assert take(first, event).how == "mine"


def test_handed_over_event_is_taken_with_a_new_epoch(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    assert first.release([(event.event_id, 1)]) == [event.event_id]
    survey = second.replicas.beat("{}", survey=False)
    assert survey is not None
    assert survey.offers == (event.event_id,)
    taken = second.take_over(event.event_id, "", offered=True)
    assert taken.record is not None
    assert taken.record.epoch == 2
    assert taken.record.strikes == 0


def test_ledger_tells_who_owned_an_event_before(book: Book) -> None:
    """Any of them may have created Pods of it, which bear its incarnation."""
    event = add(book)
    owned(book.ledger("a", "a1"), event)
    first = book.ledger("b", "b1").take_over(event.event_id, "a/a1", beat=beat_of(book, "a")).record
    assert first is not None
    assert first.before == ("a1",)
    book.ledger("b", "b1").release([(event.event_id, first.epoch)])
    for name, incarnation, before in (("c", "c1", ("a1", "b1")), ("b", "b1", ("a1", "b1", "c1"))):
        ledger = book.ledger(name, incarnation)
        taken = ledger.take_over(event.event_id, "", offered=True).record
        assert taken is not None
        assert taken.before == before
        ledger.release([(event.event_id, taken.epoch)])


def test_owners_of_an_event_are_not_known_where_there_were_too_many_or_an_earlier_version(book: Book) -> None:
    key, event = "otto:scale:events:ottoscaler:event:", add(book)
    owned(book.ledger("a", "a1"), event)
    book.redis.hset(key + event.event_id, "before", " ".join(f"{number:016x}" for number in range(64)))
    taken = book.ledger("b", "b1").take_over(event.event_id, "a/a1", beat=beat_of(book, "a")).record
    assert taken is not None
    assert taken.before is None
    book.redis.hdel(key + event.event_id, "before")
    taken = book.ledger("c", "c1").take_over(event.event_id, "b/b1", beat=beat_of(book, "b")).record
    assert taken is not None
    assert taken.before is None


def beat_of(book: Book, name: str) -> str:
    return str(book.redis.hget(f"otto:scale:events:ottoscaler:replica:{name}", "beat"))


def test_offer_is_withdrawn_by_the_first_start(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    assert first.offer(event.event_id, 1)
    begin(first, event, 0)
    assert second.take_over(event.event_id, "a/1", offered=True).how == "moved"


def test_full_replica_leaves_an_event_that_has_not_begun(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    first.release([(event.event_id, 1)])
    assert second.take_over(event.event_id, "", offered=True, room=False).how == "full"


def die(book: Book, event: ScaleUp, generation: int) -> Record:
    """The owner dies while it tries to create a Pod, and its next incarnation takes over."""
    ledger = book.ledger("a", str(generation))
    if generation > 1:
        ledger.skip(WorkerId(event.event_id, 1, generation - 2), generation)
    assert ledger.start(WorkerId(event.event_id, 1, generation - 1), generation).word == "ok"
    new = book.ledger("a", str(generation + 1))
    record = new.take_over(event.event_id, f"a/{generation}").record
    assert record is not None
    return record


def test_deaths_without_progress_are_strikes_and_progress_forgives(book: Book) -> None:
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    assert die(book, event, 1).strikes == 1
    record = die(book, event, 2)
    assert record.strikes == 2
    third = book.ledger("a", "3")
    begin(third, event, 0, epoch=record.epoch)
    assert die(book, event, 3).strikes == 2


def test_create_that_its_owner_outlived_is_not_what_it_died_of(book: Book) -> None:
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    ledger.start(WorkerId(event.event_id, 1, 0), 1)
    key = f"otto:scale:events:ottoscaler:event:{event.event_id}"
    book.redis.hset(key, "tried", int(book.redis.hget(key, "tried")) - OUTLIVED_MS - 1)
    assert ledger.replicas.beat("{}", survey=False)
    taken = book.ledger("a", "2").take_over(event.event_id, "a/1").record
    assert taken is not None
    assert taken.strikes == 0


def test_look_for_a_pod_that_was_outlived_is_no_try(book: Book) -> None:
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    assert die(book, event, 1).strikes == 1
    ledger = book.ledger("a", "2")
    worker = WorkerId(event.event_id, 1, 0)
    assert ledger.start(worker, 2).word == "again"
    assert ledger.skip(worker, 2).word == "ok"
    taken = book.ledger("a", "3").take_over(event.event_id, "a/2").record
    assert taken is not None
    assert taken.strikes == 1


def test_event_that_only_waited_is_no_suspect_when_its_owner_dies(book: Book) -> None:
    """Its owner died of something else: of another event, or of nothing but a crash loop."""
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    taken = book.ledger("a", "2").take_over(event.event_id, "a/1").record
    assert taken is not None
    assert taken.strikes == 0


def test_poisoned_event_is_dead_lettered_with_its_history_and_cancelled(book: Book) -> None:
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    record = die(book, event, 1)
    ledger = book.ledger("a", "2")
    assert ledger.poison(record, "given up")
    (dead,) = [fields for _, fields in book.redis.xrange("otto:scale:dead")]
    assert "given up" in dead["error"]
    assert "died without progress" in dead["error"]
    assert dead["field:type"] == "scale_up"
    assert dead["task_id"] == "t"
    assert [(w["index"], w["status"]) for w in book.results("worker")] == [("0", "cancelled")]
    begun = WorkerId(event.event_id, 1, 0)
    assert ledger.record(begun, record.epoch, "", FAILED).word == "cancelling"
    assert ledger.record(begun, record.epoch, "", FAILED, despite_intent=True).word == "ended"


def test_expired_event_is_told_only_at_its_first_sight(book: Book) -> None:
    ledger = book.ledger()
    event = add(book)
    late = ScaleUp(event.event_id, "t", 1, expires_at=1.0)
    assert take(ledger, late).how == "expired"
    begun = ScaleUp(add(book).event_id, "t", 1, expires_at=4e9)
    owned(ledger, begun)
    assert take(ledger, ScaleUp(begun.event_id, "t", 1, expires_at=1.0)).how == "mine"


def test_tombstone_cancels_older_scale_ups_of_the_task_and_spares_later_ones(book: Book) -> None:
    ledger = book.ledger()
    before, other, down, after = (
        add(book, task="x"),
        add(book, task="y"),
        add_down(book, "x"),
        add(book, task="x"),
    )
    owned(ledger, down)
    assert take(ledger, before).how == "cancelled"
    assert take(ledger, other).how == "taken"
    assert take(ledger, after).how == "taken"
    assert [w["status"] for w in book.results("worker")] == ["cancelled", "cancelled"]
    assert [e["status"] for e in book.results("event")] == ["cancelled"]


def test_scale_down_chooses_no_more_than_its_count_however_often_it_is_applied(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=5)
    owned(ledger, event)
    begin(ledger, event, 0)
    down = add_down(book, count=2)
    owned(ledger, down)
    order = [(event.event_id, 0), (event.event_id, 4), (event.event_id, 3)]
    assert ledger.scale_downs.cancel(down.event_id, 1, 2, order) == 2
    assert ledger.scale_downs.cancel(down.event_id, 1, 2, order) == 2
    assert ledger.scale_downs.victims(down.event_id, 1) == [(WorkerId(event.event_id, 0, 0), "uid-0-0")]
    assert [(w["index"], w["status"], w["pod"]) for w in book.results("worker")] == [("4", "cancelled", "")]


def test_result_against_a_standing_intent_has_to_be_decided(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    down = add_down(book, count=1)
    owned(ledger, down)
    ledger.scale_downs.cancel(down.event_id, 1, 1, [(event.event_id, 0)])
    answer = ledger.record(worker, 1, "uid-0-0", DONE)
    assert answer.word == "cancelling"
    assert answer.intent.by == down.event_id
    assert ledger.retry(worker, 1, "uid-0-0", 1.0, "").word == "cancelling"
    assert ledger.record(worker, 1, "uid-0-0", DONE, despite_intent=True).word == "ok"


def test_retry_is_durable_and_a_lost_reply_changes_nothing(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    assert ledger.retry(worker, 1, "uid-0-0", 0.5, "node-1").word == "ok"
    assert ledger.retry(worker, 1, "uid-0-0", 0.5, "node-1").word == "ok"
    assert ledger.record(worker, 1, "uid-0-0", DONE).word == "stale"
    begin(ledger, event, 0, attempt=1)


def test_dead_letter_is_written_once(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    read(book)
    fields = [(b"type", b"scale_up"), (b"raw", b"\xff\x00")]
    assert ledger.dead_letter(event.event_id, "it is bad", fields)
    assert not ledger.dead_letter(event.event_id, "it is bad", fields)
    assert book.redis.xlen("otto:scale:dead") == 1
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 0


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


def test_emptied_redis_is_noticed_by_every_call(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    book.redis.flushall()
    with pytest.raises(Wiped):
        ledger.start(WorkerId(event.event_id, 0, 0), 1)
    with pytest.raises(Wiped):
        ledger.replicas.beat("{}", survey=True)


def test_ledger_is_written_anew_from_memory(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=2)
    owned(ledger, event)
    book.redis.flushall()
    ledger.identity.join(ledger.join_installation("other"))
    assert ledger.reseed(event, b"[]", 7, {0: "d:0:succeeded:uid-0-0", 1: "s:0:uid-1-0"}) == ""
    assert ledger.record(WorkerId(event.event_id, 1, 0), 7, "uid-1-0", DONE).word == "ended"
    assert [e["succeeded"] for e in book.results("event")] == ["2"]


def test_result_stream_of_a_wrong_type_changes_nothing_in_the_ledger(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    book.redis.set("otto:scale:results", "somebody's")
    with pytest.raises(RedisError, match="not a stream"):
        ledger.record(worker, 1, "uid-0-0", DONE)
    book.redis.delete("otto:scale:results")
    assert ledger.record(worker, 1, "uid-0-0", DONE).word == "ended"


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


def test_trimming_never_takes_what_another_group_needs(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    book.redis.xgroup_create("otto:scale:events", "others", "0")
    read(book)
    owned(ledger, event)
    ledger.record(begin(ledger, event, 0), 1, "uid-0-0", DONE)
    assert ledger.upkeep.expire(0, 100, 0).entries == 0
    assert book.redis.xlen("otto:scale:events") == 1


def test_dead_consumers_unowned_entries_come_over_and_it_is_forgotten(book: Book) -> None:
    ledger, event = book.ledger("a"), add(book)
    read(book, "stranger")
    assert ledger.replicas.claim_pending("stranger", "", "", 10) == ([event.event_id], [])
    assert ledger.replicas.forget("stranger", "", "")
    assert [c["name"] for c in book.redis.xinfo_consumers("otto:scale:events", "ottoscaler")] == ["a"]


def test_replica_that_owns_something_is_not_forgotten(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    beat = str(book.redis.hget("otto:scale:events:ottoscaler:replica:a", "beat"))
    assert not second.replicas.forget("a", "1", beat)


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


def test_ids_beyond_53_bits_are_compared_exactly(book: Book) -> None:
    ledger = book.ledger()
    low = add(book, "18446744073709551614-7", task="x")
    down = ScaleDown("18446744073709551614-8", "x")
    book.redis.xadd("otto:scale:events", {"type": "scale_down"}, id="18446744073709551614-8")
    owned(ledger, down)
    assert take(ledger, low).how == "cancelled"


def test_first_worker_may_be_begun_as_the_event_is_taken(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    entry = Entry(event.event_id, ((b"type", b"scale_up"),))
    taken = ledger.take(event, entry, begin=True)
    assert taken.began
    assert taken.record is not None
    assert taken.record.indexes == {}
    assert ledger.start(WorkerId(event.event_id, 0, 0), 1).word == "again"
    assert ledger.start(WorkerId(event.event_id, 1, 0), 1).word == "ok"
    assert not ledger.take(event, entry, begin=True).began


def test_what_can_be_done_while_redis_takes_an_event_is_done_then(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    seen: list[bool] = []

    def meanwhile() -> None:
        wait_for(lambda: book.redis.exists(f"otto:scale:events:ottoscaler:event:{event.event_id}"), "taken")
        seen.append(True)

    assert ledger.take(event, Entry(event.event_id, ((b"type", b"scale_up"),)), meanwhile=meanwhile).record
    assert seen == [True]
