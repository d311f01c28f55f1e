"""An event that was taken under other rules: what of it runs keeps its own."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from ottoscaler.controller.reading import EventReader
from ottoscaler.errors import BadEvent
from ottoscaler.events.images import ImagePolicy
from ottoscaler.events.parse import Limits
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.records import Entry, Record
from ottoscaler.model import ScaleUp
from tests.harness import parsed_events
from tests.harness.pod_makers import DEFAULTS, LIVE

LIMITS = replace(parsed_events.LIMITS, max_pods_per_event=10, allowed_images=ImagePolicy(["busybox"]))
FIELDS = {
    "type": "scale_up",
    "pod_count": "5",
    "task_id": "build-17",
    "timeout_seconds": "7200",
    "max_retries": "3",
    "cpu": "4",
    "branch": "main",
}


def again(limits: Limits, **fields: str) -> tuple[ScaleUp, str]:
    body = json.dumps(list({**FIELDS, **fields}.items())).encode()
    read = EventReader(limits, LIVE, DEFAULTS, ReplicaIdentity("a")).again(
        Record("1717-0", 1, 0, body, count=5)
    )
    assert (read.plan is None) == bool(read.problem)
    assert read.within_limits == (not read.problem)
    assert isinstance(read.event, ScaleUp)
    return read.event, read.problem


@pytest.mark.parametrize(
    "lowered",
    [
        replace(LIMITS, max_pods_per_event=1),
        replace(LIMITS, max_event_bytes=1),
        replace(LIMITS, max_timeout_seconds=60),
        replace(LIMITS, max_event_retries=0),
        replace(LIMITS, max_cpu="1"),
        replace(LIMITS, allowed_images=ImagePolicy(["team/*"])),
    ],
)
def test_lowered_limit_leaves_running_workers_their_timeout_retries_and_metadata(lowered: Limits) -> None:
    event, why = again(lowered, image="busybox:1")
    assert why
    assert (event.pod_count, event.task_id, event.timeout_seconds, event.max_retries) == (
        5,
        "build-17",
        7200,
        3,
    )
    assert event.metadata == {"branch": "main"}


@pytest.mark.parametrize(
    ("bytes_", "why"),
    [
        (65537, "the event has 65537 bytes; the limit is 65536."),
        (65536, "the event has more than 32768 fields"),
    ],
)
def test_event_that_was_not_read_whole_is_told_which_limit_it_broke(bytes_: int, why: str) -> None:
    reader = EventReader(LIMITS, LIVE, DEFAULTS, ReplicaIdentity("a"))
    with pytest.raises(BadEvent, match=re.escape(why)):
        reader.event(Entry("1717-0", ((b"type", b"scale_up"),), bytes_))


def test_event_within_the_rules_is_planned_again() -> None:
    assert again(LIMITS)[1] == ""


def test_field_that_reads_like_a_known_one_since_an_update_ends_no_event_in_flight() -> None:
    event, why = again(LIMITS, replicas="x")
    assert why == ""
    assert event.metadata == {"branch": "main", "replicas": "x"}


def test_event_that_no_rule_reads_any_more_is_what_its_ledger_tells() -> None:
    event, why = again(LIMITS, pod_count="many")
    assert event == ScaleUp("1717-0", "1717-0", 5)
    assert "pod_count" in why


def test_ledger_of_a_billion_workers_takes_no_memory() -> None:
    """No setting allows so many, so somebody else wrote it. Each replica would have died of it in turn."""
    event, why = again(LIMITS, pod_count="1000000000")
    assert event == ScaleUp("1717-0", "1717-0", 5)
    assert "pod_count" in why
