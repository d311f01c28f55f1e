"""The last hour of a replica, from what its metrics counted."""

from __future__ import annotations

import json

from ottoscaler.telemetry.metric_specs import SPECS
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.telemetry.recent import LATENCY, MINUTES, REACTION, SAMPLE_SECONDS, Recent, hour_of


def minutes_of(text: str) -> list[dict[int, int]]:
    return [dict(zip(line[::2], line[1::2], strict=True)) for line in json.loads(text)["minutes"]]


def test_the_charts_ends_are_ends_of_the_metrics_buckets() -> None:
    for name, ends in {"event_latency": LATENCY, "pod_reaction": REACTION}.items():
        assert set(ends) <= set(SPECS[f"ottoscaler_{name}_seconds"].buckets or ())


def test_what_is_counted_goes_to_its_minute() -> None:
    metrics = Metrics()
    recent = Recent(metrics)
    assert recent.text(6000.0) == ""
    metrics.pod_create.observe(0.01)
    metrics.workers_total.inc("failed", "Error")
    metrics.event_latency.observe(0.004)
    assert minutes_of(recent.text(6010.0)) == [{0: 1, 2: 1, 4: 1}]
    metrics.workers_total.inc("succeeded", "Completed")
    metrics.pod_reaction.observe(1e6)
    last = 4 + len(LATENCY) + 1 + len(REACTION)
    assert minutes_of(recent.text(6070.0)) == [{1: 1, last: 1}, {0: 1, 2: 1, 4: 1}]


def test_it_is_told_only_when_it_has_changed_and_not_too_often() -> None:
    metrics = Metrics()
    recent = Recent(metrics)
    recent.text(6000.0)
    metrics.pod_create.observe(0.01)
    assert recent.text(6000.0 + SAMPLE_SECONDS / 2) == ""
    assert recent.text(6000.0 + SAMPLE_SECONDS) != ""
    assert recent.text(6000.0 + 2 * SAMPLE_SECONDS) == ""


def test_an_hour_later_nothing_is_left() -> None:
    metrics = Metrics()
    recent = Recent(metrics)
    recent.text(6000.0)
    metrics.pod_create.observe(0.01)
    recent.text(6010.0)
    assert minutes_of(recent.text(6010.0 + 60 * (MINUTES - 1)))[-1] == {0: 1}
    assert minutes_of(recent.text(6010.0 + 60 * MINUTES)) == []


def test_replicas_are_summed_each_by_the_age_of_what_it_tells() -> None:
    both = hour_of([({"minutes": [[0, 2], [0, 3]]}, 1.0), ({"minutes": [[0, 5]]}, 61.0), ({}, 0.0)])
    assert both["minutes"] == [[0, 2], [0, 8]]


def test_what_another_version_tells_otherwise_is_left_out() -> None:
    assert (
        hour_of([({"minutes": ["x", [0, "many"], [999, 1], [0]]}, 0.0), ({"minutes": 3}, 0.0)])["minutes"]
        == []
    )
