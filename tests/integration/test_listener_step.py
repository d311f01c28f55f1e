"""The listener and the intake, step by step on a real Redis."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ottoscaler.controller.head_starts import HeadStarts
from ottoscaler.controller.reading import EventReader
from ottoscaler.errors import RedisUnavailable
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Event, ScaleDown, ScaleUp
from ottoscaler.workers.run import EventRun, Task
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.stages import STREAM, Stages, add, dead
from tests.harness.waiting import wait_for

__all__ = ["book", "redis_server"]


@pytest.fixture
def stages(book: Book) -> Stages:
    made = Stages(book, max_events_in_hand=2)
    made.listener.step(0.0)  # its own pending entries first: there are none
    return made


def test_read_event_is_owned_and_on_its_way_to_the_dispatcher(stages: Stages, book: Book) -> None:
    event_id = add(book, pod_count=3)
    stages.listener.step(0.0)
    assert stages.ledger.owner_of(event_id) == "a/1"
    assert stages.known() == [event_id]
    assert stages.registry.next_task(0.0) is None
    stages.admit()
    assert stages.registry.next_task(0.0) is not None


def test_no_more_is_read_than_fits_in_hand(stages: Stages, book: Book) -> None:
    events = [add(book, pod_count=1) for _ in range(5)]
    for _ in range(3):
        stages.listener.step(0.0)
    assert stages.known() == events[:2]
    assert book.redis.xpending(STREAM, "ottoscaler")["pending"] == 2


def test_beside_others_a_burst_is_read_in_small_parts(stages: Stages, book: Book) -> None:
    """Those who wake first would take all there is."""
    stages.in_hand.most = 16
    for _ in range(6):
        add(book, pod_count=1)
    stages.peers = 1
    stages.listener.step(0.0)
    assert len(stages.known()) == 2
    stages.peers = 0
    stages.listener.step(0.0)
    assert len(stages.known()) == 6


def test_full_hand_looks_ahead_for_scale_downs(stages: Stages, book: Book) -> None:
    for _ in range(5):
        add(book, pod_count=1)
    down = add(book, "scale_down", pod_count=1)
    for _ in range(3):
        stages.listener.step(0.0)
    assert [event.event_id for event in stages.downs.given] == [down]


def test_scale_down_that_ends_in_an_internal_error_is_left_to_its_reader_and_dead_lettered(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the thread that looks ahead, and so the process, in replica after replica."""
    read = EventReader.event

    def failing(reader: EventReader, entry: Entry) -> Event:
        if entry.id == down:
            raise RecursionError("a fault of ours")
        return read(reader, entry)

    monkeypatch.setattr(EventReader, "event", failing)
    events = [add(book, pod_count=1) for _ in range(2)]
    down = add(book, "scale_down", pod_count=1)
    for _ in range(3):
        stages.listener.step(0.0)
    assert stages.known() == events
    assert not stages.downs.given
    assert not dead(book)
    stages.in_hand.most = 3
    stages.listener.step(0.0)
    assert [(each["event_id"], each["error"]) for each in dead(book)] == [
        (down, "Ottoscaler could not read it: RecursionError")
    ]


