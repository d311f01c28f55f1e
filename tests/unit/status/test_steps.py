"""The steps of an event's life: in order, although some clocks tell only whole seconds."""

from __future__ import annotations

from typing import Any

from ottoscaler.model import JsonObject
from ottoscaler.status.steps import steps
from ottoscaler.status.untold import Veil

EVENT_ID = "1800000000100-0"  # 2027-01-15T08:00:00.100Z
NOW_MS = 1_800_000_060_000


def worker(**times: str) -> JsonObject:
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
