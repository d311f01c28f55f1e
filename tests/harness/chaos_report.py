"""What a chaos run leaves behind: its report, and what may and may not be left."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from tests.harness.invariants import STREAM, lives
from tests.harness.sandbox import Sandbox

# What came so late that its owner is gone is nobody's but the sweep's.
_DELETED_SECONDS = re.compile('"(duplicate_pod|pod_late|pod_swept)"')
ENDED_FIELDS = 8  # what is left of an event's ledger: its end, and what the status page shows


@dataclass
class Report:
    """What a run did, and what it broke."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    events: int = 0
    downs: int = 0
    workers: int = 0
    pods: int = 0
    attempts: int = 0
    seconds_uids: int = 0
    dead_letters: int = 0
    trimmed: int = 0
    lost: int = 0
    refused: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    calm_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        statuses = ", ".join(f"{name} {count}" for name, count in sorted(self.statuses.items()))
        return (
            f"seed {self.seed}: {self.events} scale_ups of {self.workers} workers, {self.downs} scale_downs\n"
            f"faults: {faults}\n"
            f"Pods: {self.pods} for {self.attempts} attempts, {self.seconds_uids} of them second ones\n"
            f"workers: {statuses}; dead letters: {self.dead_letters}, for a lower limit: {self.refused}\n"
            f"entries trimmed: {self.trimmed}, of them unread: {self.lost}\n"
            f"calm {self.calm_seconds:.1f} s after the last fault\n"
            + ("\n".join(self.problems) or "every invariant holds")
        )


def unnoted_second_pods(place: Sandbox, seconds: set[str]) -> list[str]:
    """A second Pod of an attempt is allowed where a log tells that it was noted as one or swept."""
    lines = [line for replica in place.replicas for line in replica.log().splitlines()]
    noted = "".join(line for line in lines if _DELETED_SECONDS.search(line))
    found = {life.uid: life for pods in lives(place).values() for life in pods}
    return [
        "\n".join(
            [
                f"{uid} is an attempt's second Pod, noted by nobody: {found[uid]}",
                *(line for line in lines if found[uid].name in line),
            ]
        )
        for uid in seconds
        if uid not in noted
    ]


def left_in_redis(place: Sandbox, events: int, lost: int) -> list[str]:
    """What should not be there after so many events, of whose entries so many were trimmed unread."""
    prefix = f"{STREAM}:ottoscaler:event:"
    keys = [str(key) for key in place.redis.scan_iter(f"{prefix}*", count=1000)]
    states = {key: place.redis.hgetall(key) for key in keys}
    problems = [f"{k} is {v.get('state')}" for k, v in states.items() if v.get("state") != "done"]
    problems += [f"{k} still holds {len(v)} fields" for k, v in states.items() if len(v) > ENDED_FIELDS]
    told = int(place.redis.hget(f"{STREAM}:ottoscaler:account", "lost") or 0)
    if told != lost:
        problems.append(f"{told} entries are told as lost, and {lost} were trimmed unread")
    if len(keys) > events:
        problems.append(f"{len(keys)} ledgers for {events} events")
    return problems
