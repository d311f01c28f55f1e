"""A ledger as ``status`` tells it: counted, and readable."""

from __future__ import annotations

from typing import Any

import pytest

from ottoscaler.cli.status import fitting, render
from ottoscaler.cli.terminal import cut, width
from ottoscaler.status.in_flight import describe

NOW_MS = 1_800_000_010_000
LEDGER = {
    "state": b"open",
    "type": b"scale_up",
    "task": b"build-17\x1b[2J",
    "n": b"6",
    "owner": b"a/b/1f",
    "epoch": b"2",
    "taken": b"1800000000500",
    "strikes": b"1",
    "ok": b"1",
    "bad": b"0",
    "cut": b"0",
    "body": b"\xff",
    "i:0": b"d:0:succeeded:u0",
    "i:1": b"s:0:u1",
    "i:2": b"s:1:",
    "i:3": b"w:1:1800000012500:node-1",
    "c:1": b"1800000009000:1800000009000-0:cancelled by 1800000009000-0: now",
}


def event(event_id: str = "1800000000000-0", **changes: bytes) -> dict[str, Any]:
    return describe(event_id, {**LEDGER, **changes}, offered=False, now_ms=NOW_MS)


def test_every_worker_is_counted_once() -> None:
    counts = event()["counts"]
    assert counts == {
        "not_begun": 2,
        "begun": 1,
        "cancelling": 1,
        "retrying": 1,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 0,
    }
    assert sum(counts.values()) == 6


def test_workers_that_have_begun_are_told_one_by_one() -> None:
    assert event()["workers"] == [
        {
            "index": 1,
            "attempt": 0,
            "state": "cancelling",
            "cancelled_by": "1800000009000-0",
            "pod_uid": "u1",
        },
        {"index": 2, "attempt": 1, "state": "begun"},
        {"index": 3, "attempt": 1, "state": "retrying", "due_in_seconds": 2.5},
    ]


def test_an_owner_is_its_consumer_name_also_with_slashes() -> None:
    assert (event()["owner"], event()["epoch"]) == ("a/b", 2)
    assert event(owner=b"")["owner"] == ""


def test_age_is_counted_from_the_id_where_that_is_a_time() -> None:
    assert event()["age_seconds"] == 10.0
    assert event("1717-0")["age_seconds"] == 9.5
    assert event("18446744073709551615-1")["age_seconds"] == 9.5


def test_a_scale_down_of_all_has_no_number() -> None:
    down = event(type=b"scale_down", n=b"")
    assert down["pod_count"] is None
    assert down["counts"]["not_begun"] == 0


def test_a_scale_down_of_some_has_no_workers_to_begin() -> None:
    down = event(type=b"scale_down", n=b"5")
    assert (down["pod_count"], down["counts"]["not_begun"]) == (5, 0)


def picture(**changes: Any) -> dict[str, Any]:
    failure = {
        "event_id": "5-0",
        "task_id": "t",
        "index": 3,
        "attempt": 0,
        "pod": "p",
        "node": "n",
        "reason": "OOMKilled",
        "exit_code": 137,
        "message": "heap\n\x1b[2Jfull",
        "finished_at": "2026-01-01T00:00:00.000Z",
    }
    return {
        "stream": "s",
        "group": "g",
        "at": "now",
        "installation": "",
        "paused": True,
        "paused_since": "2026-01-01T00:00:00.000Z",
        "broken_keys": [{"key": "s:g:offers\x1b", "type": "string", "expected": "set"}],
        "replicas": [],
        "backlog": {
            "lag": None,
            "pending": 1,
            "lost": 8,
            "oldest_pending": {"event_id": "5-0", "consumer": "c", "age_seconds": 70.0},
        },
        "events": [event()],
        "events_in_flight": 41,
        "recent_failures": [failure],
        "dead_letters": {
            "total": 2,
            "newest": [{"at": "then", "event_id": "6-0", "error": "pod_count is '0'"}],
        },
        **changes,
    }


def test_the_picture_for_people_has_it_all_in_lines_that_cannot_steer_a_terminal() -> None:
    text = "\n".join(render(picture()))
    assert "\x1b" not in text
    for words in (
        "no replica has registered",
        "none: events wait until a service starts",
        "an unknown number not read yet, 1 read but not finished",
        "8 removed from the stream unread",
        "oldest: 5-0, 1m10s, read by c",
        "2 not begun, 1 begun, 1 cancelling, 1 retrying, 1 succeeded (2 in a later attempt); strikes: 1",
        "and 40 younger ones",
        "OOMKilled  137   heap \\x1b[2Jfull",
        "Dead letters: 2",
        "pod_count is '0'",
    ):
        assert words in text


@pytest.mark.parametrize(("wide", "high"), [(80, 24), (200, 50)])
def test_it_fits_the_screen_and_every_table_keeps_a_line(wide: int, high: int) -> None:
    beat = {"consumer": "ottoscaler-6c7f8d9b4-abcde", "state": "alive", "workers": 1, "workers_max": 100}
    beat |= {"events_in_hand": 1, "lease_seconds": 30.0, "last_beat_at": "2026-01-01T00:00:00.000Z"}
    full = picture()
    full["replicas"] = [beat] * 10
    full["events"] = [event(task="빌드-17-긴-이름-아주-긴-이름".encode())] * 41
    full["recent_failures"] *= 10
    full["dead_letters"]["newest"] *= 5
    lines = fitting(full, wide, high)
    assert len(lines) <= high
    text = "\n".join(line if width(line) <= wide else cut(line, wide) for line in lines)
    for words in (
        "Replicas: 10 alive",
        "1/100",
        "2 not begun, 1 begun",
        "OOMKilled",
        "pod_count is",
    ):
        assert words in text
    assert len(lines) >= high - 8


def test_a_large_screen_shows_more_events() -> None:
    full = picture(events=[event()] * 30, events_in_flight=30)
    shown = [sum("1800000000000-0" in line for line in fitting(full, 120, high)) for high in (24, 50)]
    assert 3 <= shown[0] < 10
    assert 20 <= shown[1] <= 30
