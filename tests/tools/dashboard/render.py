"""The panels in the form of Grafana's export.

A panel's description is its own sentence and, from its metric's specification, what a bad value means.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ottoscaler.telemetry.metric_specs import SPECS
from tests.tools.dashboard.panels import ROWS, Panel

FILE = Path(__file__).parents[3] / "manifests" / "monitoring" / "dashboard.json"
COLUMNS = 24  # of Grafana's grid
HEIGHTS = {"stat": 4, "timeseries": 8, "heatmap": 8}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


def render() -> str:
    """The whole of the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def dashboard() -> Json:
    """In the form of Grafana's export, schema 39 (Grafana 10 and later read it)."""
    up = {"label": "Alerts", "expr": 'ALERTS{alertname=~"Ottoscaler.*", alertstate="firing"}'}
    return {
        "uid": "ottoscaler",
        "title": "Ottoscaler",
        "description": "Events, workers and replicas. Written by tests/tools/dashboard.",
        "tags": ["ottoscaler"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "links": [],
        "annotations": {
            "list": [
                {
                    "name": up["label"], "expr": up["expr"], "datasource": DATASOURCE, "enable": True,
                    "iconColor": "red", "titleFormat": "{{alertname}}", "textFormat": "{{reason}} {{pod}}",
                    "step": "60s",
                }
            ]
        },
        "templating": {"list": _variables()},
        "panels": _panels(),
    }  # fmt: skip


def _variables() -> list[Json]:
    every = {"current": {"text": "All", "value": "$__all"}, "includeAll": True, "multi": True}
    asked = {"type": "query", "datasource": DATASOURCE, "refresh": 2, "sort": 1, "hide": 0, **every}

    def query(name: str, label: str, text: str) -> Json:
        return {
            "name": name,
            "label": label,
            "query": {"query": text, "refId": name},
            "definition": text,
            **asked,
        }

    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0},
        query("namespace", "Namespace", "label_values(ottoscaler_workers_max, namespace)"),
        query("pod", "Replica", 'label_values(ottoscaler_workers_max{namespace=~"$namespace"}, pod)'),
    ]


def _panels() -> list[Json]:
    panels: list[Json] = []
    top = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place})
        top += 1
        left = 0
        for panel in row:
            height = HEIGHTS[panel.kind]
            if left + panel.width > COLUMNS:
                left, top = 0, top + height
            panels.append(_panel(panel, {"h": height, "w": panel.width, "x": left, "y": top}))
            left += panel.width
        top += HEIGHTS[row[-1].kind]
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _panel(panel: Panel, place: Json) -> Json:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend,
            "exemplar": panel.kind == "timeseries" and panel.metric == "ottoscaler_event_latency_seconds",
            "instant": panel.kind == "stat",
            "range": panel.kind != "stat",
            **({"format": "heatmap"} if panel.kind == "heatmap" else {}),
        }
        for number, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": _description(panel),
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": targets,
    }


def _description(panel: Panel) -> str:
    if not panel.metric:
        return panel.text
    bad = re.sub(
        r"\[([^\]]+)\](\([^)]*\))?", r"“\1”", SPECS[panel.metric].bad
    )  # links lead nowhere from here
    return f"{panel.text}\n\n{bad}\n\nMetric: {panel.metric}"


def _defaults(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "min": 0}
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    if panel.bad_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.bad_below}]
    if panel.kind == "stat":
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["color"] = {"mode": "thresholds"}
    if panel.words:
        options = {str(number): {"text": word, "index": number} for number, word in enumerate(panel.words)}
        defaults["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never", "spanNulls": False, "stacking": stacking,
        }  # fmt: skip
    return defaults


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
    if panel.kind == "heatmap":
        return {
            "calculate": False, "cellGap": 1, "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
            "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": False},
            "legend": {"show": True}, "exemplars": {"color": "rgba(255,0,255,0.7)"},
        }  # fmt: skip
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
