"""Every metric as data. ``metrics`` creates them, and docs/metrics.md is written from them.

Labels take only words from closed lists. Any other word counts as ``other``, so that no event can create new
time series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ottoscaler.model import Reason, Status

OTHER = "other"

TYPES = ("scale_up", "scale_down")
STATUSES = tuple(map(str, Status))
REASONS = tuple(map(str, Reason))
OUTGOING = ("results", "dead")
POLLS = ("events", "empty", "error")
VERBS = ("create", "delete", "get", "list", "watch", "patch", "review", "log")
# What an API server, or a proxy in front of it, sends. "none" is a call without an answer.
CODES = ("200", "201", "202", "400", "401", "403", "404", "409", "410", "422", "429", "500", "502", "503",
         "504", "none")  # fmt: skip

# On an idle system a create takes 2 to 5 ms, and the target is at most 15 ms more at p99. On a full one, an
# event waits for minutes.
EVENT_LATENCY = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800)
# Up to a day, which is the longest run limit by default. In seconds, as all of these.
LIFE = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
# One request takes 2 ms on an idle API server, and 10 s if a timeout ends it.
REQUEST = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Scheduling and a cached image take about a second, a pull minutes; 900 s is the pending limit.
POD_START = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 900)
# The targets are 10 ms at p50 and 50 ms at p99. Comparable programs that poll take 0.8 s.
REACTION = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


@dataclass(frozen=True)
class MetricSpec:
    """One metric. ``bad`` says which values are bad and what they mean; ``[Heading]`` in it names a heading
    of the runbook."""

    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    bad: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()


SPECS: dict[str, MetricSpec] = {
    # --- events
    "ottoscaler_event_latency_seconds": MetricSpec(
        "histogram",
        "XADD to the event's first create request, once per event",
        "Above 50 ms with free slots: Redis or the API server answers slowly. Seconds and more with full "
        "slots: events wait for workers to end; see [Backlog]. The exemplar names an event to look at.",
        buckets=EVENT_LATENCY,
    ),
    "ottoscaler_event_duration_seconds": MetricSpec(
        "histogram",
        "XADD to the event's entry in the results",
        "Above what the longest worker of an event takes: waiting for slots, retries or slow Pod starts "
        "are in it; the Pod histograms tell which.",
        buckets=LIFE,
    ),
    "ottoscaler_events_total": MetricSpec(
        "counter",
        "Events ended",
        "No increase while `ottoscaler_stream_pending` is above 0: see [Oldest pending event]. A share of "
        "`failed` or `partial` that grows: look at `ottoscaler_workers_total` by reason.",
        {"type": TYPES, "status": STATUSES},
    ),
    "ottoscaler_events_in_hand": MetricSpec(
        "gauge",
        "Events read whose workers have not all started",
        "At `OTTO_MAX_EVENTS_IN_HAND` for long: this replica reads nothing more, for want of slots, quota "
        "or an API server that creates; see [Backlog].",
    ),
    "ottoscaler_stream_lag": MetricSpec(
        "gauge",
        "Entries not yet delivered to the group; NaN where unknown",
        "Above 0 for many minutes: see [Backlog]. NaN: Redis is older than 7.0, or entries were deleted from "
        "the middle of the stream, so that Redis does not know.",
    ),
    "ottoscaler_stream_pending": MetricSpec(
        "gauge",
        "Entries delivered to the group, not acknowledged",
        "Events in flight. Growing without end, or above 0 while none ends: see [Oldest pending event].",
    ),
    "ottoscaler_oldest_pending_seconds": MetricSpec(
        "gauge",
        "Age of the oldest entry that is not acknowledged; 0 for none",
        "Above the longest run limit with its retries: see [Oldest pending event].",
    ),
    "ottoscaler_paused": MetricSpec(
        "gauge",
        "1 while the group is paused, so that no worker is begun; else 0",
        "1 when nobody means it: `ottoscaler resume`; see [Pausing].",
    ),
    # --- entries that did not end as results
    "ottoscaler_dead_letters": MetricSpec(
        "gauge",
        "Entries in the dead-letter stream",
        "Any increase is an event that was not carried out; see [Dead letters].",
    ),
    "ottoscaler_entries_lost_total": MetricSpec(
        "counter",
        "Entries removed from the stream before they were read",
        "Any increase: a producer trims the stream too far, and those events are gone; see [Lost entries].",
    ),
    "ottoscaler_entries_trimmed_total": MetricSpec(
        "counter",
        "Results and dead letters that went for want of bytes",
        "Any increase: readers have less time than `OTTO_RETENTION_SECONDS` says; raise "
        "`OTTO_RESULTS_MAX_BYTES` or `OTTO_DEAD_MAX_BYTES`.",
        {"stream": OUTGOING},
    ),
    "ottoscaler_logs_bytes": MetricSpec(
        "gauge",
        "Bytes of kept logs, compressed, with their keys",
        "At `OTTO_LOGS_TOTAL_BYTES`: the oldest logs go before their time; see [Logs of ended workers].",
    ),
    # --- workers and their Pods
    "ottoscaler_workers": MetricSpec(
        "gauge",
        "Workers of this replica that hold a slot",
        "At `ottoscaler_workers_max` on every replica while events wait: more replicas or slots are "
        "needed. 0 everywhere while events wait: see [Nothing is read].",
    ),
    "ottoscaler_workers_max": MetricSpec(
        "gauge",
        "Slots of this replica",
        "Absent: no replica is scraped; see [No replica].",
    ),
    "ottoscaler_workers_total": MetricSpec(
        "counter",
        "Workers ended",
        "`Error`, `OOMKilled` and `DeadlineExceeded` are the worker's own program. The other reasons of "
        "`failed` are the cluster's: see [Infrastructure failures] and [failures.md](failures.md).",
        {"status": STATUSES, "reason": REASONS},
    ),
    "ottoscaler_retries_total": MetricSpec(
        "counter",
        "Workers tried again",
        "More than a few an hour: nodes, quota or a registry are in trouble; see [Infrastructure failures].",
        {"reason": REASONS},
    ),
    "ottoscaler_pod_create_seconds": MetricSpec(
        "histogram",
        "A create request, to its answer",
        "Above 1 s: admission webhooks or the API server are slow; see [Kubernetes errors].",
        buckets=REQUEST,
    ),
    "ottoscaler_pod_start_seconds": MetricSpec(
        "histogram",
        "A Pod's creation to its running",
        "Minutes: images are pulled each time, or nodes have to be added first. 900 s is the pending "
        "limit by default.",
        buckets=POD_START,
    ),
    "ottoscaler_pod_run_seconds": MetricSpec(
        "histogram",
        "A worker container's start to its end",
        "What the workers' program takes; at the run limit they end as `DeadlineExceeded`.",
        buckets=LIFE,
    ),
    "ottoscaler_pod_reaction_seconds": MetricSpec(
        "histogram",
        "Terminal Pod seen to its delete request",
        "Above 50 ms: Redis answers slowly, or this replica is short of CPU.",
        buckets=REACTION,
    ),
    # --- Redis and Kubernetes as this replica sees them
    "ottoscaler_lease_seconds": MetricSpec(
        "gauge",
        "Seconds that this replica's lease still holds",
        "0 or below: it creates nothing, and others take its events; see [Lease trouble].",
    ),
    "ottoscaler_redis_polls_total": MetricSpec(
        "counter",
        "XREADGROUP calls",
        "`error` increases: see [Redis errors]. No increase of the others: see [Nothing is read].",
        {"result": POLLS},
    ),
    "ottoscaler_redis_reconnects_total": MetricSpec(
        "counter",
        "Connections to Redis made anew",
        "More than a few an hour: a proxy or a firewall cuts connections, or Redis restarts; see [Redis "
        "errors].",
    ),
    "ottoscaler_kube_request_seconds": MetricSpec(
        "histogram",
        "Calls to the API server",
        "Code 429: see [Throttling]. 401, 5xx and `none` (no answer): see [Kubernetes errors]. 403: a "
        "right or a quota is missing.",
        {"verb": VERBS, "code": CODES},
        REQUEST,
    ),
    "ottoscaler_kube_rate_limit": MetricSpec(
        "gauge",
        "Calls per second that the throttle allows now",
        "Below `OTTO_KUBE_QPS`: the API server answered 429, 503 or slowly; see [Throttling].",
    ),
    "ottoscaler_watch_restarts_total": MetricSpec(
        "counter",
        "Pod watches that ended before their time",
        "More than some an hour: see [Watch restarts].",
    ),
    "ottoscaler_watch_bytes_total": MetricSpec(
        "counter",
        "Bytes of Pods that this replica's watch and lists brought",
        "More than some 25 KB a worker over all replicas: they watch each other's Pods, as the label "
        "`ottoscaler.io/owner` is missing (an upgrade, an admission webhook).",
    ),
    # --- this process
    "ottoscaler_template_problems": MetricSpec(
        "gauge",
        "Problems of the Pod templates in use or refused",
        "Above 0: a profile's events are dead-lettered, or use its last good version; `ottoscaler check` "
        "has each sentence; see [Broken templates].",
    ),
    "ottoscaler_threads": MetricSpec(
        "gauge",
        "Python threads alive",
        "Above `OTTO_MAX_WORKERS` and some 100: a bug; please report it with the log.",
    ),
}
