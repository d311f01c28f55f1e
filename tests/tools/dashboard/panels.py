"""The dashboard's rows of panels, as data.

What is told of the stream and of dead letters is taken once a namespace; a replica's own figures are summed,
or shown for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

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
    """Of what every replica tells alike: the largest of them."""
    return f"max by (namespace) ({metric}{SHARED})"


def _rate(metric: str, by: str, where: str = "") -> str:
    chosen = OWN[:-1] + (f", {where}" if where else "") + "}"
    return f"sum by ({by}) (rate({metric}{chosen}[$__rate_interval]))"


def _quantiles(metric: str, *shares: float) -> tuple[tuple[str, str], ...]:
    inner = f"sum by (le) (rate({metric}_bucket{OWN}[$__rate_interval]))"
    return tuple((f"histogram_quantile({share}, {inner})", f"p{share * 100:g}") for share in shares)


def _latencies(title: str, metric: str, text: str) -> Panel:
    return Panel(title, "s", metric, text, _quantiles(metric, 0.5, 0.95, 0.99))


def _rates(
    title: str, unit: str, metric: str, text: str, by: str, where: str = "", stacked: bool = True
) -> Panel:
    """Per second, by labels; what ``where`` chooses is shown only while there is any."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    query = _rate(metric, by, where) + (" > 0" if where else "")
    return Panel(title, unit, metric.removesuffix("_count"), text, ((query, legend),), stacked=stacked)


def _each(title: str, unit: str, metric: str, text: str, *more: tuple[str, str]) -> Panel:
    """A gauge, a line for each replica, and ``more`` lines. Python's own metrics are in nobody's list."""
    ours = metric if metric.startswith("ottoscaler_") else ""
    return Panel(title, unit, ours, text, ((f"{metric}{OWN}", "{{pod}}"), *more))


def _growth(title: str, metric: str, text: str, by: str = "pod") -> Panel:
    query = f"sum by ({by}) (increase({metric}{OWN}[$__rate_interval]))"
    return Panel(title, "short", metric, text, ((query, f"{{{{{by}}}}}"),))


def _told(title: str, unit: str, metric: str, text: str, **looks: Any) -> Panel:
    """A number of the whole installation's, now."""
    query = (_once(metric), "{{namespace}}")
    return Panel(title, unit, metric, text, (query,), "stat", 3, **looks)


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
    _told(
        "Unread events", "short", "ottoscaler_stream_lag", "Events that no replica has read yet.",
        bad_from=100,
    ),
    _told("Events in flight", "short", "ottoscaler_stream_pending", "Events read and not ended."),
    _told(
        "Oldest in flight", "s", "ottoscaler_oldest_pending_seconds", "How long ago the oldest was sent.",
        bad_from=90_000,
    ),
    _told(
        "Dead letters", "short", "ottoscaler_dead_letters", "Entries in the dead-letter stream.", bad_from=1,
    ),
    Panel(
        "Entries lost", "short", "ottoscaler_entries_lost_total", "Entries trimmed unread in that time.",
        ((f"sum(increase(ottoscaler_entries_lost_total{OWN}[$__range]))", "lost"),), "stat", 3, bad_from=1,
    ),
    _told(
        "Paused", "bool_yes_no", "ottoscaler_paused", "Whether the group is paused.",
        bad_from=1, words=("no", "paused"),
    ),
)  # fmt: skip

EVENTS = (
    _rates(
        "Events ended", "eps", "ottoscaler_events_total", "Events that ended a second, by status.",
        "type, status",
    ),
    _latencies(
        "Event latency", "ottoscaler_event_latency_seconds",
        "XADD to the event's first create request. The dots are single events: their event_id finds the log.",
    ),
    Panel(
        "Event latency, all", "s", "ottoscaler_event_latency_seconds", "Events by latency, as a heatmap.",
        ((_rate("ottoscaler_event_latency_seconds_bucket", "le"), "{{le}}"),), "heatmap",
    ),
    _latencies(
        "Event duration", "ottoscaler_event_duration_seconds", "XADD to the event's entry in results.",
    ),
    Panel(
        "Waiting and in flight", "short", "ottoscaler_stream_lag", "The stream's unread and open entries.",
        (
            (_once("ottoscaler_stream_lag"), "{{namespace}} unread"),
            (_once("ottoscaler_stream_pending"), "{{namespace}} in flight"),
        ),
    ),
    _each("Events in hand", "short", "ottoscaler_events_in_hand", "Read events with workers to start."),
)  # fmt: skip

