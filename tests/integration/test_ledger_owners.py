"""Who owns an event, by the ledger's scripts on a real Redis: takeovers, offers, strikes, the dead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ottoscaler.config.settings import Settings
from ottoscaler.errors import Fenced
from ottoscaler.ledger.ledger import OUTLIVED_MS
from ottoscaler.ledger.records import Record
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import ScaleUp, WorkerId
from tests.harness.ledger_steps import DONE, FAILED, add, add_down, begin, owned, read, take
from tests.harness.redis_fixture import Book, book, ledger_on, redis_server

__all__ = ["book", "redis_server"]


def test_owner_that_was_taken_over_can_write_nothing(book: Book) -> None:
    old, new, event = book.ledger("a"), book.ledger("b"), add(book)
    before = owned(old, event)
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
        lambda: old.skip(worker, 1),
        lambda: old.unstart(worker, 1),
        lambda: old.overtime(worker, 1, "uid-0-0"),
        lambda: old.offer(event.event_id, 1),
        lambda: old.poison(before, "given up"),
    ]
    for write in writes:
        with pytest.raises(Fenced):
            write()
    assert new.record(worker, 2, "uid-0-0", DONE).word == "ok"


def test_stale_owner_of_a_scale_down_can_choose_nobody_and_end_nothing(book: Book) -> None:
    old, new, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(new, event)
    down = add_down(book, count=1)
    owned(old, down)
    old.release([(down.event_id, 1)])
    new.take_over(down.event_id, "", offered=True)
    steps: list[Callable[[], object]] = [
        lambda: old.scale_downs.cancel(down.event_id, 1, 1, [(event.event_id, 0)]),
        lambda: old.scale_downs.victims(down.event_id, 1),
        lambda: old.scale_downs.finish(down.event_id, 1),
    ]
    for step in steps:
        with pytest.raises(Fenced):
            step()
    assert book.results("worker") == book.results("event") == []
    assert new.scale_downs.cancel(down.event_id, 2, 1, [(event.event_id, 0)]) == 1


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
    first.release([(event.event_id, 1)])
    survey = second.replicas.beat("{}", survey=False)
    assert survey is not None
    assert survey.offers == (event.event_id,)
    taken = second.take_over(event.event_id, "", offered=True)
    assert taken.record is not None
    assert taken.record.epoch == 2
    assert taken.record.strikes == 0


def test_entry_of_an_event_that_was_taken_over_is_pending_for_its_new_owner(book: Book) -> None:
    """Else its dead reader could not be forgotten before the event ends."""
    old, new, event = book.ledger("a"), book.ledger("b"), add(book)
    read(book, "a")
    owned(old, event)
    assert new.take_over(event.event_id, "a/1", beat=beat_of(book, "a")).how == "taken"
    (pending,) = book.redis.xpending_range("otto:scale:events", "ottoscaler", "-", "+", 10)
    assert pending["consumer"] == "b"


def test_who_gives_an_event_away_and_takes_it_back_cannot_write_as_its_owner_of_before(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    for epoch, giver, taker in ((1, first, second), (2, second, first)):
        giver.release([(event.event_id, epoch)])
        assert taker.take_over(event.event_id, "", offered=True).record is not None
    with pytest.raises(Fenced):
        first.start(WorkerId(event.event_id, 0, 0), 1)
    assert first.start(WorkerId(event.event_id, 0, 0), 3).word == "ok"


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


def test_who_takes_over_learns_in_which_namespace_each_workers_pod_is(book: Book) -> None:
    """NAMESPACE was changed meanwhile. Looked for in the wrong one, a Pod that runs would be gone."""
    event, earlier = add(book, count=3), book.ledger("a")
    owned(earlier, event)
    begin(earlier, event, 0)
    earlier.release([(event.event_id, 1)])
    settings = Settings(redis_url=book.url, redis_consumer="b", namespace="new")
    changed = RedisClient(settings)
    later = ledger_on(changed, "b")
    taken = later.take_over(event.event_id, "", offered=True).record
    assert taken is not None
    begin(later, event, 1, taken.epoch)
    later.release([(event.event_id, taken.epoch)])
    changed.close()
    last = book.ledger("c").take_over(event.event_id, "", offered=True).record
    assert last is not None
    namespaces = {index: state.namespace for index, state in last.indexes.items()}
    assert namespaces == {0: book.settings.namespace, 1: "new"}


def beat_of(book: Book, name: str) -> str:
    return str(book.redis.hget(f"otto:scale:events:ottoscaler:replica:{name}", "beat"))


def test_offer_is_withdrawn_by_the_first_start(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    assert first.offer(event.event_id, 1)
    begin(first, event, 0)
    assert second.take_over(event.event_id, "a/1", offered=True).how == "moved"


def test_event_that_another_took_meanwhile_is_taken_from_nobody(book: Book) -> None:
    """Neither by who saw its dead owner or its offer before, nor by who takes its owner's for an offer."""
    first, second, third, event = book.ledger("a"), book.ledger("b"), book.ledger("c"), add(book)
    owned(first, event)
    assert first.offer(event.event_id, 1)
    beat = beat_of(book, "a")
    assert second.take_over(event.event_id, "a/1", offered=True).how == "taken"
    assert third.take_over(event.event_id, "a/1", offered=True).how == "moved"
    assert third.take_over(event.event_id, "a/1", beat=beat).how == "moved"
    assert third.take_over(event.event_id, "b/1", offered=True).how == "moved", "its owner does not offer it"
    assert begin(second, event, 0, epoch=2).attempt == 0


