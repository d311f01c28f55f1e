"""The last hour of this replica, minute by minute, for the status page's charts.

It has no counters of its own. Every few seconds it reads the metrics, and adds what they grew by to the
present minute. A heartbeat carries the hour to Redis, and a reader adds up the hours of all replicas.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import Histogram

from ottoscaler.model import JsonObject
from ottoscaler.telemetry.metrics import Metrics

MINUTES = 60
SAMPLE_SECONDS = 5.0  # between two looks at the metrics, each of which takes some 0.3 ms
COUNTS = ("begun", "succeeded", "failed", "cancelled")
# Upper bounds in seconds; each is also a bound of the metric's buckets. Longer times count behind the last
# one.
LATENCY = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)
REACTION = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
WIDTH = len(COUNTS) + len(LATENCY) + 1 + len(REACTION) + 1


class Recent:
    """This replica's last hour. The lease's thread uses it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._minutes: deque[list[int]] = deque([[0] * WIDTH], maxlen=MINUTES)  # the newest first
        self._before = [0] * WIDTH
        self._minute = 0
        self._due = 0.0

    def text(self, now: float) -> str:
        """The hour as JSON, for a heartbeat; '' if it has not changed. ``now``: seconds of any steady
        clock."""
        if now < self._due:
            return ""
        self._due = now + SAMPLE_SECONDS
        counted = _counted(self._metrics)
        minute = int(now // 60)
        gone = min(minute - self._minute, MINUTES) if self._minute else 0
        self._minute = minute
        for _ in range(gone):
            self._minutes.appendleft([0] * WIDTH)
        grown = [after - before for after, before in zip(counted, self._before, strict=True)]
        self._before = counted
        if not gone and not any(grown):
            return ""
        self._minutes[0] = [old + new for old, new in zip(self._minutes[0], grown, strict=True)]
        return json.dumps({"minutes": _sparse(self._minutes)}, separators=(",", ":"))


def hour_of(told: Iterable[tuple[JsonObject, float]]) -> JsonObject:
    """The sum of several replicas' hours, each given with its age in seconds.

    ``minutes`` has the newest minute first. Each minute has COUNTS, then the numbers of events' latencies up
    to each bound, then those of Pods' reactions."""
    total = [[0] * WIDTH for _ in range(MINUTES)]
    for each, seconds in told:
        late = int(max(0.0, seconds) // 60)
        minutes = each.get("minutes")
        for at, line in enumerate(minutes if isinstance(minutes, list) else ()):
            if at + late < MINUTES:
                for place, value in _dense(line):
                    total[at + late][place] += value
    return {"minutes": _sparse(total), "latency": LATENCY, "reaction": REACTION}


def _counted(metrics: Metrics) -> list[int]:
    ended = dict.fromkeys(COUNTS[1:], 0)
    for status, count in metrics.workers_total.by("status"):
        if status in ended:
            ended[status] += count
    begun = _buckets(metrics.pod_create)[-1][1]
    counts = [begun, *ended.values()]
    return [*counts, *_between(metrics.event_latency, LATENCY), *_between(metrics.pod_reaction, REACTION)]


def _buckets(histogram: Histogram) -> list[tuple[float, int]]:
    samples = next(iter(histogram.collect())).samples
    return [(float(s.labels["le"]), int(s.value)) for s in samples if s.name.endswith("_bucket")]


def _between(histogram: Histogram, ends: Sequence[float]) -> list[int]:
    """How many values lie up to each bound, and behind the last one."""
    found = dict(_buckets(histogram))
    cumulative = [found[end] for end in (*ends, float("inf"))]
    return [after - before for before, after in zip((0, *cumulative), cumulative, strict=False)]


def _sparse(minutes: Iterable[Sequence[int]]) -> list[list[int]]:
    """Each minute as pairs of a place and a value, without zeros, since most of an hour is zeros."""
    lines = [
        [word for place, value in enumerate(line) if value for word in (place, value)] for line in minutes
    ]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _dense(line: Any) -> Iterable[tuple[int, int]]:
    """The pairs of a line; none if another version wrote it in another form."""
    if not isinstance(line, list) or not all(isinstance(word, int) for word in line):
        return ()
    pairs = zip(line[::2], line[1::2], strict=False)
    return [(place, value) for place, value in pairs if 0 <= place < WIDTH]
