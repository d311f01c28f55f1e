"""What comes back, field by field, as docs/results.md has it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from tests.harness.cluster_state import FOREVER, served
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for

one_replica = served()

WORKER = [
    "kind", "event_id", "task_id", "index", "attempt", "pod", "node", "status", "reason", "exit_code",
    "message", "metadata", "created_at", "started_at", "finished_at",
]  # fmt: skip
EVENT = [
    "kind", "event_id", "task_id", "type", "status", "pod_count", "succeeded", "failed", "cancelled",
    "duration_ms", "metadata",
]  # fmt: skip


def moment(text: str) -> float:
    """RFC 3339 in UTC with milliseconds, and nothing else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()


def is_exact(text: str) -> bool:
    return len(text) == len("2026-01-01T00:00:00.000Z")


def test_worker_and_event_have_their_fields_once_each(one_replica: Sandbox) -> None:
    place = one_replica
    begun = time.time()
    event_id = place.scale_up(2, task_id="Größe/17", env={"SIM_EXIT_CODE": "0"}, branch="main", who="é")
    entry = place.wait_event(event_id)
    assert list(entry) == EVENT
    assert {k: entry[k] for k in EVENT if k != "duration_ms"} == {
        "kind": "event", "event_id": event_id, "task_id": "Größe/17", "type": "scale_up",
        "status": "succeeded", "pod_count": "2", "succeeded": "2", "failed": "0", "cancelled": "0",
        "metadata": '{"branch":"main","who":"é"}',
    }  # fmt: skip
    assert 200 <= int(entry["duration_ms"]) <= (time.time() - begun) * 1000 + 1000
    workers = place.workers(event_id)
    assert [w["index"] for w in workers] == ["0", "1"]
    for worker in workers:
        assert list(worker) == WORKER
        assert (worker["kind"], worker["event_id"], worker["task_id"]) == ("worker", event_id, "Größe/17")
        assert (worker["attempt"], worker["status"], worker["reason"]) == ("0", "succeeded", "Completed")
        assert (worker["exit_code"], worker["message"]) == ("0", "")
        assert json.loads(worker["metadata"]) == {"branch": "main", "who": "é"}
        assert worker["pod"] == f"otto-agent-test-{event_id}-{worker['index']}-0"
        assert worker["node"]
        times = [worker[k] for k in ("created_at", "started_at", "finished_at")]
        assert all(is_exact(text) for text in times)
        assert [moment(t) for t in times] == sorted(moment(t) for t in times)
        assert begun - 2 <= moment(times[0]) <= moment(times[2]) <= time.time() + 2
    # The last worker's entry and the event's are one step: the event's is the very next.
    kinds = [f["kind"] for _, f in place.redis.xrange("otto:scale:results") if f["event_id"] == event_id]
    assert kinds == ["worker", "worker", "event"]


def test_an_events_status_is_what_all_its_workers_have_in_common(one_replica: Sandbox) -> None:
    place = one_replica
    failed = place.scale_up(2, env={"SIM_EXIT_CODE": "1"})
    mixed = place.scale_up(2, run_seconds=FOREVER, task_id="mixed", max_retries="0")
    assert place.wait_event(failed)["status"] == "failed"
    pod = place.wait_workers(mixed, "Running", 2)[0]
    place.kube.delete_pod(pod["metadata"]["name"], grace=0)
    wait_for(lambda: place.workers(mixed), "one is told as deleted")
    place.send("scale_down", task_id="mixed")
    entry = place.wait_event(mixed)
    assert (entry["status"], entry["failed"], entry["cancelled"]) == ("partial", "1", "1")


def test_without_a_task_the_events_id_is_the_task(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(1)
    assert place.wait_event(event_id)["task_id"] == event_id
    assert place.workers(event_id)[0]["task_id"] == event_id


def test_entries_outlive_neither_their_number_nor_their_time() -> None:
    with sandbox(
        OTTO_RESULTS_MAXLEN="6", OTTO_RETENTION_SECONDS="3", OTTO_DEAD_RETENTION_SECONDS="3"
    ) as place:
        replica = place.start()
        for _ in range(3):
            place.scale_up(4, run_seconds=0.05)
        bad = place.send("scale_up")
        # Told by the log: the entries may have expired by the time that one looks.
        wait_for(lambda: replica.lines(action="event_dead_lettered", event_id=bad), "it is dead-lettered")
        wait_for(lambda: len(replica.lines(action="event_ended")) == 3, "all have ended")
        assert place.redis.xlen("otto:scale:results") <= 6
        wait_for(lambda: place.redis.xlen("otto:scale:results") == 0, "the results expire", 12)
        wait_for(lambda: place.redis.xlen("otto:scale:dead") == 0, "the dead letters expire", 12)
        wait_for(lambda: place.redis.xlen("otto:scale:events") == 0, "the stream is trimmed", 12)
        assert not list(place.redis.scan_iter("otto:scale:events:ottoscaler:event:*"))
        assert not place.redis.zcard("otto:scale:events:ottoscaler:finished")


def test_everything_in_redis_has_the_one_prefix(one_replica: Sandbox) -> None:
    place = one_replica
    place.wait_event(place.scale_up(1, task_id="named"))
    place.wait_event(place.send("scale_down", task_id="named"))
    streams = {"otto:scale:events", "otto:scale:results", "otto:scale:dead"}
    others = {k for k in place.redis.scan_iter() if k not in streams}
    assert others
    assert all(k.startswith("otto:scale:events:ottoscaler:") for k in others)