def test_event_that_has_begun_is_not_taken_although_its_offer_stands(book: Book) -> None:
    """The set of offers may be broken when its first worker begins."""
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    begin(first, event, 0)
    book.redis.sadd("otto:scale:events:ottoscaler:offers", event.event_id)
    assert second.take_over(event.event_id, "a/1", offered=True).how == "moved"
    first.release([(event.event_id, 1)])
    assert second.take_over(event.event_id, "", offered=True).how == "taken", "it was handed over"


def test_event_of_which_a_worker_has_begun_is_not_offered(book: Book) -> None:
    ledger, event = book.ledger(), add(book)
    owned(ledger, event)
    begin(ledger, event, 0)
    assert not ledger.offer(event.event_id, 1)
    assert book.redis.smembers("otto:scale:events:ottoscaler:offers") == set()


def test_event_that_ends_while_it_is_on_offer_is_on_offer_no_more(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    owned(ledger, event)
    assert ledger.offer(event.event_id, 1)
    down = add_down(book, count=1)
    owned(ledger, down)
    ledger.scale_downs.cancel(down.event_id, 1, 1, [(event.event_id, 0)])
    assert [entry["status"] for entry in book.results("event")] == ["cancelled"]
    assert book.redis.smembers("otto:scale:events:ottoscaler:offers") == set()


def test_full_replica_leaves_an_event_that_has_not_begun(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    first.release([(event.event_id, 1)])
    assert second.take_over(event.event_id, "", offered=True, room=False).how == "full"


def test_heartbeat_enters_its_replica_again_where_the_set_of_replicas_was_lost(book: Book) -> None:
    ledger, replicas = book.ledger(), "otto:scale:events:ottoscaler:replicas"
    book.redis.delete(replicas)
    told = ledger.replicas.beat("{}", survey=False)
    assert told is not None
    assert (book.redis.smembers(replicas), told.others) == ({"a"}, 0)
    book.redis.set(replicas, "a stranger's")
    told = ledger.replicas.beat("{}", survey=False)
    assert told is not None
    assert told.others == 1, "there may be others"


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


@pytest.mark.parametrize("heir", ["a", "b"])
def test_create_that_its_owner_outlived_is_not_what_it_died_of(book: Book, heir: str) -> None:
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    ledger.start(WorkerId(event.event_id, 1, 0), 1)
    key = f"otto:scale:events:ottoscaler:event:{event.event_id}"
    book.redis.hset(key, "tried", int(book.redis.hget(key, "tried")) - OUTLIVED_MS - 1)
    assert ledger.replicas.beat("{}", survey=False)
    taken = book.ledger(heir, "2").take_over(event.event_id, "a/1", beat=beat_of(book, "a")).record
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


def test_look_for_a_pod_is_a_try_of_its_owner_once(book: Book) -> None:
    """A Pod may kill who reads it. What an owner has survived once, it does not die of at its next try."""
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    assert die(book, event, 1).strikes == 1
    key, worker = f"otto:scale:events:ottoscaler:event:{event.event_id}", WorkerId(event.event_id, 1, 0)
    ledger = book.ledger("a", "2")
    assert book.redis.hget(key, "tried") == "0"
    assert ledger.start(worker, 2).word == "again"
    book.redis.hset(key, "tried", int(book.redis.hget(key, "tried")) - 1)
    tried = book.redis.hget(key, "tried")
    assert ledger.start(worker, 2).word == "again"
    assert book.redis.hget(key, "tried") == tried != "0"
    taken = book.ledger("a", "3").take_over(event.event_id, "a/2").record
    assert taken is not None
    assert taken.strikes == 2


def test_pod_that_is_known_is_no_try_of_who_adopts_it(book: Book) -> None:
    ledger, event = book.ledger("a", "1"), add(book)
    owned(ledger, event)
    worker = begin(ledger, event, 1)
    ledger = book.ledger("a", "2")
    assert ledger.take_over(event.event_id, "a/1").how == "taken"
    assert ledger.start(worker, 2).word == "again"
    assert book.redis.hget(f"otto:scale:events:ottoscaler:event:{event.event_id}", "tried") == "0"


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
    ledger.poison(record, "given up")
    (dead,) = [fields for _, fields in book.redis.xrange("otto:scale:dead")]
    assert "given up" in dead["error"]
    assert "died without progress" in dead["error"]
    assert dead["field:type"] == "scale_up"
    assert dead["task_id"] == "t"
    assert [(w["index"], w["status"]) for w in book.results("worker")] == [("0", "cancelled")]
    begun = WorkerId(event.event_id, 1, 0)
    assert ledger.record(begun, record.epoch, "", FAILED).word == "cancelling"
    assert ledger.record(begun, record.epoch, "", FAILED, despite_intent=True).word == "ended"


def test_result_stands_whoever_cancels_its_worker_afterwards(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=3)
    record = owned(ledger, event)
    ledger.record(begin(ledger, event, 0), 1, "uid-0-0", DONE)
    down = add_down(book, count=2)
    owned(ledger, down)
    victims = [(event.event_id, 0), (event.event_id, 1)]
    assert ledger.scale_downs.cancel(down.event_id, 1, 2, victims) == 1, "one had ended meanwhile"
    ledger.poison(record, "given up")
    told = [(w["index"], w["status"]) for w in book.results("worker")]
    assert told == [("0", "succeeded"), ("1", "cancelled"), ("2", "cancelled")]


def test_worker_that_is_being_cancelled_is_no_victim_of_another_scale_down(book: Book) -> None:
    ledger, event = book.ledger(), add(book, count=1)
    owned(ledger, event)
    worker = begin(ledger, event, 0)
    first, second = add_down(book, count=2), add_down(book, count=2)
    for down in (first, second):
        owned(ledger, down)
    asked = (first, first, second)  # the second time, as after a lost reply
    chosen = [ledger.scale_downs.cancel(down.event_id, 1, 2, [(event.event_id, 0)]) for down in asked]
    assert chosen == [1, 1, 0]
    assert ledger.record(worker, 1, "uid-0-0", DONE).intent.by == first.event_id


def test_event_that_a_scale_down_long_gone_cancels_leaves_no_key_of_it(book: Book) -> None:
    ledger, event, down = book.ledger(), add(book), add_down(book, task="t")
    owned(ledger, down)
    key = f"otto:scale:events:ottoscaler:event:{down.event_id}"
    book.redis.delete(key)  # as when the retention time is over
    assert take(ledger, event).how == "cancelled", "its tombstone stands"
    assert not book.redis.exists(key)


def test_event_is_given_up_once_and_its_letter_written_once(book: Book) -> None:
    """The reply to the first time was lost, or its replica died right then."""
    ledger, event = book.ledger("a", "1"), add(book)
    record = owned(ledger, event)
    begin(ledger, event, 0)
    ledger.poison(record, "given up")
    ledger.poison(record, "given up")
    assert book.redis.xlen("otto:scale:dead") == 1


def test_scale_down_that_is_given_up_has_ended(book: Book) -> None:
    ledger, down = book.ledger(), add_down(book, count=1)
    read(book)
    record = owned(ledger, down)
    ledger.poison(record, "given up")
    assert book.redis.xlen("otto:scale:dead") == 1
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 0
    assert take(ledger, down).how == "done"


def test_dead_consumers_unowned_entries_come_over_and_it_is_forgotten(book: Book) -> None:
    ledger, event = book.ledger("a"), add(book)
    read(book, "stranger")
    assert ledger.replicas.claim_pending("stranger", "", "", 10) == ([event.event_id], [])
    assert ledger.replicas.forget("stranger", "", "")
    assert [c["name"] for c in book.redis.xinfo_consumers("otto:scale:events", "ottoscaler")] == ["a"]


def test_entries_of_a_reader_that_lives_or_came_back_stay_its_own(book: Book) -> None:
    reader, other = book.ledger("a", "1"), book.ledger("b")
    event = add(book)
    read(book, "a")
    beat = beat_of(book, "a")
    assert reader.replicas.beat("{}", survey=False)
    assert other.replicas.claim_pending("a", "1", beat, 10) == ([], []), "it beats again"
    assert other.replicas.claim_pending("a", "2", beat_of(book, "a"), 10) == ([], []), "it is another one"
    assert other.replicas.claim_pending("a", "1", beat_of(book, "a"), 10) == ([event.event_id], [])


def test_of_a_dead_readers_entries_those_come_over_that_nobody_owns_or_has_ended(book: Book) -> None:
    stream, group = "otto:scale:events", "ottoscaler"
    dead, owner, other = book.ledger("a"), book.ledger("b"), book.ledger("c")
    ended, released, taken = (add(book, count=1) for _ in range(3))
    for event in (ended, released):
        owned(dead, event)
    owned(owner, taken)
    assert dead.record(begin(dead, ended, 0), 1, "uid-0-0", DONE).word == "ended"
    dead.release([(released.event_id, 1)])
    book.redis.xgroup_setid(stream, group, "0")
    assert len(read(book, "a")) == 3
    beat = beat_of(book, "a")
    assert other.replicas.claim_pending("a", "1", beat, 0) == ([], [])
    assert other.replicas.claim_pending("a", "1", beat, 10) == ([released.event_id], [])
    pending = book.redis.xpending_range(stream, group, "-", "+", 10)
    assert {each["message_id"]: each["consumer"] for each in pending} == {
        released.event_id: "c",
        taken.event_id: "a",
    }


@pytest.mark.parametrize("before", [99, 100, 250])
def test_dead_readers_entries_come_over_however_many_of_others_stand_before_them(
    book: Book, before: int
) -> None:
    owner, heir = book.ledger("b"), book.ledger("c")
    for _ in range(before):
        owned(owner, add(book, count=1))
    left = [add(book, count=1).event_id for _ in range(3)]
    book.stream("stranger").read(count=before + 3)
    assert heir.replicas.claim_pending("stranger", "", "", 2) == (left[:2], []), "as many as have room"
    assert heir.replicas.claim_pending("stranger", "", "", 2) == (left[2:], [])
    assert heir.replicas.claim_pending("stranger", "", "", 2) == ([], [])


def test_replica_that_owns_something_is_not_forgotten(book: Book) -> None:
    first, second, event = book.ledger("a"), book.ledger("b"), add(book)
    owned(first, event)
    beat = str(book.redis.hget("otto:scale:events:ottoscaler:replica:a", "beat"))
    assert not second.replicas.forget("a", "1", beat)


def test_replica_that_something_is_pending_of_or_that_beats_again_is_not_forgotten(book: Book) -> None:
    book.ledger("a")
    ledger, beat = book.ledger("b"), str(book.redis.hget("otto:scale:events:ottoscaler:replica:a", "beat"))
    assert not ledger.replicas.forget("a", "1", "another")
    assert not ledger.replicas.forget("a", "another", beat)
    event = add(book)
    read(book, "a")
    assert not ledger.replicas.forget("a", "1", beat)
    book.redis.xack("otto:scale:events", "ottoscaler", event.event_id)
    owned(ledger, event)
    assert ledger.replicas.forget("a", "1", beat), "what another owns is no reason"
    assert book.redis.smembers("otto:scale:events:ottoscaler:replicas") == {"b"}
