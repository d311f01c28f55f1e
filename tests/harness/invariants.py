"""The invariants of DESIGN.md section 2, checked after the fact: from the API server's own audit, the
streams, and what is left in Redis. Whatever the service believes or logs plays no part."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ottoscaler.local.apiserver.audit import PodLife
from tests.harness.sandbox import Sandbox

STREAM = "otto:scale:events"
SAME_INSTANT_SECONDS = 0.005  # two clocks' resolution: an audit time and a stream id's milliseconds

_NAME = re.compile(r"^otto-agent-.*-(\d+-\d+)-(\d+)-(\d+)$")

Attempt = tuple[str, int, int]  # event id, index, attempt


@dataclass(frozen=True)
class ResultEntry:
    """One entry of the results stream, with when it was written (Unix seconds, Redis's clock)."""

    at: float
    fields: dict[str, str]


def result_entries(place: Sandbox) -> list[ResultEntry]:
    return [
        ResultEntry(int(entry_id.partition("-")[0]) / 1000, fields)
        for entry_id, fields in place.redis.xrange("otto:scale:results")
    ]


def lives(place: Sandbox) -> dict[Attempt, list[PodLife]]:
    """Every worker Pod that ever was in this sandbox, by the attempt that it was made for."""
    assert place.cluster is not None, "a real API server keeps no audit for us"
    found: dict[Attempt, list[PodLife]] = defaultdict(list)
    for life in place.cluster.audit.lives():
        match = _NAME.match(life.name)
        if match is not None and life.namespace == place.kube.namespace:
            found[match[1], int(match[2]), int(match[3])].append(life)
    return found


def broken_invariants(
    place: Sandbox, events: Mapping[str, int], *, seconds_uids: set[str] | None = None
) -> list[str]:
    """A sentence for each broken promise about these scale_ups (id: workers). ``seconds_uids`` collects
    second Pods of one attempt, which invariant 2 allows where they were deleted and never recorded."""
    problems: list[str] = []
    if seconds_uids is None:
        problems += _one_pod_an_attempt(place)
    else:
        seconds_uids |= {life.uid for pods in lives(place).values() for life in pods[1:]}
    problems += _one_result_an_index(place, events)
    problems += _record_before_deletion(place)
    problems += _nothing_left(place)
    return problems


def started_twice(place: Sandbox) -> list[str]:
    """With the start gate: no two Pods of one attempt ever got to run."""
    ran = {key: [life.uid for life in pods if life.phase != "Pending"] for key, pods in lives(place).items()}
    return [f"{len(uids)} Pods of {key} have run: {uids}" for key, uids in ran.items() if len(uids) > 1]


def _one_pod_an_attempt(place: Sandbox) -> list[str]:
    return [
        f"{len(pods)} Pods of {attempt}: {[life.uid for life in pods]}"
        for attempt, pods in lives(place).items()
        if len(pods) > 1
    ]


def _one_result_an_index(place: Sandbox, events: Mapping[str, int]) -> list[str]:
    entries = [one.fields for one in result_entries(place)]
    workers = Counter((f["event_id"], int(f["index"])) for f in entries if f["kind"] == "worker")
    ended = Counter(f["event_id"] for f in entries if f["kind"] == "event")
    wanted = {(event_id, index) for event_id, count in events.items() for index in range(count)}
    problems = [f"worker {key} has {workers[key]} results" for key in sorted(wanted) if workers[key] != 1]
    problems += [f"a result of {key}, which nobody asked for" for key in sorted(set(workers) - wanted)]
    problems += [f"event {e} has {ended[e]} entries" for e in sorted(events) if ended[e] != 1]
    return problems


def _record_before_deletion(place: Sandbox) -> list[str]:
    """Every deletion that was requested comes after its Pod's result. A retry's plan shows only in the next
    attempt's Pod, or in its result where it was cancelled before it had one, and an intent to cancel only in
    the status, or in the scale_down itself where the worker had ended before it. Faults of a test leave no
    request behind."""
    assert place.cluster is not None
    recorded = {
        (f["event_id"], int(f["index"]), int(f["attempt"])): 0.0 if f["status"] == "cancelled" else one.at
        for one in result_entries(place)
        if (f := one.fields)["kind"] == "worker"
    }
    latest: dict[tuple[str, int], int] = {}
    for event_id, index, attempt in (*lives(place), *recorded):
        latest[event_id, index] = max(attempt, latest.get((event_id, index), 0))
    aimed_at = _scale_downs(place)
    problems = []
    for request in place.cluster.audit.requests("delete", "pods"):
        match = _NAME.match(request.name)
        if match is None or request.namespace != place.kube.namespace:
            continue
        key = (match[1], int(match[2]), int(match[3]))
        if key in recorded and recorded[key] <= request.time + SAME_INSTANT_SECONDS:
            continue
        if latest.get(key[:2], 0) > key[2]:
            continue
        if aimed_at.get(key[0], math.inf) <= request.time + SAME_INSTANT_SECONDS:
            continue
        problems.append(f"the Pod of {key} was deleted before its end was recorded")
    return problems


def _scale_downs(place: Sandbox) -> dict[str, float]:
    """When each scale_up was first aimed at by a scale_down of its task (Unix seconds, Redis's clock)."""
    entries = [(str(i), fields) for i, fields in place.redis.xrange(STREAM)]
    first: dict[str, float] = {}
    for entry_id, fields in entries:
        if fields.get("type") == "scale_down" and "task_id" in fields:
            first.setdefault(fields["task_id"], int(entry_id.partition("-")[0]) / 1000)
    return {
        i: first[f["task_id"]]
        for i, f in entries
        if f.get("type") == "scale_up" and f.get("task_id") in first
    }


def _nothing_left(place: Sandbox) -> list[str]:
    problems = []
    if left := [p["metadata"]["name"] for p in place.kube.workers()]:
        problems.append(f"Pods are left: {left}")
    if place.pending():
        problems.append(f"{place.pending()} entries are pending")
    prefix = f"{STREAM}:ottoscaler:"
    left_in = {name: place.redis.smembers(prefix + name) for name in ("events", "offers")}
    return problems + [f"{name} still holds {sorted(ids)}" for name, ids in left_in.items() if ids]
