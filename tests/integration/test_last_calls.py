"""A stop's calls to Redis: one that hangs is given up, and no other is made behind it."""

from __future__ import annotations

import threading

import pytest

from ottoscaler.controller.last_calls import LastCalls
from ottoscaler.errors import RedisError, RedisUnavailable
from tests.harness.waiting import wait_for


def refuse() -> None:
    raise RedisError("WRONGTYPE")


def test_call_gives_its_answer_or_its_error() -> None:
    calls = LastCalls(lambda: True, lambda: None)
    assert calls.make(lambda: "answer") == "answer"
    with pytest.raises(RedisError, match="WRONGTYPE"):
        calls.make(refuse)
    assert calls.answers_now()


def test_call_that_hangs_is_given_up_and_no_other_is_made_until_it_ends() -> None:
    go_on, made = threading.Event(), []
    calls = LastCalls(lambda: True, lambda: made.append("ping"))
    with pytest.raises(RedisUnavailable, match="has not answered within"):
        calls.make(go_on.wait)
    with pytest.raises(RedisUnavailable, match="has not answered the last call yet"):
        calls.make(lambda: made.append("second"))
    assert not calls.answering
    assert not calls.answers_now()
    assert made == []
    go_on.set()
    wait_for(lambda: calls.answering, "the call has ended")
    assert calls.answers_now()
    assert made == ["ping"]


def test_redis_that_missed_a_heartbeat_is_not_asked() -> None:
    made: list[str] = []
    calls = LastCalls(lambda: False, lambda: made.append("ping"))
    assert not calls.answers_now()
    assert made == []
