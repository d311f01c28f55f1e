"""What the status page tells, step by step on a real Redis: the overview, an event's story, the search."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.model import Outcome, Reason, ScaleUp, Status, WorkerId
from ottoscaler.status.event_results import MOST_ROWS, ResultsMemory
from ottoscaler.status.overview import Overview
from ottoscaler.status.search import search
from ottoscaler.status.snapshot import SnapshotReader
from ottoscaler.status.story import log_text, story
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]

STREAM = "otto:scale:events"
PREFIX = f"{STREAM}:ottoscaler:"
SECRET = "hunter2-very-secret"
AT = "2026-01-01T00:00:0{}.000Z"

Json = dict[str, Any]


@pytest.fixture
def ledger(book: Book) -> Ledger:
    return book.ledger()


@pytest.fixture
def overview(book: Book) -> Overview:
    return Overview(book.stream(), book.settings.instance)


def taken(book: Book, ledger: Ledger, count: int = 1, task: str = "build-17", **fields: str) -> ScaleUp:
    told = {"type": "scale_up", "pod_count": str(count), "task_id": task, **fields}
    event = ScaleUp(book.redis.xadd(STREAM, told), task, count)
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"}, count=10)
    pairs = tuple((name.encode(), value.encode()) for name, value in told.items())
    assert ledger.take(event, Entry(event.event_id, pairs)).how == "taken"
    return event


def begun(ledger: Ledger, event: ScaleUp, index: int, uid: str = "") -> WorkerId:
    worker = WorkerId(event.event_id, index, 0)
    ledger.start(worker, 1)
    if uid:
        ledger.created(worker, 1, uid)
    return worker


def outcome(status: Status, reason: Reason, message: str = "", exit_code: int = 0) -> Outcome:
    return Outcome(
        status, reason, message, exit_code, "pod", "node-1", AT.format(1), AT.format(2), AT.format(3)
    )


SUCCEEDED = outcome(Status.SUCCEEDED, Reason.COMPLETED)


def story_of(book: Book, event_id: str) -> Json | None:
    return story(book.stream(), book.settings.instance, ResultsMemory(book.stream()), event_id)


def told_story(book: Book, event: ScaleUp) -> Json:
    found = story_of(book, event.event_id)
    assert found is not None
    return found


def test_each_worker_is_a_letter(book: Book, ledger: Ledger, overview: Overview) -> None:
    event = taken(book, ledger, 6)
    begun(ledger, event, 0)
    begun(ledger, event, 1, "u1")
    ledger.record(begun(ledger, event, 2, "u2"), 1, "u2", SUCCEEDED)
    failed = outcome(Status.FAILED, Reason.ERROR, "boom", 3)
    ledger.record(begun(ledger, event, 3, "u3"), 1, "u3", failed)
    ledger.retry(begun(ledger, event, 4, "u4"), 1, "u4", 60.0, "", "Evicted: too full")
    (told,) = overview.read()["events"]
    assert (told["cells"], told["n"], told["ok"], told["failed"]) == ("cpofw.", 6, 1, 1)
    sights = {"running": 1, "cells": {event.event_id: "0-1r"}}
    book.redis.hset(f"{PREFIX}replica:a", "sights", json.dumps(sights))
    read = overview.read()
    assert (read["events"][0]["cells"], read["running"], read["waiting"]) == ("crofw.", 1, 2)


def test_looking_asks_the_replicas_for_their_pods_for_a_while(
    book: Book, ledger: Ledger, overview: Overview
) -> None:
    survey = ledger.replicas.beat("{}", survey=False)
    assert survey is not None
    assert not survey.viewed
    overview.read()
    survey = ledger.replicas.beat("{}", survey=False, page=('{"minutes":[[0,7]]}', "{}", "{}"))
    assert survey is not None
    assert survey.viewed
    assert 0 < book.redis.pttl(f"{PREFIX}viewed") <= 5000
    assert overview.read()["hour"]["minutes"] == [[0, 7]]
    ledger.replicas.beat("{}", survey=False, page=("", "-", "-"))
    assert set(book.redis.hkeys(f"{PREFIX}replica:a")) >= {"recent", "recent-at"}
    assert not book.redis.hexists(f"{PREFIX}replica:a", "sights")


def test_failures_of_one_event_that_are_alike_are_told_as_one(
    book: Book, ledger: Ledger, overview: Overview
) -> None:
    event = taken(book, ledger, 5, env=json.dumps({"TOKEN": SECRET}))
    for index in range(3):
        worker = begun(ledger, event, index, f"u{index}")
        ledger.record(worker, 1, f"u{index}", outcome(Status.FAILED, Reason.ERROR, f"no {SECRET}", 3))
        overview.read()
    ledger.record(begun(ledger, event, 3, "u3"), 1, "u3", outcome(Status.FAILED, Reason.OOM_KILLED))
    newest, older = overview.read()["failures"]
    assert (newest["reason"], newest["count"], newest["index"]) == ("OOMKilled", 1, 3)
    assert (older["reason"], older["count"], older["message"]) == ("Error", 3, "no ***")


def test_the_overview_is_bounded_however_much_is_in_flight(
    book: Book, ledger: Ledger, overview: Overview
) -> None:
    for number in range(210):
        taken(book, ledger, 1000, f"t-{number}")
    read = overview.read()
    assert (read["total"], len(read["events"]), read["waiting"]) == (210, 200, 210_000)
    assert sum(len(each["cells"]) for each in read["events"]) == 20_000
    assert len(json.dumps(read)) < 150_000


def test_no_env_command_or_args_is_told_of_a_dead_letter(
    book: Book, ledger: Ledger, overview: Overview
) -> None:
    fields = {
        "type": "scale_up",
        "task_id": "t",
        "env": SECRET,
        "command": SECRET,
        "args": SECRET,
        "ENV": SECRET,
    }
    event_id = book.redis.xadd(STREAM, fields)
    pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
    ledger.dead_letter(event_id, f"env: invalid value '{SECRET}'; expected an object", pairs)
    read = overview.read()["dead"]
    assert (read["total"], read["newest"][0]["error"]) == (1, "env: invalid value '***'; expected an object")
    told = story_of(book, event_id)
    assert told is not None
    assert told["status"] == "dead-lettered"
    assert dict(told["dead_letter"]["fields"])["type"] == "scale_up"
    assert SECRET not in json.dumps([told, read])
    newest = SnapshotReader(book.stream("status")).read()["dead_letters"]["newest"]
    assert [newest[0]["error"], SECRET in json.dumps(newest)] == [read["newest"][0]["error"], False]
    book.redis.delete("otto:scale:dead")
    assert overview.read()["dead"] == {"total": 0, "newest": []}


def test_a_story_goes_from_the_stream_to_the_last_worker_and_stays_after_the_end(
    book: Book, ledger: Ledger
) -> None:
    event = taken(book, ledger, 2)
    ledger.retry(begun(ledger, event, 0, "u0"), 1, "u0", 0.0, "", "Evicted: too full")
    again = WorkerId(event.event_id, 0, 1)
    ledger.start(again, 1)
    ledger.created(again, 1, "u1")
    ledger.record(begun(ledger, event, 1, "v0"), 1, "v0", SUCCEEDED)
    half = told_story(book, event)
    assert half["status"] == "in flight"
    assert [each["state"] for each in half["workers"]] == ["starting", "succeeded"]
    details = {event.event_id: [[0, "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "node-2"]]}
    book.redis.hset(f"{PREFIX}replica:a", "details", json.dumps(details))
    live = told_story(book, event)["workers"][0]
    assert (live["state"], live["node"], live["attempt"]) == ("running", "node-2", 1)
    ledger.record(again, 1, "u1", SUCCEEDED)
    whole = told_story(book, event)
    assert (whole["status"], whole["counts"]["succeeded"], whole["task_id"]) == ("succeeded", 2, "build-17")
    words = [step["what"] for step in whole["steps"] if not step["at"].startswith("2026-01-01")]
    assert words == ["sent", "read", "begun", "retried", "ended"]
    (retried,) = (step["text"] for step in whole["steps"] if step["what"] == "retried")
    assert retried == "worker 0 after attempt 0: Evicted: too full"


def test_a_story_tells_a_status_that_only_a_later_version_knows(book: Book, ledger: Ledger) -> None:
    event = taken(book, ledger, 2)
    begun(ledger, event, 0, "uid")
    result = {"kind": "worker", "event_id": event.event_id, "index": "1", "status": "skipped"}
    book.redis.xadd("otto:scale:results", result)
    assert [each["state"] for each in told_story(book, event)["workers"]] == ["starting", "skipped"]


def test_a_story_names_who_cancelled_a_worker(book: Book, ledger: Ledger) -> None:
    event = taken(book, ledger, 2)
    begun(ledger, event, 0, "u0")
    down = f"{int(event.event_id.partition('-')[0]) + 1}-0"
    intent = f"1800000000000:{down}:cancelled by {down}"
    book.redis.hset(f"{PREFIX}event:{event.event_id}", "c:0", intent)
    told = told_story(book, event)
    assert (told["workers"][0]["state"], told["workers"][0]["cancelled_by"]) == ("cancelling", down)
    assert f"worker 0, by {down}" in [step["text"] for step in told["steps"]]
    ended = outcome(Status.CANCELLED, Reason.CANCELLED, f"cancelled by {down}", 143)
    ledger.record(WorkerId(event.event_id, 0, 0), 1, "u0", ended, despite_intent=True)
    worker = told_story(book, event)["workers"][0]
    assert (worker["state"], worker["cancelled_by"]) == ("cancelled", down)


def test_a_kept_log_is_there_without_what_is_never_told(book: Book, ledger: Ledger) -> None:
    event = taken(book, ledger, 1, env=json.dumps({"TOKEN": SECRET}))
    worker = begun(ledger, event, 0, "u0")
    ledger.logs.keep(worker, 1, f"+ login {SECRET}\n<b>no</b>".encode(), 3600, 65536)
    assert told_story(book, event)["workers"][0]["logs"] == [0]
    assert log_text(book.stream(), event.event_id, 0, 0) == "+ login ***\n<b>no</b>"
    assert log_text(book.stream(), event.event_id, 0, 1) is None


def test_each_look_at_an_events_results_goes_on_behind_the_last(book: Book, ledger: Ledger) -> None:
    memory = ResultsMemory(book.stream())
    mine, others = ({"kind": "worker", "event_id": event, "status": "succeeded"} for event in ("7-0", "8-0"))
    for index in range(3):
        book.redis.xadd("otto:scale:results", mine | {"index": str(index)})
        book.redis.xadd("otto:scale:results", others | {"index": str(index)})
    assert [each.index for each in memory.of("7-0", "-", "+").workers] == [0, 1, 2]
    book.redis.xtrim("otto:scale:results", maxlen=1)
    book.redis.xadd("otto:scale:results", mine | {"index": "3", "status": "failed"})
    told = memory.of("7-0", "-", "+")
    assert [each.index for each in told.workers] == [3, 0, 1, 2]
    assert told.left_out == 0
    pipe = book.redis.pipeline(transaction=False)
    for index in range(MOST_ROWS):
        pipe.xadd("otto:scale:results", mine | {"index": str(index)})
    pipe.execute()
    told = memory.of("7-0", "-", "+")
    assert (len(told.others), len(told.failed), told.left_out) == (MOST_ROWS, 1, 3)


def test_nothing_is_told_of_an_event_that_nobody_sent(book: Book, ledger: Ledger) -> None:
    assert story_of(book, "1-1") is None


def test_the_search_finds_events_wherever_they_are(book: Book, ledger: Ledger) -> None:
    flying = taken(book, ledger, 1, "build-17")
    ended = taken(book, ledger, 1, "build-170")
    ledger.record(begun(ledger, ended, 0, "u"), 1, "u", SUCCEEDED)
    dead = book.redis.xadd(STREAM, {"type": "x", "task_id": "Build-17-dead"})
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"}, count=10)
    ledger.dead_letter(dead, "type: invalid", [(b"type", b"x"), (b"task_id", b"Build-17-dead")])
    waiting = book.redis.xadd(STREAM, {"type": "scale_up", "task_id": "build-17-unread"})
    found = search(book.stream(), "build-17")["found"]
    assert {each["event_id"]: each["status"] for each in found} == {
        flying.event_id: "in flight",
        ended.event_id: "succeeded",
        dead: "dead-lettered",
        waiting: "not read yet",
    }
    assert found[0]["event_id"] == flying.event_id  # the exact one first
    for event_id in (flying.event_id, ended.event_id, waiting):
        assert search(book.stream(), event_id)["found"][0]["event_id"] == event_id
    assert search(book.stream(), "nothing-such") == {"q": "nothing-such", "found": [], "more": False}
