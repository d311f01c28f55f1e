"""Commands of several threads share round trips; none waits longer than it must, or for another's error."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import redis

from ottoscaler.ledger.pipelining import MOST_IN_ONE, Call, FirstWords, Overdue, RoundTrips, packed
from tests.harness.waiting import wait_for

SECONDS = 30.0


class Redis:
    """Answers each command with its first word; a trip waits while the test holds the line."""

    def __init__(self) -> None:
        self.trips: list[list[Any]] = []
        self.line = threading.Semaphore(0)
        self.under_way = threading.Semaphore(0)
        self.cut = False

    def exchange(self, calls: Sequence[Call]) -> None:
        self.trips.append([call.data.decode() for call in calls])
        self.under_way.release()
        assert self.line.acquire(timeout=SECONDS)
        if calls[0].meanwhile is not None:
            calls[0].meanwhile()
        for call in calls:
            if call.data == b"bad":
                call.error = ValueError("bad")
            elif self.cut:
                raise ConnectionError("cut")
            else:
                call.answer = call.data.decode()


def begin(trips: RoundTrips, pool: ThreadPoolExecutor, *words: str) -> list[Future[Any]]:
    """Send them one after the other, each from a thread of its own, and wait until they queue up."""
    sent = []
    for number, word in enumerate(words, 1):
        sent.append(pool.submit(trips.send, word.encode()))
        wait_for(lambda n=number: len(trips._queue) == n, f"{word} waits for its turn", SECONDS)  # type: ignore[misc]
    return sent


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(100) as threads:
        yield threads


def first_under_way(trips: RoundTrips, redis: Redis, pool: ThreadPoolExecutor) -> Future[Any]:
    first = pool.submit(trips.send, b"first")
    assert redis.under_way.acquire(timeout=SECONDS)
    return first


def test_text_that_no_utf8_can_hold_is_sent_all_the_same() -> None:
    """An annotation of a Pod may bear half a surrogate pair. That must not end the thread that tells it."""
    assert packed(("HSET", "task", "a\ud800b")) == b"*3\r\n$4\r\nHSET\r\n$4\r\ntask\r\n$3\r\na?b\r\n"


def test_a_lone_command_is_sent_at_once_and_alone() -> None:
    redis = Redis()
    redis.line.release(2)
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)

    assert [trips.send(b"a"), trips.send(b"b")] == ["a", "b"]
    assert redis.trips == [["a"], ["b"]]


def test_what_comes_meanwhile_goes_together_and_in_order(pool: ThreadPoolExecutor) -> None:
    redis = Redis()
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)
    first = first_under_way(trips, redis, pool)
    others = begin(trips, pool, "a", "b", "c")
    redis.line.release(2)

    assert [sent.result(SECONDS) for sent in (first, *others)] == ["first", "a", "b", "c"]
    assert redis.trips == [["first"], ["a", "b", "c"]]


def test_whoever_sent_is_free_after_one_round_trip(pool: ThreadPoolExecutor) -> None:
    redis = Redis()
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)
    first = first_under_way(trips, redis, pool)
    (other,) = begin(trips, pool, "other")
    redis.line.release()

    assert first.result(SECONDS) == "first"  # though the other's answer is still to come
    assert not other.done()
    redis.line.release()
    assert other.result(SECONDS) == "other"


def test_only_the_thread_that_leads_does_something_while_redis_works(pool: ThreadPoolExecutor) -> None:
    redis, did = Redis(), list[str]()
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)
    first = first_under_way(trips, redis, pool)
    (leads,) = begin(trips, pool, "leads")
    follows = pool.submit(trips.send, b"follows", None, lambda: did.append("follows"))
    wait_for(lambda: len(trips._queue) == 2, "it waits for its turn", SECONDS)
    redis.line.release(3)
    assert [sent.result(SECONDS) for sent in (first, leads, follows)] == ["first", "leads", "follows"]
    assert did == []
    trips.send(b"alone", None, lambda: did.append("alone"))
    assert did == ["alone"]


def test_one_commands_error_is_its_own(pool: ThreadPoolExecutor) -> None:
    redis = Redis()
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)
    first = first_under_way(trips, redis, pool)
    good, bad, last = begin(trips, pool, "good", "bad", "last")
    redis.line.release(2)

    assert (first.result(SECONDS), good.result(SECONDS), last.result(SECONDS)) == ("first", "good", "last")
    with pytest.raises(ValueError, match="bad"):
        bad.result(SECONDS)


def test_a_cut_is_the_error_of_every_command_without_an_answer(pool: ThreadPoolExecutor) -> None:
    redis = Redis()
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)
    first = first_under_way(trips, redis, pool)
    bad, lost, also_lost = begin(trips, pool, "bad", "lost", "also lost")
    redis.line.release()
    assert first.result(SECONDS) == "first"
    assert redis.under_way.acquire(timeout=SECONDS)
    redis.cut = True
    (later,) = begin(trips, pool, "later")
    redis.line.release()

    for each in (lost, also_lost):
        with pytest.raises(ConnectionError, match="cut"):
            each.result(SECONDS)
    with pytest.raises(ValueError, match="bad"):
        bad.result(SECONDS)
    redis.cut = False
    redis.line.release()
    assert later.result(SECONDS) == "later"


def test_ctrl_c_that_comes_with_the_last_answer_is_not_lost() -> None:
    def exchange(calls: Sequence[Call]) -> None:
        calls[0].answer = "answered"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RoundTrips(exchange, wait_seconds=SECONDS).send(b"first")


def test_a_command_that_waits_for_too_long_is_never_sent(pool: ThreadPoolExecutor) -> None:
    redis = Redis()
    trips = RoundTrips(redis.exchange, wait_seconds=0.05)
    first = first_under_way(trips, redis, pool)

    with pytest.raises(Overdue):
        trips.send(b"late")
    redis.line.release(2)
    assert first.result(SECONDS) == "first"
    assert trips.send(b"next") == "next"
    assert redis.trips == [["first"], ["next"]]


def test_a_command_whose_turn_comes_just_as_it_gives_up_leads_all_the_same() -> None:
    """If it went, nobody would lead, and every later command would wait for nothing."""
    redis = Redis()
    redis.line.release(2)
    trips = RoundTrips(redis.exchange, wait_seconds=0.0)
    trips._led = True  # another thread sends
    late = Call(b"late")
    trips._queue.append(late)

    class Turn:
        lock = late.turn
        release = lock.release

        def acquire(self, timeout: float = -1) -> bool:
            if timeout < 0:
                return self.lock.acquire()
            trips._pass_on()  # the other one is done, just after this wait has ended
            return False

    late.turn = Turn()  # type: ignore[assignment]
    assert trips._follow(late)
    trips._lead(late)
    assert late.answer == "late"
    assert trips.send(b"next") == "next"


def test_one_trip_has_a_bound(pool: ThreadPoolExecutor) -> None:
    redis = Redis()
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)
    first = first_under_way(trips, redis, pool)
    others = begin(trips, pool, *(str(number) for number in range(MOST_IN_ONE + 3)))
    redis.line.release(3)

    assert [sent.result(SECONDS) for sent in others] == [str(n) for n in range(MOST_IN_ONE + 3)]
    assert first.result(SECONDS) == "first"
    assert [len(trip) for trip in redis.trips] == [1, MOST_IN_ONE, 3]


def test_what_must_not_meet_a_round_trip_is_done_only_between_two(pool: ThreadPoolExecutor) -> None:
    redis = Redis()
    trips = RoundTrips(redis.exchange, wait_seconds=SECONDS)
    done: list[str] = []
    first = first_under_way(trips, redis, pool)
    trips.when_idle(lambda: done.append("under way"))
    redis.line.release()
    assert first.result(SECONDS) == "first"
    trips.when_idle(lambda: done.append("idle"))
    assert done == ["idle"]


def test_command_is_packed_as_redis_py_packs_it() -> None:
    words = ("EVALSHA", "é" * 40, 4, -1, b"", b"\x00\r\n", "$1\r\n", "", "x" * 100_000)
    connection: Any = redis.Connection(encoding="utf-8")  # type: ignore[no-untyped-call]
    theirs = connection.pack_commands([words, ("PING",)])
    assert packed(words) + packed(("PING",)) == b"".join(theirs)
    assert packed(words[3:], FirstWords(*words[:3])) == packed(words)
