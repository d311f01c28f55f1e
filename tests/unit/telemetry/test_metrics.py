"""Metrics: the contract's names, closed labels, and what a scrape holds."""

from __future__ import annotations

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from ottoscaler.model import Reason, Status
from ottoscaler.telemetry.metric_specs import SPECS
from ottoscaler.telemetry.metrics import Metrics

# What Prometheus 2.42 and 3.5 send.
ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
ACCEPT_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
LONGEST_ID = "18446744073709551615-18446744073709551615"

# docs/metrics.md, word for word.
HISTOGRAMS = {
    f"ottoscaler_{name}_seconds"
    for name in (
        "event_latency", "event_duration", "pod_create", "pod_start", "pod_run", "pod_reaction",
        "kube_request",
    )
}  # fmt: skip
COUNTERS = {
    f"ottoscaler_{name}"
    for name in (
        "events",
        "workers",
        "redis_polls",
        "redis_reconnects",
        "watch_restarts",
        "retries",
        "entries_trimmed",
        "entries_lost",
    )
}
GAUGES = {
    f"ottoscaler_{name}"
    for name in (
        "workers_max", "events_in_hand", "stream_pending", "stream_lag", "dead_letters", "lease_seconds",
        "kube_rate_limit", "threads", "paused", "logs_bytes", "template_problems", "oldest_pending_seconds",
    )
}  # fmt: skip


def text(metrics: Metrics) -> str:
    return metrics.exposition()[0].decode()


def test_scrape_holds_every_promised_name_and_type() -> None:
    metrics = Metrics()
    metrics.kube_request.observe(0.003, "create", "201")
    declared = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text(metrics), re.MULTILINE))
    assert {name for name in HISTOGRAMS if declared.get(name) == "histogram"} == HISTOGRAMS
    assert {name for name in COUNTERS if declared.get(f"{name}_total") == "counter"} == COUNTERS
    assert {name for name in GAUGES if declared.get(name) == "gauge"} == GAUGES
    # The gauge ottoscaler_workers stands beside the counter ottoscaler_workers_total.
    assert declared["ottoscaler_workers"] == "gauge"


def test_nothing_is_made_that_the_specifications_do_not_describe() -> None:
    metrics = Metrics()
    declared = set(re.findall(r"^# TYPE (ottoscaler_\S+) ", text(metrics), re.MULTILINE))
    assert declared == set(SPECS)


@pytest.mark.parametrize("accept", [ACCEPT, ACCEPT_3])
def test_scrape_is_strict_openmetrics_where_the_accept_header_asks(accept: str) -> None:
    metrics = Metrics()
    metrics.event_latency.observe(0.004, {"event_id": LONGEST_ID})
    body, content_type = metrics.exposition(accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    parsed = openmetrics_families(body.decode())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    samples = {sample.name for family in families.values() for sample in family.samples}
    assert {"ottoscaler_workers", "ottoscaler_workers_total", "ottoscaler_events_total"} <= samples
    (exemplar,) = [s.exemplar for s in families["ottoscaler_event_latency_seconds"].samples if s.exemplar]
    assert exemplar.labels == {"event_id": LONGEST_ID}
    assert exemplar.value == 0.004


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/plain;version=0.0.4"])
def test_scrape_is_the_text_format_without_exemplars_for_others(accept: str) -> None:
    metrics = Metrics()
    metrics.event_latency.observe(0.004, {"event_id": LONGEST_ID})
    body, content_type = metrics.exposition(accept)
    assert content_type.startswith("text/plain")
    assert LONGEST_ID not in body.decode()
    assert "# TYPE ottoscaler_workers_total counter" in body.decode()


def test_scrape_can_be_parsed_and_has_no_creation_series() -> None:
    families = {family.name for family in text_string_to_metric_families(text(Metrics()))}
    assert "ottoscaler_pod_run_seconds" in families
    assert "_created" not in text(Metrics())


def test_scrape_tells_the_processs_cpu_memory_and_threads() -> None:
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "ottoscaler_threads"):
        assert re.search(rf"^{name} [1-9]|^{name} 0\.\d", text(Metrics()), re.MULTILINE)


def test_counts_and_times_arrive_under_their_labels() -> None:
    metrics = Metrics()
    metrics.events_total.inc("scale_up", Status.PARTIAL)
    metrics.workers_total.inc("failed", Reason.OOM_KILLED)
    metrics.workers_total.inc(Status.FAILED, "OOMKilled")
    metrics.kube_request.observe(0.003, "create", "201")
    metrics.workers.set(7)
    registry = metrics.registry
    value = registry.get_sample_value
    assert value("ottoscaler_events_total", {"type": "scale_up", "status": "partial"}) == 1
    assert value("ottoscaler_workers_total", {"status": "failed", "reason": "OOMKilled"}) == 2
    assert value("ottoscaler_workers") == 7
    labels = {"verb": "create", "code": "201", "le": "0.005"}
    assert value("ottoscaler_kube_request_seconds_bucket", labels) == 1


def test_unheard_of_labels_are_counted_as_other_and_make_no_series() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.events_total.inc(f"type-{number}", "succeeded")
        metrics.kube_request.observe(0.1, "create", str(1000 + number))
    value = metrics.registry.get_sample_value
    assert value("ottoscaler_events_total", {"type": "other", "status": "succeeded"}) == 100
    assert value("ottoscaler_kube_request_seconds_count", {"verb": "create", "code": "other"}) == 100
    assert "type-5" not in text(metrics)


def test_wrong_number_of_labels_is_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="2 labels are needed, 1 were given"):
        Metrics().events_total.inc("scale_up")


def test_counters_that_alerts_watch_begin_at_zero() -> None:
    value = Metrics().registry.get_sample_value
    assert value("ottoscaler_retries_total", {"reason": "Evicted"}) == 0
    assert value("ottoscaler_redis_polls_total", {"result": "error"}) == 0
    assert value("ottoscaler_events_total", {"type": "scale_up", "status": "failed"}) == 0


def test_two_sets_of_metrics_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.redis_reconnects.inc()
    assert second.registry.get_sample_value("ottoscaler_redis_reconnects_total") == 0
