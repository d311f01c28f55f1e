"""docs/metrics.md, written from the metrics' specifications.

``python -m tests.tools.metrics_page`` writes it anew; a unit test holds the file equal to this.
"""

from __future__ import annotations

import re
from pathlib import Path

from ottoscaler.telemetry.metric_specs import SPECS, MetricSpec

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def anchor(heading: str) -> str:
    """The anchor that GitHub and GitLab give a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def render() -> str:
    """The whole page."""
    rows = [
        f"| `{name}` | {spec.kind} | {_labels(spec)} | {spec.meaning} | {_linked(spec.bad)} |"
        for name, spec in SPECS.items()
    ]
    buckets = [
        f"| `{name}` | {', '.join(f'{bound:g}' for bound in spec.buckets)} |"
        for name, spec in SPECS.items()
        if spec.buckets
    ]
    return _PAGE.format(rows="\n".join(rows), buckets="\n".join(buckets), words="\n".join(_words()))


def _labels(spec: MetricSpec) -> str:
    return ", ".join(f"`{label}`" for label in spec.labels)


def _linked(text: str) -> str:
    """The text with each ``[Heading]`` as a link into the runbook. Existing links stay."""
    return re.sub(
        r"\[([^\]]+)\](?!\()", lambda found: f"[{found[1]}](operations.md#{anchor(found[1])})", text
    )


def _words() -> list[str]:
    """Every label's words, each list once."""
    seen: dict[tuple[str, tuple[str, ...]], None] = {}
    for spec in SPECS.values():
        for label, words in spec.labels.items():
            seen[(label, words)] = None
    return [f"| `{label}` | {', '.join(f'`{word}`' for word in words)} |" for label, words in seen]


_PAGE = """\
# Metrics

Every replica answers `/metrics` on `OTTO_HTTP_PORT`: in the text format, or in OpenMetrics where the
Accept header asks for it (Prometheus does). Every replica says the same of the stream and of dead letters, so
take their maximum (`max`); what a replica says of itself is summed. The client library adds `process_*` and
`python_info`. `manifests/monitoring` has a PodMonitor, alerts and a Grafana dashboard made of these metrics
([operations.md](operations.md#alerts)).

| name | type | labels | what it tells | a bad value, and what it means |
|---|---|---|---|---|
{rows}

## Labels

Labels take these words only; anything else is counted as `other`, so that no event can make series.

| label | words |
|---|---|
{words}

## Buckets

The bounds of the histograms, in seconds; each histogram has `_bucket`, `_sum` and `_count`.

| name | bounds |
|---|---|
{buckets}

## OpenMetrics and exemplars

In OpenMetrics, each bucket of `ottoscaler_event_latency_seconds` carries the `event_id` of the last event
that fell into it as an exemplar. Prometheus keeps them with `--enable-feature=exemplar-storage`, Grafana
shows them as dots, and one filter on that id tells the event's whole life in the log.
`ottoscaler_workers_total` has no type there, because OpenMetrics would take it and the gauge
`ottoscaler_workers` for one metric; its samples are the same.

<!-- Written by `python -m tests.tools.metrics_page`; do not edit. -->
"""


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
