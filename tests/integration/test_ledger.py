"""The ledger's scripts on a real Redis: what is atomic, what is fenced, and what may be repeated."""

from __future__ import annotations

import pytest

from ottoscaler.errors import BrokenKey, RedisError, Wiped
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import pause
from ottoscaler.ledger.records import Entry, Taken
from ottoscaler.ledger.unbegun import UnbegunEnds
from ottoscaler.model import ScaleDown, ScaleUp, WorkerId
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.ledger_steps import DONE, FAILED, add, add_down, begin, owned, read, take
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]


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


def test_event_lasted_since_its_xadd_however_late_it_was_taken(book: Book) -> None:
    seconds, _ = book.redis.time()
    ledger, event = book.ledger(), add(book, f"{seconds - 3600}000-0", count=1)
    owned(ledger, event)
    answer = ledger.record(begin(ledger, event, 0), 1, "uid-0-0", DONE)
    assert answer.duration_ms is not None
    assert 3_600_000 <= answer.duration_ms < 3_660_000


def test_event_whose_id_is_no_time_lasted_since_it_was_taken(book: Book) -> None:
    ledger, event = book.ledger(), add(book, "5-0", count=1)
    owned(ledger, event)
    answer = ledger.record(begin(ledger, event, 0), 1, "uid-0-0", DONE)
    assert answer.duration_ms is not None
    assert answer.duration_ms < 60_000


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
    assert ledger.retry(worker, 1, "another-uid", 0.0, "").word == "stale"
    assert ledger.overtime(worker, 1, "another-uid").word == "stale"
    assert ledger.skip(worker, 1).word == "stale", "its first Pod is known"
    assert book.results("worker") == []


def test_pod_may_be_noted_again_as_after_a_lost_reply(book: Book) -> None:
    """Taken for a second one, it would be deleted."""
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    assert ledger.created(worker, 1, "uid-0-0").word == "ok"


