"""The dashboard's rows of panels, as data.

What is told of the stream and of dead letters is taken once a namespace; a replica's own figures are summed,
or shown for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SHARED = '{namespace=~"$namespace"}'
OWN = '{namespace=~"$namespace", pod=~"$pod"}'


@dataclass(frozen=True)
class Panel:
    """One panel. ``metric`` is the one whose bad value the description tells of."""

    title: str
    unit: str
    metric: str
    text: str
    queries: tuple[tuple[str, str], ...]  # expression, legend
    kind: Literal["stat", "timeseries", "heatmap"] = "timeseries"
    width: int = 8
    bad_from: float | None = None  # a stat is red from here on
    bad_below: float | None = None  # or red below this
    stacked: bool = False
    words: tuple[str, ...] = ()  # shown for 0 and 1


def _once(metric: str) -> str:
    return f"max by (namespace) ({metric}{SHARED})"


def _rate(metric: str, by: str, where: str = "") -> str:
    chosen = OWN[:-1] + (f", {where}" if where else "") + "}"
    return f"sum by ({by}) (rate({metric}{chosen}[$__rate_interval]))"


def _quantiles(metric: str, *shares: float) -> tuple[tuple[str, str], ...]:
    inner = f"sum by (le) (rate({metric}_bucket{OWN}[$__rate_interval]))"
    return tuple((f"histogram_quantile({share}, {inner})", f"p{share * 100:g}") for share in shares)


NOW = (
    Panel(
        "Slots in use", "percentunit", "ottoscaler_workers", "Workers running or starting, of all slots.",
        ((f"sum(ottoscaler_workers{OWN}) / sum(ottoscaler_workers_max{OWN})", "in use"),),
        "stat", 3, bad_from=0.95,
    ),
    Panel(
        "Replicas", "short", "ottoscaler_workers_max", "Replicas that are scraped.",
        ((f"count(ottoscaler_workers_max{OWN})", "replicas"),), "stat", 3, bad_below=1,
    ),
    Panel(
        "Unread events", "short", "ottoscaler_stream_lag", "Events that no replica has read yet.",
        ((_once("ottoscaler_stream_lag"), "{{namespace}}"),), "stat", 3, bad_from=100,
    ),
    Panel(
        "Events in flight", "short", "ottoscaler_stream_pending", "Events read and not ended.",
        ((_once("ottoscaler_stream_pending"), "{{namespace}}"),), "stat", 3,
    ),
    Panel(
        "Oldest in flight", "s", "ottoscaler_oldest_pending_seconds", "How long ago the oldest was sent.",
        ((_once("ottoscaler_oldest_pending_seconds"), "{{namespace}}"),), "stat", 3, bad_from=90_000,
    ),
    Panel(
        "Dead letters", "short", "ottoscaler_dead_letters", "Entries in the dead-letter stream.",
        ((_once("ottoscaler_dead_letters"), "{{namespace}}"),), "stat", 3, bad_from=1,
    ),
    Panel(
        "Entries lost", "short", "ottoscaler_entries_lost_total", "Entries trimmed unread in that time.",
        ((f"sum(increase(ottoscaler_entries_lost_total{OWN}[$__range]))", "lost"),), "stat", 3, bad_from=1,
    ),
    Panel(
        "Paused", "bool_yes_no", "ottoscaler_paused", "Whether the group is paused.",
        ((_once("ottoscaler_paused"), "{{namespace}}"),), "stat", 3, bad_from=1, words=("no", "paused"),
    ),
)  # fmt: skip

EVENTS = (
    Panel(
        "Events ended", "eps", "ottoscaler_events_total", "Events that ended a second, by status.",
        ((_rate("ottoscaler_events_total", "type, status"), "{{type}} {{status}}"),), stacked=True,
    ),
    Panel(
        "Event latency", "s", "ottoscaler_event_latency_seconds",
        "XADD to the event's first create request. The dots are single events: their event_id finds the log.",
        _quantiles("ottoscaler_event_latency_seconds", 0.5, 0.95, 0.99),
    ),
    Panel(
        "Event latency, all", "s", "ottoscaler_event_latency_seconds", "Events by latency, as a heatmap.",
        ((_rate("ottoscaler_event_latency_seconds_bucket", "le"), "{{le}}"),), "heatmap",
    ),
    Panel(
        "Event duration", "s", "ottoscaler_event_duration_seconds", "XADD to the event's entry in results.",
        _quantiles("ottoscaler_event_duration_seconds", 0.5, 0.95, 0.99),
    ),
    Panel(
        "Waiting and in flight", "short", "ottoscaler_stream_lag", "The stream's unread and open entries.",
        (
            (_once("ottoscaler_stream_lag"), "{{namespace}} unread"),
            (_once("ottoscaler_stream_pending"), "{{namespace}} in flight"),
        ),
    ),
    Panel(
        "Events in hand", "short", "ottoscaler_events_in_hand", "Read events with workers to start.",
        ((f"ottoscaler_events_in_hand{OWN}", "{{pod}}"),),
    ),
)  # fmt: skip

WORKERS = (
    Panel(
        "Workers", "short", "ottoscaler_workers", "Slots in use on each replica, and all slots.",
        (
            (f"ottoscaler_workers{OWN}", "{{pod}}"),
            (f"sum(ottoscaler_workers_max{OWN})", "slots of all"),
        ),
    ),
    Panel(
        "Workers ended", "cps", "ottoscaler_workers_total", "Workers that ended a second, by status.",
        ((_rate("ottoscaler_workers_total", "status"), "{{status}}"),), stacked=True,
    ),
    Panel(
        "Failures by reason", "cps", "ottoscaler_workers_total", "Workers that failed for good a second.",
        ((_rate("ottoscaler_workers_total", "reason", 'status="failed"') + " > 0", "{{reason}}"),),
        stacked=True,
    ),
    Panel(
        "Retries by reason", "cps", "ottoscaler_retries_total", "Workers tried again a second.",
        ((_rate("ottoscaler_retries_total", "reason") + " > 0", "{{reason}}"),), stacked=True,
    ),
    Panel(
        "Pod start", "s", "ottoscaler_pod_start_seconds", "A Pod's creation to its running.",
        _quantiles("ottoscaler_pod_start_seconds", 0.5, 0.95, 0.99),
    ),
    Panel(
        "Worker run time", "s", "ottoscaler_pod_run_seconds", "A worker container's start to its end.",
        _quantiles("ottoscaler_pod_run_seconds", 0.5, 0.95, 0.99),
    ),
    Panel(
        "Pod create", "s", "ottoscaler_pod_create_seconds", "A create request, to its answer.",
        _quantiles("ottoscaler_pod_create_seconds", 0.5, 0.95, 0.99),
    ),
    Panel(
        "Reaction", "s", "ottoscaler_pod_reaction_seconds", "Terminal Pod seen to its delete request.",
        _quantiles("ottoscaler_pod_reaction_seconds", 0.5, 0.95, 0.99),
    ),
    Panel(
        "Kept logs", "bytes", "ottoscaler_logs_bytes", "What the kept logs of ended workers take in Redis.",
        ((_once("ottoscaler_logs_bytes"), "{{namespace}}"),),
    ),
)  # fmt: skip

OUTSIDE = (
    Panel(
        "API server calls", "reqps", "ottoscaler_kube_request_seconds", "Calls a second, by verb and code.",
        ((_rate("ottoscaler_kube_request_seconds_count", "verb, code"), "{{verb}} {{code}}"),), stacked=True,
    ),
    Panel(
        "API server answers, p99", "s", "ottoscaler_kube_request_seconds", "How long calls take, by verb.",
        (
            (
                "histogram_quantile(0.99, "
                + _rate("ottoscaler_kube_request_seconds_bucket", "verb, le", 'verb!~"watch|log"')
                + ")",
                "{{verb}}",
            ),
        ),
    ),
    Panel(
        "Throttle", "reqps", "ottoscaler_kube_rate_limit", "Calls a second that a replica allows itself.",
        ((f"ottoscaler_kube_rate_limit{OWN}", "{{pod}}"),),
    ),
    Panel(
        "Watch restarts", "short", "ottoscaler_watch_restarts_total", "Pod watches that broke off.",
        ((f"sum by (pod) (increase(ottoscaler_watch_restarts_total{OWN}[$__rate_interval]))", "{{pod}}"),),
    ),
    Panel(
        "Watch traffic", "Bps", "ottoscaler_watch_bytes_total", "Bytes of Pods a second, by watch and lists.",
        ((f"sum by (pod) (rate(ottoscaler_watch_bytes_total{OWN}[$__rate_interval]))", "{{pod}}"),),
    ),
    Panel(
        "Reads from Redis", "reqps", "ottoscaler_redis_polls_total", "XREADGROUP calls a second, by result.",
        ((_rate("ottoscaler_redis_polls_total", "result"), "{{result}}"),),
    ),
    Panel(
        "Redis reconnects", "short", "ottoscaler_redis_reconnects_total", "Connections to Redis made anew.",
        ((f"sum by (pod) (increase(ottoscaler_redis_reconnects_total{OWN}[$__rate_interval]))", "{{pod}}"),),
    ),
    Panel(
        "Lease", "s", "ottoscaler_lease_seconds", "How long each replica's lease still holds.",
        ((f"ottoscaler_lease_seconds{OWN}", "{{pod}}"),),
    ),
    Panel(
        "Trimmed for want of bytes", "short", "ottoscaler_entries_trimmed_total",
        "Results and dead letters that went before their time.",
        (
            (
                f"sum by (stream) (increase(ottoscaler_entries_trimmed_total{OWN}[$__rate_interval]))",
                "{{stream}}",
            ),
        ),
    ),
    Panel(
        "Template problems", "short", "ottoscaler_template_problems", "Problems of the Pod templates.",
        ((f"ottoscaler_template_problems{OWN}", "{{pod}}"),),
    ),
)  # fmt: skip

PROCESS = (
    Panel(
        "CPU", "percentunit", "", "Cores that each replica uses. At its limit, reactions get slow.",
        ((f"rate(process_cpu_seconds_total{OWN}[$__rate_interval])", "{{pod}}"),),
    ),
    Panel(
        "Memory", "bytes", "", "Resident memory of each replica. Near its limit, the kernel kills it.",
        ((f"process_resident_memory_bytes{OWN}", "{{pod}}"),),
    ),
    Panel(
        "Threads", "short", "ottoscaler_threads", "Python threads of each replica.",
        ((f"ottoscaler_threads{OWN}", "{{pod}}"),),
    ),
)  # fmt: skip

ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": NOW,
    "Events": EVENTS,
    "Workers": WORKERS,
    "Kubernetes and Redis": OUTSIDE,
    "The replicas' processes": PROCESS,
}
