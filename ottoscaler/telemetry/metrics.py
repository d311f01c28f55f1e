"""The process's Prometheus metrics (DESIGN.md 3.6), on a registry of their own.

Every method may be called from any thread and costs some microseconds. Labels take words of closed lists
only; whatever else is counted as ``other``, so that no event can make series.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ottoscaler.model import Reason, Status

OTHER = "other"

TYPES = ("scale_up", "scale_down")
STATUSES = tuple(Status)
REASONS = tuple(Reason)
OUTGOING = ("results", "dead")
POLLS = ("events", "empty", "error")
VERBS = ("create", "delete", "get", "list", "watch", "patch", "review", "log")
# What an API server or a proxy before it sends; "none" is a call without an answer.
CODES = ("200", "201", "202", "400", "401", "403", "404", "409", "410", "422", "429", "500", "502", "503",
         "504", "none")  # fmt: skip

# Idle, a create takes 2 to 5 ms and the bar is 15 ms over it at p99; full, an event waits for minutes.
EVENT_LATENCY = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800)
# Up to a day, which is the longest run limit by default.
LIFE = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
# One request: 2 ms on a rested API server, 10 s where a timeout ends it.
REQUEST = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Scheduling and a cached image take about a second, a pull minutes; 900 s is the pending limit.
POD_START = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 900)
# The bars are 10 ms at p50 and 50 ms at p99; the polling peers take 0.8 s.
REACTION = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class CounterOf:
    """A counter whose labels take words of closed lists."""

    def __init__(self, counter: Counter, *words: Collection[str]) -> None:
        self._counter = counter
        self._words = tuple(frozenset(map(str, each)) for each in words)
        self._children: dict[tuple[str, ...], Counter] = {}

    def inc(self, *labels: str, amount: float = 1) -> None:
        """Count one, under the labels in the order in which the metric names them."""
        child = self._children.get(labels)
        if child is None:
            closed = _closed(labels, self._words)
            child = self._counter.labels(*closed)
            if closed == labels:  # a dictionary of what was never heard of would not be bounded
                self._children[labels] = child
        child.inc(amount)


class HistogramOf:
    """A histogram whose labels take words of closed lists."""

    def __init__(self, histogram: Histogram, *words: Collection[str]) -> None:
        self._histogram = histogram
        self._words = tuple(frozenset(map(str, each)) for each in words)
        self._children: dict[tuple[str, ...], Histogram] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        """Note one, under the labels in the order in which the metric names them."""
        child = self._children.get(labels)
        if child is None:
            closed = _closed(labels, self._words)
            child = self._histogram.labels(*closed)
            if closed == labels:
                self._children[labels] = child
        child.observe(seconds)


def _closed(labels: tuple[str, ...], words: tuple[frozenset[str], ...]) -> tuple[str, ...]:
    if len(labels) != len(words):
        raise ValueError(f"{len(words)} labels are needed, {len(labels)} were given")
    return tuple(str(label) if label in known else OTHER for label, known in zip(labels, words, strict=True))


class _Undescribed(Collector):
    """Tells the registry no names: it would hold the counter ``ottoscaler_workers_total`` and the gauge
    ``ottoscaler_workers`` for one and the same, as OpenMetrics does; the text format tells them apart.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterable[Metric]:
        return self._collector.collect()


class Metrics:
    """One attribute per metric; ``exposition`` is what a scrape gets. One per process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the series
        self.registry = registry = CollectorRegistry()

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"ottoscaler_{name}_seconds", text, buckets=buckets, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"ottoscaler_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"ottoscaler_{name}", text, registry=registry)

        self.event_latency = histogram(
            "event_latency", "XADD to the event's first create request, once per event", EVENT_LATENCY
        )
        self.event_duration = histogram("event_duration", "XADD to the event's entry in the results", LIFE)
        self.events_total = CounterOf(counter("events", "Events ended", "type", "status"), TYPES, STATUSES)
        self.pod_create = histogram("pod_create", "A create request, to its answer", REQUEST)
        self.pod_start = histogram("pod_start", "A Pod's creation to its running", POD_START)
        self.pod_run = histogram("pod_run", "A worker container's start to its end", LIFE)
        self.pod_reaction = histogram("pod_reaction", "Terminal Pod seen to its delete request", REACTION)
        self.workers = gauge("workers", "Workers of this replica that hold a slot")
        self.workers_max = gauge("workers_max", "Slots of this replica")
        ended = Counter("ottoscaler_workers", "Workers ended", ("status", "reason"), registry=None)
        registry.register(_Undescribed(ended))
        self.workers_total = CounterOf(ended, STATUSES, REASONS)
        self.redis_polls = CounterOf(counter("redis_polls", "XREADGROUP calls", "result"), POLLS)
        self.redis_reconnects = counter("redis_reconnects", "Connections to Redis made anew")
        self.kube_request = HistogramOf(
            Histogram(
                "ottoscaler_kube_request_seconds", "Calls to the API server", ("verb", "code"),
                buckets=REQUEST, registry=registry,
            ),
            VERBS, CODES,
        )  # fmt: skip
        self.watch_restarts = counter("watch_restarts", "Pod watches that ended before their time")
        self.events_in_hand = gauge("events_in_hand", "Events read whose workers have not all started")
        self.stream_pending = gauge("stream_pending", "Entries delivered to the group, not acknowledged")
        self.oldest_pending = gauge(
            "oldest_pending_seconds", "Age of the oldest entry that is not acknowledged; 0 for none"
        )
        self.stream_lag = gauge("stream_lag", "Entries not yet delivered to the group; NaN where unknown")
        self.entries_lost = counter("entries_lost", "Entries removed from the stream before they were read")
        self.entries_trimmed = CounterOf(
            counter("entries_trimmed", "Results and dead letters that went for want of bytes", "stream"),
            OUTGOING,
        )
        self.dead_letters = gauge("dead_letters", "Entries in the dead-letter stream")
        self.lease_seconds = gauge("lease_seconds", "Seconds that this replica's lease still holds")
        self.paused = gauge("paused", "1 while the group is paused, so that no worker is begun; else 0")
        self.logs_bytes = gauge("logs_bytes", "Bytes of kept logs, compressed, with their keys")
        self.retries_total = CounterOf(counter("retries", "Workers tried again", "reason"), REASONS)
        self.kube_rate_limit = gauge("kube_rate_limit", "Calls per second that the throttle allows now")
        self._zero_what_alerts_name()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        gauge("threads", "Python threads alive").set_function(threading.active_count)

    def exposition(self) -> tuple[bytes, str]:
        """The text of a scrape and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _zero_what_alerts_name(self) -> None:
        # A counter that first appears with 1 has no increase that Prometheus could see.
        for kind in TYPES:
            for status in STATUSES:
                self.events_total.inc(kind, status, amount=0)
        for result in POLLS:
            self.redis_polls.inc(result, amount=0)
        for stream in OUTGOING:
            self.entries_trimmed.inc(stream, amount=0)
        for reason in REASONS:
            self.retries_total.inc(reason, amount=0)
            self.workers_total.inc(Status.FAILED, reason, amount=0)
        self.workers_total.inc(Status.SUCCEEDED, Reason.COMPLETED, amount=0)
        self.workers_total.inc(Status.CANCELLED, Reason.CANCELLED, amount=0)
