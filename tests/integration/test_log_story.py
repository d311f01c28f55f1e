"""The log tells an event's whole life: one filter on its id, each line with its task, the metadata once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.cluster_state import FOREVER, served
from tests.harness.observer import Json
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import running
from tests.harness.waiting import wait_for

one_replica = served(OTTO_LOG_LEVEL="DEBUG", OTTO_MAX_WORKERS="2")


def story(place: Sandbox, event_id: str, last: str) -> dict[str, list[Json]]:
    """The event's lines by their action, once the last one is there."""

    def told() -> list[Json]:
        lines = place.replicas[0].lines(event_id=event_id)
        return lines if any(line["action"] == last for line in lines) else []

    found: dict[str, list[Json]] = {}
    for line in wait_for(told, f"{last} is logged"):
        found.setdefault(line["action"], []).append(line)
    return found


def place_lines(place: Sandbox, event_id: str, action: str) -> list[Json]:
    return place.replicas[0].lines(event_id=event_id, action=action)


def test_every_line_of_an_event_names_its_task_and_its_metadata_is_told(one_replica: Sandbox) -> None:
    event_id = one_replica.scale_up(2, task_id="build 17", branch="main", who="ömer")
    found = story(one_replica, event_id, "event_ended")
    for lines in found.values():
        assert {line["task_id"] for line in lines} == {"build 17"}
    for action in ("event_taken", "event_ended"):
        (line,) = found[action]
        assert json.loads(line["metadata"]) == {"branch": "main", "who": "ömer"}
    assert found["event_ended"][0]["message"] == "the event succeeded"
    assert {line["message"] for line in found["worker_recorded"]} == {"the worker succeeded"}
    # The deletes follow the records, so the last one may come after the event's end.
    deleted = wait_for(
        lambda: lines if len(lines := place_lines(one_replica, event_id, "pod_deleted")) == 2 else [],
        "both Pods are deleted",
    )
    assert {(line["index"], line["task_id"]) for line in deleted} == {(0, "build 17"), (1, "build 17")}


def test_long_metadata_is_cut_and_none_is_left_out(one_replica: Sandbox) -> None:
    long, none = one_replica.scale_up(1, note="x" * 20_000), one_replica.scale_up(1)
    (line,) = story(one_replica, long, "event_ended")["event_taken"]
    assert len(line["metadata"]) == 1024
    assert line["metadata"].startswith('{"note":"xxx')
    (line,) = story(one_replica, none, "event_ended")["event_ended"]
    assert "metadata" not in line


def test_cancelled_workers_and_their_events_are_told_with_their_task(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(1, task_id="mine", run_seconds=FOREVER)
    place.wait_workers(event_id, "Running", 1)
    down = place.send("scale_down", pod_count=1, asked_by="me")  # it names no task itself
    found = story(place, event_id, "event_ended")
    for action in ("pod_cancelled", "worker_recorded", "event_ended"):
        assert [line["task_id"] for line in found[action]] == ["mine"], action
    assert found["worker_recorded"][0]["message"] == "the worker was cancelled"
    assert found["event_ended"][0]["message"] == "the event was cancelled"
    for action in ("event_taken", "event_ended"):
        assert json.loads(story(place, down, "event_ended")[action][0]["metadata"]) == {"asked_by": "me"}


@pytest.mark.parametrize(
    ("fields", "task_id"),
    [
        ({"type": "scale_up", "task_id": "build-18"}, "build-18"),
        ({"type": "scale_up", "pod_count": "1", "task_id": "late", "expires_at": "1"}, "late"),
        ({"type": "scale_up", "task_id": "t" * 300}, "t" * 256),
        ({"type": "scale_up", "task_id": b"caf\xe9"}, None),
        ({"type": "scale_down", "profile": "x"}, None),
    ],
)
def test_dead_letter_is_told_with_the_task_as_it_was_sent(
    one_replica: Sandbox, fields: dict[Any, Any], task_id: str | None
) -> None:
    event_id = one_replica.redis.xadd("otto:scale:events", fields)
    (line,) = story(one_replica, event_id, "event_dead_lettered")["event_dead_lettered"]
    assert line.get("task_id") == task_id


def test_failed_worker_is_told_with_its_reason(one_replica: Sandbox) -> None:
    event_id = one_replica.scale_up(1, env={"SIM_WAITING": "InvalidImageName"})
    found = story(one_replica, event_id, "event_ended")
    assert found["worker_recorded"][0]["message"] == "the worker failed: ImagePull"


def counted(place: Sandbox) -> list[float]:
    """Cancelled workers, cancelled events, and events whose duration was measured."""
    replica = place.replicas[0]
    return [
        replica.metric("ottoscaler_workers_total", status="cancelled", reason="Cancelled"),
        replica.metric("ottoscaler_events_total", type="scale_up", status="cancelled"),
        replica.metric("ottoscaler_event_duration_seconds_count"),
    ]


@pytest.mark.parametrize("count", [3, 150])  # 150: more than one script cancels
@pytest.mark.parametrize("read", [True, False])
def test_workers_cancelled_before_they_began_are_counted_and_their_event_s_end_is_told(
    one_replica: Sandbox, count: int, *, read: bool
) -> None:
    place, task = one_replica, f"unbegun {count} {read}"
    blocker = running(place, 2) if read else ""  # no slot is free, so none of the next begins
    before = counted(place)
    up = {"type": "scale_up", "pod_count": count, "task_id": task, "branch": "main"}
    if read:
        event_id = place.redis.xadd("otto:scale:events", up)
        story(place, event_id, "event_taken")
        down = place.send("scale_down", task_id=task)
    else:
        both: Any = place.redis.pipeline(transaction=True)
        both.xadd("otto:scale:events", up)
        both.xadd("otto:scale:events", {"type": "scale_down", "task_id": task})
        event_id, down = both.execute()
    (line,) = story(place, event_id, "event_ended")["event_ended"]
    assert (line["message"], line["status"]) == ("the event was cancelled", "cancelled")
    assert (line["task_id"], line["metadata"]) == (task, '{"branch":"main"}')
    assert place.wait_event(down)["cancelled"] == str(count)
    now = [then + more for then, more in zip(before, (count, 1, 2), strict=True)]
    wait_for(lambda: counted(place) == now, "what has ended is counted")
    if blocker:
        place.wait_event(place.send("scale_down", task_id=blocker))