WORKERS = (
    _each(
        "Workers", "short", "ottoscaler_workers", "Slots in use on each replica, and all slots.",
        (f"sum(ottoscaler_workers_max{OWN})", "slots of all"),
    ),
    _rates(
        "Workers ended", "cps", "ottoscaler_workers_total", "Workers that ended a second, by status.",
        "status",
    ),
    _rates(
        "Failures by reason", "cps", "ottoscaler_workers_total", "Workers that failed for good a second.",
        "reason", 'status="failed"',
    ),
    Panel(
        "Retries by reason", "cps", "ottoscaler_retries_total", "Workers tried again a second.",
        ((_rate("ottoscaler_retries_total", "reason") + " > 0", "{{reason}}"),), stacked=True,
    ),
    _latencies("Pod start", "ottoscaler_pod_start_seconds", "A Pod's creation to its running."),
    _latencies("Worker run time", "ottoscaler_pod_run_seconds", "A worker container's start to its end."),
    _latencies("Pod create", "ottoscaler_pod_create_seconds", "A create request, to its answer."),
    _latencies("Reaction", "ottoscaler_pod_reaction_seconds", "Terminal Pod seen to its delete request."),
    Panel(
        "Kept logs", "bytes", "ottoscaler_logs_bytes", "What the kept logs of ended workers take in Redis.",
        ((_once("ottoscaler_logs_bytes"), "{{namespace}}"),),
    ),
)  # fmt: skip

OUTSIDE = (
    _rates(
        "API server calls", "reqps", "ottoscaler_kube_request_seconds_count",
        "Calls a second, by verb and code.",
        "verb, code",
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
    _each("Throttle", "reqps", "ottoscaler_kube_rate_limit", "Calls a second that a replica allows itself."),
    _growth("Watch restarts", "ottoscaler_watch_restarts_total", "Pod watches that broke off."),
    Panel(
        "Watch traffic", "Bps", "ottoscaler_watch_bytes_total", "Bytes of Pods a second, by watch and lists.",
        ((_rate("ottoscaler_watch_bytes_total", "pod"), "{{pod}}"),),
    ),
    _rates(
        "Reads from Redis", "reqps", "ottoscaler_redis_polls_total", "XREADGROUP calls a second, by result.",
        "result", stacked=False,
    ),
    _growth("Redis reconnects", "ottoscaler_redis_reconnects_total", "Connections to Redis made anew."),
    _each("Lease", "s", "ottoscaler_lease_seconds", "How long each replica's lease still holds."),
    _growth(
        "Trimmed for want of bytes", "ottoscaler_entries_trimmed_total",
        "Results and dead letters that went before their time.", "stream",
    ),
    _each("Template problems", "short", "ottoscaler_template_problems", "Problems of the Pod templates."),
)  # fmt: skip

PROCESS = (
    Panel(
        "CPU", "percentunit", "", "Cores that each replica uses. At its limit, reactions get slow.",
        ((f"rate(process_cpu_seconds_total{OWN}[$__rate_interval])", "{{pod}}"),),
    ),
    _each(
        "Memory", "bytes", "process_resident_memory_bytes",
        "Resident memory of each replica. Near its limit, the kernel kills it.",
    ),
    _each("Threads", "short", "ottoscaler_threads", "Python threads of each replica."),
)  # fmt: skip

ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": NOW,
    "Events": EVENTS,
    "Workers": WORKERS,
    "Kubernetes and Redis": OUTSIDE,
    "The replicas' processes": PROCESS,
}
