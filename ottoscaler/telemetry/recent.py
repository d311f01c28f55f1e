"""The last hour of this replica, a line a minute, from what its metrics counted: for the page's charts.

Nothing is counted for it: every few seconds the metrics are read, and what they grew by goes to the present
minute. A heartbeat carries it to Redis, and a reader sums up what the replicas tell.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import Histogram

from ottoscaler.telemetry.metrics import Metrics

MINUTES = 60
SAMPLE_SECONDS = 5.0  # between two looks at the metrics, each some 0.3 ms
COUNTS = ("begun", "succeeded", "failed", "cancelled")
# Upper ends in seconds, each also a bucket's end of the metric; what is longer is counted behind the last.
LATENCY = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)
REACTION = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
WIDTH = len(COUNTS) + len(LATENCY) + 1 + len(REACTION) + 1

Json = dict[str, Any]


class Recent:
    """One thread: the lease's."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._minutes: deque[list[int]] = deque([[0] * WIDTH], maxlen=MINUTES)  # the newest first
        self._before = [0] * WIDTH
        self._minute = 0
        self._due = 0.0

    def text(self, now: float) -> str:
        """What a heartbeat is to carry, as JSON; '' where it is as before. ``now`` is on any steady clock."""
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


def hour_of(told: Iterable[tuple[Json, float]]) -> Json:
    """The sum of what replicas tell, each with the seconds since it told that: ``minutes``, the newest first.
    Each has COUNTS, then how many events' latencies and Pods' reactions lie up to each end."""
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
    """How many lie up to each end, and behind the last."""
    found = dict(_buckets(histogram))
    cumulative = [found[end] for end in (*ends, float("inf"))]
    return [after - before for before, after in zip((0, *cumulative), cumulative, strict=False)]


def _sparse(minutes: Iterable[Sequence[int]]) -> list[list[int]]:
    """Each minute as pairs of a place and a value, without what is 0: most of an hour is."""
    lines = [
        [word for place, value in enumerate(line) if value for word in (place, value)] for line in minutes
    ]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _dense(line: Any) -> Iterable[tuple[int, int]]:
    """The pairs of a line; nothing of one that another version wrote otherwise."""
    if not isinstance(line, list) or not all(isinstance(word, int) for word in line):
        return ()
    pairs = zip(line[::2], line[1::2], strict=False)
    return [(place, value) for place, value in pairs if 0 <= place < WIDTH]
