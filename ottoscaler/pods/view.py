"""Reads a Pod as the API server sends it, and keeps the little that Ottoscaler needs of it.

This runs once for every watch event, so it looks only at what it needs. Nothing here raises: anybody and any
version of Kubernetes may have written the Pod, and a field of an unexpected type counts as missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ottoscaler.model import JsonObject, Phase, PodView, WorkerId, is_entry_id
from ottoscaler.pods.labels import GATED, OWN_LABELS, OWNER, PREFIX, worker_in

WORKER = "worker"  # the container that an event is about (docs/templates.md)

MOST_METADATA = 2048  # characters of a Pod's metadata that are kept: it may have a hundred thousand
MOST_WORKERS = 4096  # workers whose parsed names and labels are kept

_INSTANCE, _INSTALLATION = PREFIX + "instance", PREFIX + "installation"
_EVENT_ID, _INDEX, _ATTEMPT = PREFIX + "event-id", PREFIX + "index", PREFIX + "attempt"
_TASK_ID, _METADATA = PREFIX + "task-id", PREFIX + "metadata"
_EMPTY: JsonObject = {}
_PHASES = {phase.value: phase for phase in Phase}
BENIGN = ("", "ContainerCreating", "PodInitializing")  # waiting reasons of a start that goes well
_CALM = ("", "")
_NEVER = "1970-01-01T00:00:00Z"  # what runtimes report for a container that they could not start
_KILLED = (137, 143)  # exit codes of SIGKILL and SIGTERM, which end the other containers once one has failed
_COUNT = re.compile(r"[0-9]{1,9}")


class Labelled(NamedTuple):
    """What labels and annotations tell. It is the same in nearly all events of one Pod."""

    numbers: tuple[str, str, str]  # event id, index and attempt: they count if the name does not tell them
    gated: bool  # it was created with our scheduling gate
    instance: str
    installation: str
    owner: str
    managed: bool
    task_id: str
    metadata: str
    annotated: str


class Told(NamedTuple):
    """What the status tells. Several events of one Pod have the same, and Pods that begin have the same."""

    phase: Phase
    accepted_at: str
    started_at: str
    finished_at: str
    exit_code: int | None
    pod_reason: str
    pod_message: str
    container_reason: str
    container_message: str
    waiting_reason: str
    waiting_message: str
    bound_at: str
    unschedulable: str
    disruption: str
    disruption_message: str
    gated: bool  # a scheduling gate holds it


def parse_pod(obj: JsonObject) -> PodView:
    """What the Pod ``obj`` shows. Any thread; some 10 microseconds. Never raises."""
    obj = _object(obj)
    meta = _object(obj.get("metadata"))
    deleted_at = meta.get("deletionTimestamp")
    grace = meta.get("deletionGracePeriodSeconds") if deleted_at else 0
    return view_of(
        (_text(meta, "name"), _text(meta, "uid"), _text(meta, "resourceVersion")),
        _text(meta, "creationTimestamp"),
        bool(deleted_at),
        grace if isinstance(grace, int) else 0,
        _text(_object(obj.get("spec")), "nodeName"),
        labelled(meta),
        told(_object(obj.get("status"))),
    )


def view_of(
    named: tuple[str, str, str],
    created_at: str,
    deleting: bool,
    grace_seconds: int,
    node: str,
    labels: Labelled,
    status: Told,
) -> PodView:
    """The view that these parts make. ``named`` has the name, the UID and the resource version."""
    worker = _named(named[0]) or _worker(*labels.numbers)
    gated = labels.gated and status.gated
    return PodView._make(
        (*named, created_at, deleting, grace_seconds, node, worker, gated, *labels[2:], *status[:-1])
    )


def labelled(meta: JsonObject) -> Labelled:
    """What a Pod's metadata tell by labels and annotations. Never raises."""
    labels, annotations = _object(meta.get("labels")), _object(meta.get("annotations"))
    return Labelled(
        numbers=(_text(labels, _EVENT_ID), _text(labels, _INDEX), _text(labels, _ATTEMPT)),
        gated=annotations.get(GATED) == "true",
        instance=_text(labels, _INSTANCE),
        installation=_text(labels, _INSTALLATION),
        owner=_text(labels, OWNER),
        managed=_text(labels, "managed-by") == OWN_LABELS["managed-by"],
        task_id=_text(annotations, _TASK_ID) or _text(labels, _TASK_ID),
        metadata=_metadata(_text(annotations, _METADATA)),
        annotated=_text(annotations, _INSTALLATION),
    )


