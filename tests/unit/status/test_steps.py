"""The steps of an event's life: in order, although some clocks tell only whole seconds."""

from __future__ import annotations

from typing import Any

from ottoscaler.client.entries import EventResult
from ottoscaler.model import JsonObject
from ottoscaler.status.steps import steps
from ottoscaler.status.untold import Veil

EVENT_ID = "1800000000100-0"  # 2027-01-15T08:00:00.100Z
NOW_MS = 1_800_000_060_000


def worker(**times: Any) -> JsonObject:
    rest = {"reason": "", "cancelled_by": "", "state": "succeeded"}
    return {"index": 0, "created_at": "", "started_at": "", "finished_at": "", **rest, **times}


def told(raw: dict[str, str], *workers: JsonObject, dead: JsonObject | None = None) -> list[Any]:
    found = steps(EVENT_ID, raw, None, workers, dead, NOW_MS, Veil(()))
    return [(each["what"], each["after"]) for each in found]


def test_what_the_api_server_tells_in_whole_seconds_comes_after_the_events_begin() -> None:
    raw = {"taken": "1800000000400", "first": "1800000000500"}
    ran = worker(created_at="2027-01-15T08:00:00Z", started_at="2027-01-15T08:00:02Z")
    assert told(raw, ran) == [
        ("sent", 0.0), ("read", 0.3), ("begun", 0.4), ("created", 0.4), ("running", 1.9)
    ]  # fmt: skip


def test_without_a_ledger_no_whole_second_comes_before_the_xadd() -> None:
    assert told({}, worker(created_at="2027-01-15T08:00:00Z")) == [("sent", 0.0), ("created", 0.0)]


def test_dead_letter_is_a_step_with_its_sentence() -> None:
    dead = {"at": "2027-01-15T08:00:05.100Z", "error": "no such profile"}
    assert told({}, dead=dead) == [("sent", 0.0), ("dead-lettered", 5.0)]
    assert steps(EVENT_ID, {}, None, (), dead, NOW_MS, Veil(()))[1]["text"] == "no such profile"


def test_of_many_workers_the_first_and_the_last_are_told_and_how_they_ended() -> None:
    raw = {"taken": "1800000000400", "owner": "a/1"}
    workers = [
        worker(created_at="2027-01-15T08:00:01Z", finished_at="2027-01-15T08:00:05.250Z"),
        worker(index=1, finished_at="2027-01-15T08:00:06.000Z"),
        worker(index=2, finished_at="2027-01-15T08:00:07.500Z", state="failed", reason="Error"),
    ]
    result = EventResult(
        "1800000008000-0", EVENT_ID, "t", "scale_up", "partial", 3, 2, 1, 0, duration_ms=7900
    )
    found = steps(EVENT_ID, raw, result, workers, None, NOW_MS, Veil(()))
    assert [(each["at"][17:], each["text"]) for each in found] == [
        ("00.100Z", "added to the stream"),
        ("00.400Z", "from the stream; its owner now is a"),
        ("01Z", "worker 0"),
        ("05.250Z", "worker 0, the first: succeeded"),
        ("07.500Z", "worker 2, the last of 3: failed, Error"),
        ("08.000Z", "partial after 7.9 s"),
    ]


def test_event_whose_id_is_no_time_begins_with_its_read() -> None:
    found = steps("5-0", {"taken": "1800000000400"}, None, (), None, NOW_MS, Veil(()))
    assert [(each["what"], each["text"]) for each in found] == [("read", "from the stream")]
