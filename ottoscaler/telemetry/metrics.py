"""The process's Prometheus metrics, in a registry of their own. ``metric_specs`` describes them.

Any thread may call every method. A call takes some microseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ottoscaler.model import Reason, Status
from ottoscaler.telemetry.metric_specs import (
    OTHER,
    OUTGOING,
    POLLS,
    REASONS,
    SPECS,
    STATUSES,
    TYPES,
    MetricSpec,
)

OPENMETRICS = "application/openmetrics-text"

M = TypeVar("M", Counter, Histogram)


class _Closed(Generic[M]):
    """A metric whose labels take only words from closed lists."""

    def __init__(self, metric: M, *words: Collection[str]) -> None:
        self._metric: M = metric
        self._words = tuple(frozenset(map(str, each)) for each in words)
        self._children: dict[tuple[str, ...], M] = {}

    def _child(self, labels: tuple[str, ...]) -> M:
        closed = _closed(labels, self._words)
        child: M = self._metric.labels(*closed)
        if closed == labels:  # a dictionary with unknown words would not be bounded
            self._children[labels] = child
        return child


class CounterOf(_Closed[Counter]):
    """A counter whose labels take only words from closed lists."""

    def inc(self, *labels: str, amount: float = 1) -> None:
        """Add ``amount``. The labels come in the order in which the metric names them."""
        (self._children.get(labels) or self._child(labels)).inc(amount)

    def by(self, label: str) -> Iterable[tuple[str, int]]:
        """Yield the counts by one of the labels. A word may come more than once."""
        for metric in self._metric.collect():
            for sample in metric.samples:
                yield sample.labels[label], int(sample.value)


class HistogramOf(_Closed[Histogram]):
    """A histogram whose labels take only words from closed lists."""

    def observe(self, seconds: float, *labels: str) -> None:
        """Note one value. The labels come in the order in which the metric names them."""
        (self._children.get(labels) or self._child(labels)).observe(seconds)


def _closed(labels: tuple[str, ...], words: tuple[frozenset[str], ...]) -> tuple[str, ...]:
    if len(labels) != len(words):
        raise ValueError(f"{len(words)} labels are needed, {len(labels)} were given")
    return tuple(str(label) if label in known else OTHER for label, known in zip(labels, words, strict=True))


class _Undescribed(Collector):
    """A collector that tells the registry no names.

    The registry would take the counter ``ottoscaler_workers_total`` and the gauge ``ottoscaler_workers`` for
    one metric, as OpenMetrics does. The text format tells them apart.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterable[Metric]:
        return self._collector.collect()


class _ForOpenMetrics(Collector):
    """The registry's samples for OpenMetrics.

    There the gauge ``ottoscaler_workers`` and the counter ``ottoscaler_workers_total`` would be one family.
    So the counter's samples get a family of their own, without a type.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            if (metric.name, metric.type) == ("ottoscaler_workers", "counter"):
                apart = Metric("ottoscaler_workers_total", metric.documentation, "unknown")
                apart.samples = metric.samples
                yield apart
            else:
                yield metric


class Metrics:
    """One attribute for each metric; ``exposition`` is what a scrape gets. A process has one object of it."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the series
        self.registry = CollectorRegistry()
        self.event_latency = self._histogram("event_latency_seconds")
        self.event_duration = self._histogram("event_duration_seconds")
        self.events_total = self._counter_of("events_total")
        self.events_in_hand = self._gauge("events_in_hand")
        self.stream_lag = self._gauge("stream_lag")
        self.stream_pending = self._gauge("stream_pending")
        self.oldest_pending = self._gauge("oldest_pending_seconds")
        self.paused = self._gauge("paused")
        self.dead_letters = self._gauge("dead_letters")
        self.entries_lost = self._counter("entries_lost_total")
        self.entries_trimmed = self._counter_of("entries_trimmed_total")
        self.logs_bytes = self._gauge("logs_bytes")
        self.workers = self._gauge("workers")
        self.workers_max = self._gauge("workers_max")
        self.workers_total = self._counter_of("workers_total", described=False)
        self.retries_total = self._counter_of("retries_total")
        self.pod_create = self._histogram("pod_create_seconds")
        self.pod_start = self._histogram("pod_start_seconds")
        self.pod_run = self._histogram("pod_run_seconds")
        self.pod_reaction = self._histogram("pod_reaction_seconds")
        self.lease_seconds = self._gauge("lease_seconds")
        self.redis_polls = self._counter_of("redis_polls_total")
        self.redis_reconnects = self._counter("redis_reconnects_total")
        self.kube_request = self._histogram_of("kube_request_seconds")
        self.kube_rate_limit = self._gauge("kube_rate_limit")
        self.watch_restarts = self._counter("watch_restarts_total")
        self.watch_bytes = self._counter("watch_bytes_total")
        self.template_problems = self._gauge("template_problems")
        self._gauge("threads").set_function(threading.active_count)
        self._zero_what_alerts_name()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """A scrape's text and its content type. It is OpenMetrics, with exemplars, if ``accept`` asks for
        it."""
        encode, content_type = choose_encoder(accept)
        if content_type.startswith(OPENMETRICS):
            return encode(_ForOpenMetrics(self.registry)), content_type
        return encode(self.registry), content_type

    def _histogram(self, name: str) -> Histogram:
        full, spec = _spec(name)
        return Histogram(full, spec.meaning, tuple(spec.labels), buckets=spec.buckets, registry=self.registry)

    def _counter(self, name: str, *, described: bool = True) -> Counter:
        full, spec = _spec(name)
        registry = self.registry if described else None
        return Counter(full, spec.meaning, tuple(spec.labels), registry=registry)

    def _gauge(self, name: str) -> Gauge:
        full, spec = _spec(name)
        return Gauge(full, spec.meaning, registry=self.registry)

    def _counter_of(self, name: str, *, described: bool = True) -> CounterOf:
        counter = self._counter(name, described=described)
        if not described:
            self.registry.register(_Undescribed(counter))
        return CounterOf(counter, *_spec(name)[1].labels.values())

    def _histogram_of(self, name: str) -> HistogramOf:
        return HistogramOf(self._histogram(name), *_spec(name)[1].labels.values())

    def _zero_what_alerts_name(self) -> None:
        # Counters start at 0, because Prometheus sees no increase in a counter that first appears with 1.
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


def _spec(name: str) -> tuple[str, MetricSpec]:
    full = f"ottoscaler_{name}"
    return full, SPECS[full]