def told(status: JsonObject) -> Told:
    """What a Pod's status tells. Never raises."""
    containers = _objects(status.get("containerStatuses"))
    worker = _worker_of(containers)
    state = _object(worker.get("state"))
    ended = _object(state.get("terminated"))
    failed_beside = _CALM
    if status.get("phase") == "Failed":
        # Seen of a kubelet 1.20: a container that it no longer finds after a deletion waits again.
        ended = ended or _object(_object(worker.get("lastState")).get("terminated"))
        failed_beside = _failed_beside(status, containers, worker, ended)
    return Told._make(
        (
            _PHASES.get(_text(status, "phase") or "Pending", Phase.UNKNOWN),
            _time(status, "startTime"),
            _time(ended or _object(state.get("running")), "startedAt"),
            _time(ended, "finishedAt"),
            _exit_code(ended),
            _text(status, "reason"),
            _text(status, "message"),
            failed_beside[0] or _text(ended, "reason"),
            failed_beside[1] or _text(ended, "message"),
            *_waiting(status, worker, state),
            *_conditions(status),
        )
    )


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else _EMPTY


def _objects(value: Any) -> Sequence[JsonObject]:
    if not value:
        return ()
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(holder: JsonObject, key: str) -> str:
    value = holder.get(key)
    return value if type(value) is str else ""  # JSON has no other kind of text


def _metadata(text: str) -> str:
    if len(text) <= MOST_METADATA:
        return text
    return json.dumps({PREFIX + "omitted": f"{len(text)} characters"})


def _time(holder: JsonObject, key: str) -> str:
    value = _text(holder, key)
    return "" if value == _NEVER else value


def _exit_code(ended: JsonObject) -> int | None:
    code = ended.get("exitCode")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _worker_of(containers: Sequence[JsonObject]) -> JsonObject:
    for container in containers:
        if container.get("name") == WORKER:
            return container
    return containers[0] if containers else _EMPTY


_named = lru_cache(MOST_WORKERS)(worker_in)  # each Pod is seen some seven times


@lru_cache(MOST_WORKERS)
def _worker(event_id: str, index: str, attempt: str) -> WorkerId | None:
    if is_entry_id(event_id) and _COUNT.fullmatch(index) and _COUNT.fullmatch(attempt):
        return WorkerId(event_id, int(index), int(attempt))
    return None


def _failed_beside(
    status: JsonObject, containers: Sequence[JsonObject], worker: JsonObject, own: JsonObject
) -> tuple[str, str]:
    """Reason and message of the container that failed the Pod, if that was not the worker, whose end
    is ``own``. It is the first that failed, by its node's clock. One that was killed counts only if no other
    container failed."""
    if own.get("exitCode"):
        return "", ""
    failed = []
    for kind, others in (
        ("init container", _objects(status.get("initContainerStatuses"))),
        ("container", containers),
    ):
        for container in others:
            ended = _object(_object(container.get("state")).get("terminated"))
            if container is not worker and ended.get("exitCode"):
                failed.append((kind, _text(container, "name"), ended))
    if not failed:
        return "", ""
    kind, name, ended = min(
        failed, key=lambda one: (one[2]["exitCode"] in _KILLED, _time(one[2], "finishedAt"))
    )
    told, failure = _text(ended, "message"), f"{kind} {name} ended with exit code {ended['exitCode']}"
    return _text(ended, "reason") or "Error", f"{failure}: {told}" if told else failure


def _waiting(status: JsonObject, worker: JsonObject, state: JsonObject) -> tuple[str, str]:
    """Reason and message of what keeps the worker from its start. The first abnormal reason counts: the
    worker's, then those of init containers. Without one, it is why the worker waits. Sidecars are not looked
    at: a kubelet starts a container even if those beside it cannot start."""
    calm = _CALM
    if state.get("running") or state.get("terminated"):
        return calm
    for container in (worker, *_objects(status.get("initContainerStatuses"))):
        waiting = _object(_object(container.get("state")).get("waiting"))
        reason = _text(waiting, "reason")
        if reason not in BENIGN:
            return reason, _text(waiting, "message")
        calm = calm if calm[0] else (reason, _text(waiting, "message"))
    return calm


def _conditions(status: JsonObject) -> tuple[str, str, str, str, bool]:
    bound_at = unschedulable = disruption = message = ""
    gated = False
    for condition in _objects(status.get("conditions")):
        kind = condition.get("type")
        if kind == "PodScheduled":
            holds, reason = condition.get("status"), _text(condition, "reason")
            gated |= reason == "SchedulingGated"
            if holds == "True":
                bound_at = _text(condition, "lastTransitionTime")
            elif holds == "False" and reason == "Unschedulable":
                unschedulable = _text(condition, "message") or "Unschedulable"
        elif kind == "DisruptionTarget" and condition.get("status") == "True":
            disruption = _text(condition, "reason") or "DisruptionTarget"
            message = _text(condition, "message")
    return bound_at, unschedulable, disruption, message, gated
