"""The public Python API beside a running service, with a producer's and a reader's rights alone."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from ottoscaler.client import (
    Client,
    DeadLetter,
    DeadLettered,
    EventResult,
    RedisFailed,
    UnknownEvent,
    WaitTimeout,
    WorkerResult,
)
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for

ROOT = Path(__file__).parents[2]
QUICK = {"SIM_RUN_SECONDS": "0.1"}
FOR_EVER = {"SIM_RUN_SECONDS": "inf"}
PRODUCER = "+xadd ~otto:scale:events"
READER = "(+xrange +xread ~otto:scale:results ~otto:scale:dead)"
FORKS = """
import os, sys
from ottoscaler.client import Client
client = Client(sys.argv[1])
client.scale_up(1, task_id="parent")
for name in ("first", "second"):
    if not os.fork():
        for _ in range(20):
            os.write(1, f"{client.scale_up(1, task_id=name)} {name}\\n".encode())
        os._exit(0)
for _ in range(2):
    os.wait()
"""


@contextmanager
def client(place: Sandbox, rules: str = "") -> Iterator[Client]:
    """With ``rules``, as an ACL user with these rights only."""
    url = place.redis_server.url
    if rules:
        words = f"ACL SETUSER narrow reset on >word {rules}"
        place.redis.execute_command(*_words(words))
        url = url.replace("redis://", "redis://narrow:word@")
    with Client(url) as made:
        yield made


def _words(text: str) -> list[str]:
    """Split at blanks, but a selector in brackets is one word."""
    head, bracket, tail = text.partition("(")
    return [*head.split(), *([bracket + tail] if bracket else [])]


def test_forked_producers_are_told_the_ids_of_their_own_events(place: Sandbox) -> None:
    """A server that loads the program before it forks its workers does this."""
    words = (sys.executable, "-c", FORKS, place.redis_server.url)
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    there = {found: fields["task_id"] for found, fields in place.redis.xrange("otto:scale:events")}
    assert [there[line.split()[0]] for line in told.splitlines()] == [x.split()[1] for x in told.splitlines()]
    assert len(there) == 1 + 2 * 20


def test_a_producer_who_may_only_xadd_sends(place: Sandbox) -> None:
    with client(place, PRODUCER) as sender:
        event_id = sender.scale_up(2, task_id="t", command=["echo", "a"], metadata={"team": "x"})
        with pytest.raises(RedisFailed, match="Allow the ACL user"):
            sender.wait(event_id, timeout=30)
    ((found, fields),) = place.redis.xrange("otto:scale:events")
    assert found == event_id
    assert (fields["type"], fields["pod_count"], fields["command"]) == ("scale_up", "2", '["echo", "a"]')


def test_a_scale_down_is_sent_with_all_that_it_may_have(place: Sandbox) -> None:
    with client(place, PRODUCER) as user:
        user.scale_down(
            task_id="t", pod_count=1, keep_running=True, expires_at=2_000_000_000, metadata={"run": "7"}
        )
    ((_, fields),) = place.redis.xrange("otto:scale:events")
    assert fields == {
        "type": "scale_down",
        "task_id": "t",
        "pod_count": "1",
        "running": "keep",
        "expires_at": "2000000000",
        "meta:run": "7",
    }


def test_an_event_is_sent_and_waited_for_with_xadd_xrange_and_xread_alone(place: Sandbox) -> None:
    place.start()
    ended: list[WorkerResult] = []
    with client(place, f"{PRODUCER} {READER}") as user:
        event_id = user.scale_up(2, task_id="t", env=QUICK)
        result = user.wait(event_id, timeout=30, on_worker=ended.append)
        assert (result.event_id, result.status, result.succeeded) == (event_id, "succeeded", 2)
        assert sorted(worker.index for worker in ended) == [0, 1]
        # attached again, long after its end
        assert user.wait(event_id, timeout=30) == result
        assert [type(each) for each in user.results(task_id="t")] == [WorkerResult, WorkerResult, EventResult]
        assert list(user.results(task_id="other")) == []
        first, again = (user.scale_up(1, dedup_key="once", env=QUICK) for _ in range(2))
        assert user.wait(again, timeout=30).event_id == first, "a duplicate runs nothing"


def test_a_dead_letter_ends_the_waiting_with_its_sentence(place: Sandbox) -> None:
    place.start()
    with client(place, f"{PRODUCER} {READER}") as user:
        event_id = user.scale_up(1, task_id="bad", profile="nonesuch")
        with pytest.raises(DeadLettered, match="nonesuch") as raised:
            user.wait(event_id, timeout=30)
        assert raised.value.letter is not None
        assert raised.value.letter.event_id == event_id
        (letter,) = user.results(event_id=event_id)
        assert isinstance(letter, DeadLetter)
        assert letter.task_id == "bad"


def test_waiting_has_an_end_and_the_event_goes_on(place: Sandbox) -> None:
    with client(place) as user:
        event_id = user.scale_up(1)
        with pytest.raises(WaitTimeout, match=r"has not ended within 0\.2 s; it waits or runs"):
            user.wait(event_id, timeout=0.2)
    assert place.redis.xlen("otto:scale:events") == 1


def test_an_id_that_nobody_knows_is_told_at_once(place: Sandbox) -> None:
    with client(place) as user, pytest.raises(UnknownEvent, match="no event 1717-0 is known"):
        user.wait("1717-0", timeout=30)


def test_an_event_whose_entries_are_trimmed_is_told_from_the_ledger(place: Sandbox) -> None:
    place.start()
    with client(place) as user:
        event_id = user.scale_up(1, task_id="t", env=QUICK)
        user.wait(event_id, timeout=30)
        place.redis.xtrim("otto:scale:results", maxlen=0)
        result = user.wait(event_id, timeout=30)
    assert (result.status, result.task_id, result.type, result.id) == ("succeeded", "t", "scale_up", "")


def test_kept_logs_need_the_rights_to_smembers_and_get_alone(place: Sandbox) -> None:
    key = "otto:scale:events:ottoscaler:log:1717-0"
    for name, text in (("0:1", b"again"), ("0:0", b"first"), ("2:0", b"\xff")):
        place.redis.sadd(key, name)
        place.redis.set(f"{key}:{name}", zlib.compress(text))
    page = (ROOT / "docs/redis.md").read_text()
    (rules,) = re.findall(r'^    "(\(.*:log:.*\))"$', page, re.MULTILINE)
    with client(place, rules) as user:
        assert [(log.index, log.attempt, log.text) for log in user.logs("1717-0")] == [
            (0, 0, b"first"),
            (0, 1, b"again"),
            (2, 0, b"\xff"),
        ]
        assert [log.text for log in user.logs("1717-0", 2)] == [b"\xff"]
        assert list(user.logs("1718-0")) == []
        with pytest.raises(RedisFailed, match="Allow the ACL user"):
            user.scale_up(1)


def test_cancelling_waits_until_the_workers_are_gone(place: Sandbox) -> None:
    place.start()
    with client(place, f"{PRODUCER} {READER}") as user:
        event_id = user.scale_up(2, task_id="t", env=FOR_EVER)
        place.wait_workers(event_id, "Running", 2)
        gone = user.cancel("t", timeout=30)
        assert (gone.type, gone.status, gone.cancelled) == ("scale_down", "succeeded", 2)
        assert user.wait(event_id, timeout=30).status == "cancelled"


def test_following_goes_on_after_a_restart_of_redis(place: Sandbox) -> None:
    place.start()
    found: list[Any] = []
    with client(place) as user:
        first = user.scale_up(1, env=QUICK)
        user.wait(first, timeout=30)
        following = user.results(follow=True)

        def follow() -> None:
            found.extend(next(following) for _ in range(4))

        reader = threading.Thread(target=follow)
        reader.start()
        wait_for(lambda: len(found) == 2, "it has read what was there, and follows")
        place.redis_server.stop()
        place.redis_server.start()
        second = place.scale_up()
        reader.join(60)
    assert [each.event_id for each in found] == [first, first, second, second]


def test_the_examples_of_the_page_run_as_they_are_written() -> None:
    blocks = (ROOT / "docs/python.md").read_text().split("```python\n")[1:]
    code = "\n".join(block.partition("```")[0] for block in blocks)
    with sandbox(kubelet="process") as place:
        place.start()
        code = code.replace("redis://localhost:6379/0", place.redis_server.url)
        told = StringIO()
        names: dict[str, Any] = {}
        with redirect_stdout(told):
            exec(compile(code, "docs/python.md", "exec"), names)
    lines = told.getvalue().splitlines()
    assert lines[0] == "succeeded 2"
    assert sorted(lines[1:3]) == ["0 succeeded 0", "1 succeeded 0"]
    assert sorted(lines[3:5]) == ["0 Completed", "1 Error"]
    assert lines[5:] == ["partial 1", "1 0 here", "", "3", "True True"]