def test_scale_down_read_with_its_scale_up_begins_when_all_workers_are_cancelled(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its own entry counts them all."""
    submit, cancelled = stages.downs.submit, []

    def submitted(event: ScaleDown, epoch: int) -> bool:
        cancelled.append(len(book.results("worker")))
        return submit(event, epoch)

    monkeypatch.setattr(stages.downs, "submit", submitted)
    add(book, pod_count=150, task_id="t")  # more than one script cancels
    down = add(book, "scale_down", task_id="t")
    stages.listener.step(0.0)
    assert [event.event_id for event in stages.downs.given] == [down]
    assert cancelled == [150]


def test_scale_down_goes_to_its_own_stage(stages: Stages, book: Book) -> None:
    down = add(book, "scale_down", task_id="t")
    stages.listener.step(0.0)
    assert [event.event_id for event in stages.downs.given] == [down]
    assert stages.inbox.take(0.0) == []


def test_bad_event_is_dead_lettered_and_costs_no_place(stages: Stages, book: Book) -> None:
    bad, good = add(book, pod_count="many"), add(book, pod_count=1)
    stages.listener.step(0.0)
    assert [letter["event_id"] for letter in dead(book)] == [bad]
    assert stages.known() == [good]


def test_own_pending_entries_come_before_new_ones(book: Book) -> None:
    first = add(book, pod_count=1)
    stages = Stages(book)
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"})  # and its reply was lost
    second = add(book, pod_count=1)
    stages.listener.step(0.0)
    assert stages.known() == [first]
    for _ in range(2):
        stages.listener.step(0.0)
    assert stages.known() == [first, second]


def test_after_an_error_the_own_pending_entries_are_read_again(stages: Stages, book: Book) -> None:
    lost = add(book, pod_count=1)
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"})
    stages.listener.failed(RedisUnavailable("the connection broke"))
    stages.listener.step(0.0)
    assert stages.known() == [lost]


def test_entry_that_redis_gave_to_a_broken_read_afterwards_is_found(stages: Stages, book: Book) -> None:
    stages.listener.failed(RedisUnavailable("the connection broke"))
    stages.listener.step(0.0)  # there is nothing yet
    event_id = add(book, pod_count=1)
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"})  # the broken read, which Redis still served
    stages.listener.step(60.0)
    assert stages.known() == [event_id]


def test_with_too_many_events_that_wait_for_a_retry_nothing_is_read(book: Book) -> None:
    stages = Stages(book, max_events_waiting=1)
    stages.listener.step(0.0)
    first = add(book, pod_count=1)
    stages.listener.step(0.0)
    stages.admit()
    task = stages.registry.next_task(0.0)
    assert task is not None
    stages.registry.ended(task, again=task, delay=60.0)
    add(book, pod_count=1)
    stages.listener.step(0.0)
    assert stages.known() == [first]
    assert book.redis.xpending(STREAM, "ottoscaler")["pending"] == 1


def test_vanished_group_is_made_again(stages: Stages, book: Book) -> None:
    book.redis.xgroup_destroy(STREAM, "ottoscaler")
    event_id = add(book, pod_count=1)
    for _ in range(3):
        stages.listener.step(0.0)
    assert stages.known() == [event_id]


def test_entry_that_is_claimed_while_own_pending_entries_are_read_is_not_passed_over(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The takeover's thread claims a dead replica's entries, and asks for another look through them."""
    event_id = add(book, pod_count=1)
    book.redis.xreadgroup("ottoscaler", "b", {STREAM: ">"})
    replicas = stages.ledger.replicas
    look, claimed = replicas.next_pending, list[Any]()

    def meanwhile(behind: str, count: int, *, left_by_the_dead: bool) -> tuple[int, list[str], str]:
        found = look(behind, count, left_by_the_dead=left_by_the_dead)
        if not claimed:
            claimed.append(book.redis.xclaim(STREAM, "ottoscaler", "a", 0, [event_id], justid=True))
            stages.listener.reread_own()
        return found

    monkeypatch.setattr(replicas, "next_pending", meanwhile)
    stages.listener.reread_own()
    for _ in range(2):
        stages.listener.step(0.0)
    assert stages.known() == [event_id]


def test_full_replica_looks_ahead_anew_at_what_a_vanished_group_had_handed_out(
    stages: Stages, book: Book
) -> None:
    """The dead replica that it was handed to did nothing with it yet."""
    for _ in range(2):
        add(book, pod_count=1)
        stages.listener.step(0.0)
    handed_out = add(book, "scale_down", pod_count=1)
    book.redis.xreadgroup("ottoscaler", "b", {STREAM: ">"})
    later = add(book, "scale_down", pod_count=1)
    stages.listener.step(0.0)
    assert [event.event_id for event in stages.downs.given] == [later]
    book.redis.xgroup_destroy(STREAM, "ottoscaler")
    stages.listener._make_group()
    stages.listener.step(0.0)
    assert handed_out in [event.event_id for event in stages.downs.given]


def test_idle_replica_gives_the_first_worker_a_head_start(stages: Stages, book: Book) -> None:
    stages.granted = 7
    first, second = add(book, pod_count=2), add(book, pod_count=1)
    stages.listener.step(0.0)
    prefix = f"{STREAM}:ottoscaler:event:"
    assert book.redis.hget(prefix + first, "i:0") == "s:0:"
    assert book.redis.hget(prefix + second, "i:0") is None
    (task,) = stages.admit()
    assert (task.worker.event_id, task.index) == (first, 0)
    assert stages.early == ["open", "complete"]
    assert task.head_start is not None
    assert task.head_start.grant == 7
    others = [other for _ in range(3) if (other := stages.registry.next_task(0.0)) is not None]
    assert sorted((other.run.event.event_id, other.index) for other in others) == [(first, 1), (second, 0)]
    assert not any(other.head_start for other in others)


def test_head_start_goes_to_the_first_event_of_the_highest_priority_that_was_read(
    stages: Stages, book: Book
) -> None:
    stages.granted = 7
    add(book, pod_count=1, priority=-1)
    urgent = add(book, pod_count=1, priority=3)
    for priority in (3, 0):
        add(book, pod_count=1, priority=priority)
    stages.listener.step(0.0)
    (task,) = stages.admit()
    assert task.worker.event_id == urgent
    assert task.head_start is not None


def test_create_is_opened_while_redis_takes_the_event_and_sent_before_its_thread_starts(
    stages: Stages, book: Book
) -> None:
    stages.granted = 7
    seen: list[Any] = []
    stages.look_at_early = lambda what: seen.append((what, len(stages.known()), stages.handed_on()))
    add(book, pod_count=1)
    stages.listener.step(0.0)
    assert seen == [("open", 0, []), ("complete", 1, [])]
    assert len(stages.handed_on()) == 1


def test_dispatcher_is_not_woken_again_for_an_event_whose_only_worker_had_a_head_start(
    stages: Stages, book: Book
) -> None:
    stages.granted = 7
    event_id = add(book, pod_count=1)
    stages.listener.step(0.0)
    assert stages.known() == [event_id]
    (task,) = stages.handed_on()
    assert isinstance(task, Task)
    stages.registry.under_way(task)
    stages.registry.ended(task)
    assert stages.registry.idle
    assert stages.known() == []


def owned(book: Book, event_id: str) -> None:
    other = book.ledger("b", "1")
    assert other.take(ScaleUp(event_id, "t", 1), Entry(event_id, ((b"type", b"scale_up"),))).record


def handed_over(book: Book, event_id: str) -> None:
    owned(book, event_id)
    book.ledger("b", "1").release([(event_id, 1)])


def duplicate(book: Book, _event_id: str) -> None:
    book.redis.set(f"{STREAM}:ottoscaler:dedup:k", "1-0")


def cancelled(book: Book, _event_id: str) -> None:
    book.redis.hset(f"{STREAM}:ottoscaler:tombstones", "t", "9999999999999-0")


def paused(book: Book, _event_id: str) -> None:
    book.redis.set(f"{STREAM}:ottoscaler:paused", "1")


def broken(book: Book, event_id: str) -> None:
    book.redis.set(f"{STREAM}:ottoscaler:event:{event_id}", "not a hash")


def expired(book: Book, event_id: str) -> None:
    """Its own fields say so."""


@pytest.mark.parametrize("hinder", [owned, handed_over, duplicate, cancelled, paused, broken, expired])
def test_open_create_is_dropped_unless_redis_took_the_event_and_began_its_worker(
    stages: Stages, book: Book, hinder: Callable[[Book, str], None]
) -> None:
    stages.granted = 7
    fields = {"dedup_key": "k"} if hinder is duplicate else {}
    fields |= {"expires_at": "1"} if hinder is expired else {}
    event_id = add(book, pod_count=1, task_id="t", **fields)
    hinder(book, event_id)
    stages.listener.step(0.0)
    later = stages.handed_on()
    assert (stages.early, stages.turns.dropped) == (["open"], 1)
    assert not any(isinstance(one, Task) for one in later)
    if hinder is broken:
        assert not book.redis.hexists(f"{STREAM}:ottoscaler:account", "taken"), (
            "refused before the first write"
        )
    goes_on = [event_id] if hinder in (handed_over, paused) else []
    assert stages.known() == [run.event.event_id for run in later if isinstance(run, EventRun)] == goes_on


def test_begin_of_a_worker_that_could_not_be_handed_on_is_taken_back(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something else came at that moment, so the worker goes the ordinary way."""
    stages.granted = 7

    def not_idle_any_more(*_: Any) -> bool:
        wait_for(lambda: book.redis.exists(f"{STREAM}:ottoscaler:event:{event_id}"), "Redis has taken it")
        return False

    monkeypatch.setattr(HeadStarts, "hand_on", not_idle_any_more)
    event_id = add(book, pod_count=1)
    stages.listener.step(0.0)
    assert (stages.early, stages.turns.dropped) == (["open"], 1)
    assert stages.admit() == []
    assert book.redis.hget(f"{STREAM}:ottoscaler:event:{event_id}", "i:0") is None
    task = stages.registry.next_task(0.0)
    assert task is not None
    assert task.head_start is None


def test_entries_of_one_read_are_taken_together_and_a_bad_one_is_refused(stages: Stages, book: Book) -> None:
    stages.in_hand.most = 16
    good = [add(book, pod_count=1), add(book, pod_count=2)]
    bad = add(book, pod_count="many")
    good.append(add(book, pod_count=1))
    stages.listener.step(0.0)
    assert stages.known() == good
    assert [letter["event_id"] for letter in dead(book)] == [bad]
    stages.admit()
    starts = [task for _ in range(5) if (task := stages.registry.next_task(0.0)) is not None]
    assert sorted(task.run.event.event_id for task in starts) == [good[0], good[1], good[1], good[2]]


def test_event_of_another_live_replica_is_left_alone(stages: Stages, book: Book) -> None:
    event_id = add(book, pod_count=1)
    other = Stages(book, "b")
    for _ in range(2):
        other.listener.step(0.0)
    book.redis.xgroup_setid(STREAM, "ottoscaler", "0")  # it is delivered again
    stages.listener.step(0.0)
    assert (other.known(), stages.known()) == ([event_id], [])


def test_closing_the_connections_does_not_end_the_thread_that_still_reads(stages: Stages, book: Book) -> None:
    """It ended with an error of redis-py's parser, and then a stop had the exit code 1."""
    reader = RedisClient(book.settings, answer_seconds=60)
    with ThreadPoolExecutor(1) as thread:
        read = thread.submit(reader.read, count=1, block_ms=60_000)
        wait_for(lambda: book.redis.info("clients")["blocked_clients"] == 1, "the read blocks")
        reader.close()
        event_id = add(book, pod_count=1)
        assert [entry.id for entry in read.result(30)] == [event_id]
