"""The invariants of docs/reliability.md, checked after the fact: from the API server's own audit, the
streams, and what is left in Redis; the third at every delete (evidence.py). Whatever the service believes or
logs plays no part."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from ottoscaler.local.apiserver.audit import PodLife
from tests.harness.evidence import NAME, Evidence
from tests.harness.sandbox import Sandbox

STREAM = "otto:scale:events"

Attempt = tuple[str, int, int]  # event id, index, attempt


def lives(place: Sandbox) -> dict[Attempt, list[PodLife]]:
    """Every worker Pod that ever was in this sandbox, by the attempt that it was made for."""
    assert place.cluster is not None, "a real API server keeps no audit for us"
    found: dict[Attempt, list[PodLife]] = defaultdict(list)
    for life in place.cluster.audit.lives():
        match = NAME.match(life.name)
        if match is not None and life.namespace == place.kube.namespace:
            found[match[1], int(match[2]), int(match[3])].append(life)
    return found


def broken_invariants(
    place: Sandbox,
    events: Mapping[str, int],
    evidence: Evidence,
    *,
    seconds_uids: set[str] | None = None,
) -> list[str]:
    """A sentence for each broken promise about these scale_ups (id: workers). ``seconds_uids`` collects
    second Pods of one attempt, which invariant 2 allows where they were deleted and never recorded."""
    problems: list[str] = []
    if seconds_uids is None:
        problems += _one_pod_an_attempt(place)
    else:
        seconds_uids |= {life.uid for pods in lives(place).values() for life in pods[1:]}
    problems += _one_result_an_index(place, events)
    problems += evidence.problems()
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
    workers = Counter((f["event_id"], int(f["index"])) for f in place.results("worker"))
    ended = Counter(f["event_id"] for f in place.results("event"))
    wanted = {(event_id, index) for event_id, count in events.items() for index in range(count)}
    problems = [f"worker {key} has {workers[key]} results" for key in sorted(wanted) if workers[key] != 1]
    problems += [f"a result of {key}, which nobody asked for" for key in sorted(set(workers) - wanted)]
    problems += [f"event {e} has {ended[e]} entries" for e in sorted(events) if ended[e] != 1]
    return problems


def _nothing_left(place: Sandbox) -> list[str]:
    problems = []
    if left := [p["metadata"]["name"] for p in place.kube.workers()]:
        problems.append(f"Pods are left: {left}")
    if place.pending():
        problems.append(f"{place.pending()} entries are pending")
    prefix = f"{STREAM}:ottoscaler:"
    left_in = {name: place.redis.smembers(prefix + name) for name in ("events", "offers")}
    return problems + [f"{name} still holds {sorted(ids)}" for name, ids in left_in.items() if ids]
