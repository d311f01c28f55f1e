"""The Table form of lists and watches, which ``kubectl get`` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from ottoscaler.local.apiserver.kinds import NAMESPACES, NODES, PODS, Kind
from ottoscaler.model import JsonObject

_Column = tuple[str, str, str, int]  # name, type, format, priority
_Cells = Callable[[JsonObject], list[Any]]

_NAME: _Column = ("Name", "string", "name", 0)
_AGE: _Column = ("Age", "string", "", 0)


def table(kind: Kind, objects: Sequence[JsonObject], version: int, *, columns: bool = True) -> JsonObject:
    """A ``Table`` of the objects. A watch's later tables have no column definitions."""
    definitions, cells = _layout(kind)
    described = [
        {"name": n, "type": t, "format": f, "description": n, "priority": p} for n, t, f, p in definitions
    ]
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(version)},
        "columnDefinitions": described if columns else None,
        "rows": [
            {"cells": cells(obj), "object": {**partial, "metadata": obj["metadata"]}} for obj in objects
        ],
    }


def _layout(kind: Kind) -> tuple[tuple[_Column, ...], _Cells]:
    if kind is PODS:
        return _POD_COLUMNS, _pod_cells
    if kind is NAMESPACES:
        return (_NAME, ("Status", "string", "", 0), _AGE), _namespace_cells
    if kind is NODES:
        return _NODE_COLUMNS, _node_cells
    return (_NAME, _AGE), lambda obj: [obj["metadata"]["name"], age(obj)]


def age(obj: JsonObject) -> str:
    """How long ago the object was created, as kubectl writes it: ``12s``, ``3m``, ``5h``, ``2d``."""
    created = obj["metadata"].get("creationTimestamp")
    if not created:
        return "<unknown>"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds())
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    for size, unit, limit in ((60, "m", 180), (3600, "h", 48), (86400, "d", None)):
        if limit is None or seconds < size * limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


_POD_COLUMNS: tuple[_Column, ...] = (
    _NAME,
    ("Ready", "string", "", 0),
    ("Status", "string", "", 0),
    ("Restarts", "integer", "", 0),
    _AGE,
    ("IP", "string", "", 1),
    ("Node", "string", "", 1),
    ("Nominated Node", "string", "", 1),
    ("Readiness Gates", "string", "", 1),
)


def _pod_cells(pod: JsonObject) -> list[Any]:
    status = pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    ready = sum(1 for one in statuses if one.get("ready"))
    restarts = sum(one.get("restartCount", 0) for one in statuses)
    total = len(pod["spec"].get("containers") or [])
    place = [status.get("podIP") or "<none>", pod["spec"].get("nodeName") or "<none>", "<none>", "<none>"]
    return [pod["metadata"]["name"], f"{ready}/{total}", pod_state(pod), restarts, age(pod), *place]


def pod_state(pod: JsonObject) -> str:
    """The word in kubectl's STATUS column: the phase, or a reason that says more."""
    status = pod.get("status") or {}
    word: str = status.get("reason") or status.get("phase") or "Unknown"
    if any(one.get("reason") == "SchedulingGated" for one in status.get("conditions") or []):
        word = "SchedulingGated"
    for one in reversed(status.get("containerStatuses") or []):
        state = one.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            word = state["waiting"]["reason"]
        elif "terminated" in state:
            ended = state["terminated"]
            word = ended.get("reason") or f"ExitCode:{ended.get('exitCode')}"
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return word


def _namespace_cells(namespace: JsonObject) -> list[Any]:
    return [namespace["metadata"]["name"], namespace["status"]["phase"], age(namespace)]


_NODE_COLUMNS: tuple[_Column, ...] = (
    _NAME,
    ("Status", "string", "", 0),
    ("Roles", "string", "", 0),
    _AGE,
    ("Version", "string", "", 0),
)


def _node_cells(node: JsonObject) -> list[Any]:
    conditions = node["status"].get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    word = "Ready" if ready else "NotReady"
    if node["spec"].get("unschedulable"):
        word += ",SchedulingDisabled"
    version = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
    return [node["metadata"]["name"], word, "<none>", age(node), version]
