"""Bad input to the client: a sentence, and nothing is sent. No Redis is there to send it to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, assert_type

import pytest

from ottoscaler.client import BadRequest, Client, ClientError, EventResult, RedisFailed
from ottoscaler.client.fields import flat
from ottoscaler.client.streams import before

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.scale_up(0), "pod_count: invalid value '0'"),
        (lambda c: c.scale_up(True), "pod_count: expected an integer, not bool"),
        (lambda c: c.scale_up("3"), "pod_count: expected an integer, not str"),
        (lambda c: c.scale_up(1, task_id="x" * 257), "task_id: invalid value"),
        (lambda c: c.scale_up(1, task_id=17), "task_id: expected a string, not int"),
        (lambda c: c.scale_up(1, image="No Image"), "image: invalid value"),
        (lambda c: c.scale_up(1, command=["a", 1]), "command: expected a string or a list of strings"),
        (lambda c: c.scale_up(1, command=""), "command: empty"),
        (lambda c: c.scale_up(1, env={"A": 1}), "env: expected a dictionary of strings"),
        (lambda c: c.scale_up(1, env={"OTTO_X": "1"}), "names that begin with OTTO_ are reserved"),
        (lambda c: c.scale_up(1, memory="128m"), "memory: invalid value"),
        (lambda c: c.scale_up(1, expires_at=datetime(2026, 1, 1)), "has no time zone"),
        (lambda c: c.scale_up(1, metadata={"a": 1}), "metadata: 'a' is not a string with a string"),
        (lambda c: c.scale_up(1, metadata=["a"]), "metadata: expected a dictionary of strings, not list"),
        (lambda c: c.scale_up(1, task_id="\udc80"), "unpaired surrogate"),
        (lambda c: c.scale_down(), "task_id and pod_count: both missing"),
        (lambda c: c.send([(b"type", b"scale_up"), (b"pods", b"3")]), "did you mean pod_count?"),
        (lambda c: c.scale_down(pod_count=-1), "pod_count: invalid value '-1'"),
        (lambda c: c.scale_down(task_id="t", keep_running="no"), "keep_running: expected True or False"),
        (lambda c: c.send({b"type": b"scale_up", b"pod_count": b"1"}), "expected a list of pairs of bytes"),
        (lambda c: c.send([("type", "scale_up"), ("pod_count", "1")]), "expected a list of pairs of bytes"),
        (lambda c: c.cancel(""), "task_id: expected a string that is not empty"),
        (lambda c: c.cancel("t", timeout=0), "timeout: '0' is not a positive number of seconds"),
        (lambda c: c.wait("17"), "'17' is not an id such as"),
        (lambda c: c.wait("1-18446744073709551616"), "'1-18446744073709551616' is not an id"),
        (lambda c: c.wait("1-00"), "'1-00' is not an id"),
        (lambda c: c.wait("1-0", timeout=-1), "timeout: '-1' is not a positive"),
        (lambda c: c.results(task_id=""), "task_id: expected a string that is not empty"),
        (lambda c: c.results(event_id="x"), "'x' is not an id"),
        (lambda c: c.logs("x"), "'x' is not an id"),
        (lambda c: c.logs("1-0", -1), "index: '-1' is not an integer from 0"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(call: Callable[[Any], object], words: str) -> None:
    with pytest.raises(BadRequest) as raised:
        call(Client(NOWHERE))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "http://redis"}, "url: invalid value"),
        ({"url": ""}, "url: expected a string that is not empty"),
        ({"stream": "a b"}, "stream: invalid value"),
        ({"results_stream": "x", "dead_stream": "x"}, "results_stream and dead_stream: both are"),
    ],
)
def test_a_client_that_cannot_work_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        Client(**options)


def test_a_redis_that_is_away_is_one_sentence_without_the_password() -> None:
    client = Client("redis://me:secret@127.0.0.1:1/0")
    for call in (lambda: client.scale_up(1), lambda: client.wait("1-0"), lambda: list(client.results())):
        with pytest.raises(RedisFailed) as raised:
            call()
        assert "tried Redis at redis://me:***@127.0.0.1:1/0" in str(raised.value)
        assert isinstance(raised.value, ClientError)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("wait", [True, False])
def test_caller_of_cancel_may_decide_at_run_time_whether_to_wait(wait: bool) -> None:
    """mypy reads this too: a wrapper that hands its own ``wait`` on has a type."""
    with pytest.raises(RedisFailed):
        assert_type(Client(NOWHERE).cancel("build-17", wait=wait), EventResult | str)


def test_arguments_become_the_fields_of_the_event_reference() -> None:
    values = {"pod_count": 2, "command": ["a", "b"], "env": {"K": "v"}, "image": None}
    when = {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}
    assert flat("scale_up", {**values, **when}, {"team": "x"}) == [
        (b"type", b"scale_up"),
        (b"pod_count", b"2"),
        (b"command", b'["a", "b"]'),
        (b"env", b'{"K": "v"}'),
        (b"expires_at", b"1767225600.000"),
        (b"meta:team", b"x"),
    ]


def test_reading_begins_before_an_event_that_is_a_time_and_at_the_start_for_any_other() -> None:
    now = 1_800_000_000_000
    assert before(f"{now}-3", now) == f"{now - 600_000}-0"
    assert before("1717-0", now) == "0-0"
    assert before(f"{now + 10**9}-0", now) == "0-0"