def test_pod_that_came_late_is_not_noted_for_an_attempt_that_is_over_or_was_taken_back(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    late = WorkerId(event.event_id, 0, 0)
    ledger.start(late, 1)
    ledger.retry(late, 1, "", 0.0, "")
    begun = WorkerId(event.event_id, 0, 1)
    ledger.start(begun, 1)
    assert ledger.created(late, 1, "uid-late").word == "stale"
    assert ledger.created(begun, 1, "uid-0-1").word == "ok"
    taken_back = WorkerId(event.event_id, 1, 0)
    ledger.start(taken_back, 1)
    assert ledger.unstart(taken_back, 1).word == "ok"
    assert ledger.created(taken_back, 1, "uid-1-0").word == "stale"


def test_who_notes_a_pod_learns_that_its_worker_was_cancelled_meanwhile(book: Book) -> None:
    """The scale_down could not delete a Pod that it did not know of."""
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker = WorkerId(event.event_id, 0, 0)
    ledger.start(worker, 1)
    down = add_down(book, count=1)
    owned(ledger, down)
    ledger.scale_downs.cancel(down.event_id, 1, 1, [(event.event_id, 0)])
    assert ledger.scale_downs.victims(down.event_id, 1) == [(worker, "")]
    answer = ledger.created(worker, 1, "uid-0-0")
    assert (answer.word, answer.intent.by) == ("cancelling", down.event_id)


def test_only_a_worker_that_runs_is_ended_for_its_time_limit(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    ended = begin(ledger, event, 0)
    ledger.record(ended, 1, "uid-0-0", DONE)
    assert ledger.overtime(ended, 1, "uid-0-0").word == "recorded"
    waits = WorkerId(event.event_id, 1, 0)
    assert ledger.overtime(waits, 1, "").word == "stale", "it has not begun"
    begin(ledger, event, 1)
    ledger.retry(waits, 1, "uid-1-0", 0.0, "")
    assert ledger.overtime(waits, 1, "uid-1-0").word == "stale"
    begin(ledger, event, 1, attempt=1)
    assert ledger.overtime(waits, 1, "uid-1-1").word == "stale"


def test_worker_that_is_to_end_is_not_begun_again_by_who_adopts_it(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    overtime, cancelled = begin(ledger, event, 0), begin(ledger, event, 1)
    ledger.overtime(overtime, 1, "uid-0-0")
    answer = ledger.start(overtime, 1)
    assert (answer.word, answer.detail) == ("overtime", "uid-0-0")
    down = add_down(book, count=1)
    owned(ledger, down)
    assert ledger.scale_downs.cancel(down.event_id, 1, 1, [(event.event_id, 1)]) == 1
    answer = ledger.start(cancelled, 1)
    assert (answer.word, answer.intent.by) == ("cancelling", down.event_id)


def test_late_word_of_an_attempt_that_is_over_does_not_count_for_the_next(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    over, now, never = (WorkerId(event.event_id, *place) for place in ((0, 0), (0, 1), (1, 0)))
    ledger.start(over, 1)
    ledger.skip(over, 1)
    ledger.start(now, 1)
    for late in (over, never):
        assert ledger.record(late, 1, "", FAILED).word == "stale"
        assert ledger.retry(late, 1, "", 1.0, "").word == "stale"
        assert ledger.skip(late, 1).word == "stale"
        assert ledger.unstart(late, 1).word == "stale"
    assert ledger.record(now, 1, "", DONE).word == "ok"
    assert ledger.retry(now, 1, "", 1.0, "").word == ledger.skip(now, 1).word == "stale"


def test_attempt_that_nobody_planned_does_not_begin(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    assert ledger.start(WorkerId(event.event_id, 0, 1), 1).word == "stale"
    assert not book.redis.hexists(f"otto:scale:events:ottoscaler:event:{event.event_id}", "i:0")


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


@pytest.mark.parametrize("taken_first", ["older", "younger"])
def test_younger_of_two_scale_downs_of_a_task_is_the_one_that_counts(book: Book, taken_first: str) -> None:
    ledger, older, between = book.ledger(), add_down(book, task="t"), add(book)
    younger, later = add_down(book, task="t"), add(book)
    for down in (older, younger) if taken_first == "older" else (younger, older):
        owned(ledger, down)
    assert take(ledger, between).how == "cancelled"
    assert take(ledger, later).how == "taken"


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
    following = WorkerId(event.event_id, 0, 1)
    assert ledger.retry(following, 1, "", 0.5, "").word == "stale", "it has not begun"
    assert ledger.skip(following, 1).word == "stale"
    assert ledger.record(worker, 1, "uid-0-0", DONE).word == "stale"
    begin(ledger, event, 0, attempt=1)


def test_start_that_was_taken_back_leaves_all_as_before(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    first, second = WorkerId(event.event_id, 0, 0), WorkerId(event.event_id, 0, 1)
    assert ledger.start(first, 1).word == ledger.unstart(first, 1).word == "ok"
    assert ledger.unstart(first, 1).word == "stale", "a reply that was lost"
    assert ledger.offer(event.event_id, 1), "none has begun"
    ledger.retry(begin(ledger, event, 0), 1, "uid-0-0", 0.0, "")
    assert ledger.start(second, 1).word == ledger.unstart(second, 1).word == "ok"
    assert ledger.start(second, 1).word == "ok", "it begins, and no Pod of it is looked for"


def test_start_that_is_to_be_cancelled_is_not_taken_back(book: Book) -> None:
    """In a pause nothing begins it again, so nobody would learn that it is cancelled."""
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker, down = WorkerId(event.event_id, 0, 0), add_down(book, count=1)
    owned(ledger, down)
    ledger.start(worker, 1)
    ledger.scale_downs.cancel(down.event_id, 1, 1, [(event.event_id, 0)])
    answer = ledger.unstart(worker, 1)
    assert (answer.word, answer.intent.by) == ("cancelling", down.event_id)
    assert ledger.skip(worker, 1).intent.by == down.event_id
    assert ledger.record(worker, 1, "", DONE, despite_intent=True).word == "ok"


def test_skipped_attempt_is_durable_and_a_lost_reply_changes_nothing(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    worker = WorkerId(event.event_id, 0, 0)
    ledger.start(worker, 1)
    assert ledger.skip(worker, 1).word == "ok"
    assert ledger.skip(worker, 1).word == "ok"
    assert ledger.created(worker, 1, "uid").word == "stale"
    begin(ledger, event, 0, attempt=1)


def test_reasons_of_an_events_retries_are_kept_up_to_a_bound(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    owned(ledger, event)
    for attempt in range(100):
        worker = begin(ledger, event, 0, attempt=attempt)
        ledger.retry(worker, 1, f"uid-0-{attempt}", 0.0, "", f"{attempt} " + "x" * 190)
    told = book.redis.hget(f"otto:scale:events:ottoscaler:event:{event.event_id}", "retries")
    assert len(told) < 4300
    assert " 0 0 0 xxx" in told, "the oldest stay"


def test_emptied_redis_is_noticed_by_every_call(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    book.redis.flushall()
    with pytest.raises(Wiped):
        ledger.start(WorkerId(event.event_id, 0, 0), 1)
    with pytest.raises(Wiped):
        ledger.replicas.beat("{}", survey=True)
    with pytest.raises(Wiped):
        ledger.take_over(event.event_id, "b/1")
    with pytest.raises(Wiped):
        ledger.release([(event.event_id, 1)])
    with pytest.raises(Wiped):
        take(ledger, event)
    with pytest.raises(Wiped):
        ledger.upkeep.expire(60.0, 10, 0)
    with pytest.raises(Wiped):
        ledger.replicas.claim_pending("dead", "", "", 10)


def test_handover_of_an_event_whose_ledger_redis_lost_is_no_handover(book: Book) -> None:
    lost: list[str] = []

    def lose(event_id: str) -> bool:
        lost.append(event_id)
        return True

    ledger = Ledger(book.stream(), book.ledger().identity, lose)
    events = [add(book), add(book), add(book)]
    for event in events:
        owned(ledger, event)
    for event in events[:2]:
        book.redis.delete(f"otto:scale:events:ottoscaler:event:{event.event_id}")
    with pytest.raises(Wiped, match=events[0].event_id):
        ledger.release([(event.event_id, 1) for event in events])
    assert lost == [event.event_id for event in events[:2]]
    assert ledger.owner_of(events[2].event_id) == ""


def test_ledger_is_written_anew_from_memory(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=2)
    owned(ledger, event)
    emptied(book, ledger)
    assert ledger.reseed(event, b"[]", 7, {0: "d:0:succeeded:uid-0-0", 1: "s:0:uid-1-0"}) == ""
    assert ledger.record(WorkerId(event.event_id, 1, 0), 7, "uid-1-0", DONE).word == "ended"
    assert [e["succeeded"] for e in book.results("event")] == ["2"]


def test_event_that_ends_as_its_ledger_is_written_anew_is_counted_once(book: Book) -> None:
    metrics = Metrics()
    ledger = Ledger(book.stream(), book.ledger().identity, lambda _: True, UnbegunEnds(metrics).tell)
    event = add(book, count=1)
    owned(ledger, event)
    emptied(book, ledger)
    states = {0: "d:0:failed:uid-0-0"}
    answers = [ledger.reseed(event, b"[]", 7, states) for _ in range(2)]
    assert answers == ["", None], "the second time as after a lost reply"
    assert [e["status"] for e in book.results("event")] == ["failed"]
    counted = metrics.exposition()[0].decode()
    assert 'ottoscaler_events_total{status="failed",type="scale_up"} 1.0' in counted
    assert "ottoscaler_event_duration_seconds_count 1.0" in counted


@pytest.mark.parametrize("ledger_stands", [True, False])
def test_bad_entry_of_an_ended_event_that_comes_again_is_acknowledged_and_told_once(
    book: Book, ledger_stands: bool
) -> None:
    """A failover lost its acknowledgement. Its ledger may have expired by then."""
    ledger, event = book.ledger(), add(book)
    read(book)
    assert ledger.dead_letter(event.event_id, "unreadable", [(b"a", b"b")])
    book.redis.xclaim("otto:scale:events", "ottoscaler", "a", 0, [event.event_id], force=True)
    if not ledger_stands:
        book.redis.delete(f"otto:scale:events:ottoscaler:event:{event.event_id}")
        book.redis.set("otto:scale:events:ottoscaler:low-water", event.event_id)
    assert not ledger.dead_letter(event.event_id, "unreadable", [(b"a", b"b")])
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 0
    assert book.redis.xlen("otto:scale:dead") == 1


def test_dead_letter_too_large_for_a_script_is_counted_for_the_streams_bound(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    assert ledger.dead_letter(event.event_id, "bad", [(b"%d" % n, b"") for n in range(3001)])
    counted = book.redis.hmget("otto:scale:events:ottoscaler:appended", "dead:entries", "dead:bytes")
    assert counted[0] == "1"
    assert int(counted[1] or 0) > 3001


def test_handed_over_event_that_is_dead_lettered_was_counted_when_it_was_taken(book: Book) -> None:
    """What is counted twice would hide an entry that is lost."""
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    ledger.release([(event.event_id, 1)])
    assert ledger.dead_letter(event.event_id, "bad", [(b"a", b"b")])
    assert book.redis.hget("otto:scale:events:ottoscaler:account", "taken") == "1"


def emptied(book: Book, ledger: Ledger) -> None:
    """Redis was emptied, and the replica has joined the installation that came after."""
    book.redis.flushall()
    ledger.identity.join(ledger.join_installation("other"))


def test_no_ledger_is_written_anew_before_the_new_installation_is_joined(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    book.redis.flushall()
    with pytest.raises(Wiped):
        ledger.reseed(event, b"[]", 1, {})


def test_ledger_of_an_event_that_goes_on_is_written_anew_beside_a_broken_results_stream(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=2)
    owned(ledger, event)
    emptied(book, ledger)
    book.redis.set("otto:scale:results", "somebody's")
    assert ledger.reseed(event, b"[]", 7, {0: "d:0:succeeded:uid-0-0", 1: "s:0:uid-1-0"}) == ""
    assert ledger.owner_of(event.event_id) == ledger.owner
    assert not ledger.offer(event.event_id, 7), "a worker of it has begun"


def test_event_whose_orphan_was_told_is_open_again_with_its_ledger(book: Book) -> None:
    """It was among the finished events, whose ledgers go with time."""
    ledger, event = book.ledger(), add(book, count=2)
    owned(ledger, event)
    emptied(book, ledger)
    ledger.upkeep.report_orphan(WorkerId(event.event_id, 1, 0), "uid-1-0", "t", "{}", DONE)
    assert ledger.reseed(event, b"[]", 7, {0: "s:0:uid-0-0", 1: "s:0:uid-1-0"}) == ""
    assert book.redis.zscore("otto:scale:events:ottoscaler:finished", event.event_id) is None
    assert ledger.record(WorkerId(event.event_id, 1, 0), 7, "uid-1-0", FAILED).word == "recorded"
    assert ledger.record(WorkerId(event.event_id, 0, 0), 7, "uid-0-0", DONE).word == "ended"


def test_ledger_is_written_anew_whole_or_not_at_all(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    emptied(book, ledger)
    book.redis.set("otto:scale:events:ottoscaler:events", "somebody's")
    with pytest.raises(BrokenKey):
        ledger.reseed(event, b"[]", 7, {})
    assert ledger.owner_of(event.event_id) is None


@pytest.mark.parametrize("told_by", ["its owner", "an orphan's report"])
def test_ledger_with_the_last_result_is_written_anew_only_where_its_events_end_can_be_told(
    book: Book, told_by: str
) -> None:
    ledger, event = book.ledger(), add(book, count=2)
    owned(ledger, event)
    emptied(book, ledger)
    states = {0: "d:0:succeeded:uid-0-0", 1: "d:0:succeeded:uid-1-0"}
    if told_by == "an orphan's report":
        states[1] = "s:0:uid-1-0"
        ledger.upkeep.report_orphan(WorkerId(event.event_id, 1, 0), "uid-1-0", "t", "{}", DONE)
    book.redis.set("otto:scale:results", "somebody's")
    with pytest.raises(BrokenKey):
        ledger.reseed(event, b"[]", 7, states)
    assert ledger.owner_of(event.event_id) is None
    book.redis.delete("otto:scale:results")
    assert ledger.reseed(event, b"[]", 7, states) == ""
    assert [(e["status"], e["succeeded"]) for e in book.results("event")] == [("succeeded", "2")]


def test_ledger_of_another_owner_is_not_written_anew(book: Book) -> None:
    """This replica was frozen, and comes back with what it remembers."""
    frozen, event = book.ledger("a"), add(book)
    owned(frozen, event)
    frozen.release([(event.event_id, 1)])
    other = book.ledger("b")
    other.take_over(event.event_id, "", offered=True)
    worker = begin(other, event, 0, 2)
    assert frozen.reseed(event, b"[]", 1, {}) is None
    assert other.reseed(event, b"[]", 2, {}) == "", "its own ledger stands, as after a lost reply"
    assert other.start(worker, 2).detail == "uid-0-0"
    assert book.ledger("b", "1").reseed(event, b"[]", 1, {}) is None, "of an earlier time that it owned it"


def test_result_of_an_earlier_installations_pod_is_told_once_and_not_beside_its_events_owner(
    book: Book,
) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    lost = WorkerId("9-0", 0, 0)
    upkeep = ledger.upkeep
    assert upkeep.report_orphan(WorkerId(event.event_id, 0, 0), "u", "t", "{}", DONE) == "owned"
    assert upkeep.report_orphan(lost, "u", "t", "{}", DONE) == "ok"
    assert upkeep.report_orphan(lost, "u", "t", "{}", FAILED) == "recorded"
    assert upkeep.report_orphan(WorkerId("9-0", 1, 0), "w", "t", "{}", FAILED) == "ok"
    for index in (0, 1):
        ledger.record(begin(ledger, event, index), 1, f"uid-{index}-0", DONE)
    book.redis.hdel(f"otto:scale:events:ottoscaler:event:{event.event_id}", "i:0")
    answer = upkeep.report_orphan(WorkerId(event.event_id, 0, 0), "u", "t", "{}", DONE)
    assert answer == "recorded", "its event has ended"
    assert [w["event_id"] for w in book.results("worker")] == ["9-0", "9-0", *[event.event_id] * 2]


def test_result_stream_of_a_wrong_type_changes_nothing_in_the_ledger(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    book.redis.set("otto:scale:results", "somebody's")
    with pytest.raises(RedisError, match="not a stream"):
        ledger.record(worker, 1, "uid-0-0", DONE)
    book.redis.delete("otto:scale:results")
    assert ledger.record(worker, 1, "uid-0-0", DONE).word == "ended"


@pytest.mark.parametrize(("event_id", "mark"), [
    ("7-3", "7-2"), ("7-0", "6-18446744073709551615"),
    # Beyond 53 bits a number of Lua's would be rounded, maybe to one above the id.
    ("7-12345678901234569000", "0-0"), ("12345678901234569000-0", "0-0"),
])  # fmt: skip
def test_low_water_mark_stays_below_an_open_event(book: Book, event_id: str, mark: str) -> None:
    ledger = book.ledger()
    for younger in (event_id, *["*"] * 8):
        owned(ledger, add(book, younger))
    read(book)
    assert ledger.upkeep.expire(60.0, 10, 0).low_water == mark


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


def test_no_first_worker_is_begun_in_a_pause_that_its_replica_does_not_know_of_yet(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    assert pause(ledger.redis)
    assert not ledger.take(event, Entry(event.event_id, ((b"type", b"scale_up"),)), begin=True).began
    assert ledger.start(WorkerId(event.event_id, 0, 0), 1).word == "paused"


def test_entries_are_taken_in_one_round_trip_and_a_broken_one_spoils_no_other(book: Book) -> None:
    ledger = book.ledger()
    events = [add(book) for _ in range(4)]
    assert take(ledger, events[3]).how == "taken"
    book.redis.set(f"otto:scale:events:ottoscaler:event:{events[1].event_id}", "overwritten")
    book.redis.script_flush()  # as after a restart: Redis knows no script yet
    read_together = [(event, b'[["type","scale_up"]]') for event in events]
    first, second, third, fourth = ledger.take_all(read_together, begin=events[2])
    assert isinstance(second, RedisError)
    assert isinstance(first, Taken)
    assert isinstance(third, Taken)
    assert isinstance(fourth, Taken)
    assert [(each.how, each.began) for each in (first, third, fourth)] == [
        ("taken", False),
        ("taken", True),
        ("mine", False),
    ]
