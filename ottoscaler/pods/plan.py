"""The Pods of an event: a template, the event's fields merged into it, and Ottoscaler's own labels.

An event's fields reach only those parts of a Pod that the rules here name (docs/events.md). No field is
pasted into text: values are put into places of a structure. Everything that the workers of an event share is
built and serialised once, in :func:`plan`. Each Pod then costs some 3 microseconds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ottoscaler.errors import BadEvent
from ottoscaler.events.values import metadata_json
from ottoscaler.model import JsonObject, ScaleUp, WorkerId
from ottoscaler.pods.labels import GATED, PREFIX, START_GATE, changed, label_value, labels, pod_name
from ottoscaler.pods.overlay import lay_over, literal
from ottoscaler.pods.template_checks import ACCEPTS, ENV, PREFERRED
from ottoscaler.pods.templates import Template

MAX_ANNOTATIONS = 256 * 1024  # bytes of all names and values: the API server's TotalAnnotationSizeLimitB
MAX_BODY = 1024 * 1024  # bytes: etcd takes 1.5 MiB, and the Pod's status needs room too
# Bytes of a Pod for each character of the event at most. Metadata is in an annotation and in a variable, as
# JSON in JSON, where a control character takes 7 bytes.
MOST_GROWTH = 16
ITEM_LENGTH = 16  # what a text brings with it in JSON, such as {"name":...,"value":...}
OWN_BYTES = 8192  # of a Pod: Ottoscaler's own names, labels, annotations and variables

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)

# Stand for what differs between an event's Pods, in the text that they share: characters without a meaning.
_NAME, _INDEX, _ATTEMPT, _CREATED = "\uf8f1", "\uf8f2", "\uf8f3", "\uf8f4"
_MARKS = re.compile(f"([{_NAME}-{_CREATED}])")
OWN_VARIABLES = 5  # that Ottoscaler puts first, and which differ between workers
_MARKS_IN_A_POD = 6  # one name, one time, and index and attempt each in a label and in a variable


@dataclass(frozen=True)
class PodDefaults:
    """The settings that all Pods of a replica share. Times are in seconds."""

    instance: str
    installation: str
    namespace: str
    agent_image: str
    pending_timeout_seconds: float
    default_timeout_seconds: float
    default_max_retries: int
    owner: str = ""  # this replica's incarnation
    start_gate: bool = False  # containers start only once the ledger has noted the Pod


@dataclass(frozen=True)
class PodPlan:
    """How to make each of an event's Pods. Immutable; any thread may ask it for a Pod at any time."""

    event: ScaleUp
    defaults: PodDefaults
    task_label: str
    max_retries: int
    skeleton: JsonObject  # the Pod without what differs between workers; shared, never changed
    position: int  # the index of the worker's container in the list of containers
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The Pods' JSON, cut at the marks. Empty if the event itself has such characters."""
        pod = self.pod(0, 0)
        meta, env = pod["metadata"], pod["spec"]["containers"][self.position]["env"]
        meta["name"] = _NAME
        meta["labels"].update({PREFIX + "index": _INDEX, PREFIX + "attempt": _ATTEMPT})
        meta["annotations"][PREFIX + "created-at"] = _CREATED
        marks = {"OTTO_WORKER_INDEX": _INDEX, "OTTO_ATTEMPT": _ATTEMPT}
        for variable in env[:OWN_VARIABLES]:
            variable["value"] = marks.get(variable["name"], variable["value"])
        found = _MARKS.split(_JSON.encode(pod))
        return tuple(piece.encode() for piece in found) if len(found) == 2 * _MARKS_IN_A_POD + 1 else ()

    def name(self, index: int, attempt: int) -> str:
        return pod_name(self.defaults.instance, self.event.event_id, index, attempt)

    def pod(self, index: int, attempt: int, *, avoid_node: str = "") -> JsonObject:
        """The Pod to POST for one attempt of one worker. Calls share parts of it, so do not change it.

        ``avoid_node`` names the node where the last attempt met an infrastructure failure. The Pod then
        prefers another node. It does not require one, since there may be only one.
        """
        meta, spec = self.skeleton["metadata"], self.skeleton["spec"]
        containers = list(spec["containers"])
        worker = containers[self.position]
        count, raw = self.event.pod_count, self.event
        ours = _env(  # OWN_VARIABLES of them
            OTTO_EVENT_ID=raw.event_id,
            OTTO_TASK_ID=literal(raw.task_id),
            OTTO_WORKER_INDEX=str(index),
            OTTO_WORKER_COUNT=str(count),
            OTTO_ATTEMPT=str(attempt),
        )
        containers[self.position] = {**worker, "env": ours + worker["env"]}
        spec = {**spec, "containers": containers}
        if avoid_node:
            spec["affinity"] = _away_from(avoid_node, spec.get("affinity") or {})
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name(index, attempt),
                "namespace": self.defaults.namespace,
                "labels": {**meta["labels"], **self._own_labels(index, attempt)},
                "annotations": {
                    **meta["annotations"],
                    PREFIX + "created-at": self._now(),
                    PREFIX + "installation": self.defaults.installation,
                },
            },
            "spec": spec,
        }

    def changed_labels(self, index: int, attempt: int, sent: JsonObject) -> list[str]:
        """The names of Ottoscaler's labels that the create's answer ``sent`` lacks or shows otherwise."""
        return changed(self._own_labels(index, attempt), sent)

    def _own_labels(self, index: int, attempt: int) -> dict[str, str]:
        of = self.defaults
        worker = WorkerId(self.event.event_id, index, attempt)
        return labels(of.instance, of.installation, worker, self.task_label, of.owner)

    def body(self, index: int, attempt: int, *, avoid_node: str = "") -> bytes:
        """:meth:`pod` as the JSON to send."""
        if avoid_node or self.event.pod_count == 1 or not self.pieces:
            return _JSON.encode(self.pod(index, attempt, avoid_node=avoid_node)).encode()
        values = {
            _NAME.encode(): self.name(index, attempt).encode(),
            _INDEX.encode(): b"%d" % index,
            _ATTEMPT.encode(): b"%d" % attempt,
            _CREATED.encode(): self._now().encode(),
        }
        return b"".join([values.get(piece, piece) for piece in self.pieces])

    def _now(self) -> str:
        return self.clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plan(
    event: ScaleUp,
    template: Template,
    defaults: PodDefaults,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> PodPlan:
    """Merge ``event`` into its profile's template. Any thread; linear in the event's and the template's size.

    Raises ``BadEvent`` for fields that the template does not accept, and if the resulting Pod is too large or
    otherwise invalid for every API server.
    """
    timeout = event.timeout_seconds if event.timeout_seconds is not None else defaults.default_timeout_seconds
    retries = event.max_retries if event.max_retries is not None else defaults.default_max_retries
    made = PodPlan(
        event=event,
        defaults=defaults,
        task_label=label_value(event.task_id),
        max_retries=retries,
        skeleton=_skeleton(event, template, defaults, timeout),
        position=template.position,
        clock=clock,
    )
    _check_size(made, template)
    return made


def _skeleton(event: ScaleUp, template: Template, defaults: PodDefaults, timeout: float) -> JsonObject:
    # What changes is made anew, and the rest is the template's own, shared by all plans: a deep copy was a
    # quarter of what an event of one worker cost its listener.
    meta, spec = template.pod.get("metadata") or {}, dict(template.pod["spec"])
    annotations = {k: v for k, v in meta.get("annotations", {}).items() if k not in (ACCEPTS, ENV)}
    annotations[PREFIX + "task-id"] = event.task_id
    annotations[PREFIX + "metadata"] = metadata_json(event.metadata)
    if defaults.start_gate:
        annotations[GATED] = "true"
        spec["schedulingGates"] = [*(spec.get("schedulingGates") or []), {"name": START_GATE}]
    spec["restartPolicy"] = "Never"
    spec["activeDeadlineSeconds"] = math.ceil(defaults.pending_timeout_seconds + timeout)
    # A template may switch these on. They are off if it does not mention them.
    spec.setdefault("automountServiceAccountToken", False)
    spec.setdefault("enableServiceLinks", False)
    at = template.position
    worker = lay_over(template.worker, event, template)
    worker["env"] = _env(OTTO_METADATA=literal(metadata_json(event.metadata))) + worker["env"]
    spec["containers"] = [*spec["containers"][:at], worker, *spec["containers"][at + 1 :]]
    return {"metadata": {"labels": meta.get("labels", {}), "annotations": annotations}, "spec": spec}


def _check_size(made: PodPlan, template: Template) -> None:
    """Check the largest Pod of the plan, so that no worker tries what the API server would refuse."""
    last = made.event.pod_count - 1
    try:
        made.name(last, made.max_retries)
    except ValueError as problem:
        raise BadEvent(f"pod_count is too large: {problem}") from None
    if template.size + OWN_BYTES + MOST_GROWTH * _length(made.event) <= MAX_ANNOTATIONS:
        return  # as nearly every event: it need not be built to be measured
    annotations = made.pod(last, made.max_retries)["metadata"]["annotations"]
    size = sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items())
    if size > MAX_ANNOTATIONS:
        raise BadEvent(
            f"the metadata makes {size} bytes of annotations: up to {MAX_ANNOTATIONS} are possible"
        )
    size = len(made.body(last, made.max_retries))
    if size > MAX_BODY:
        raise BadEvent(f"the event makes a Pod of {size} bytes: up to {MAX_BODY} are possible")


def _length(event: ScaleUp) -> int:
    """At least as many characters as the event brings into a Pod, with ITEM_LENGTH for each text."""
    texts = [event.task_id, event.image or "", event.cpu or "", event.memory or ""]
    texts += [*(event.command or ()), *(event.args or ())]
    for each in (event.env, event.metadata):
        texts += [*each, *each.values()]
    return sum(map(len, texts)) + ITEM_LENGTH * len(texts)


def _env(**values: str) -> list[JsonObject]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _away_from(node: str, affinity: Mapping[str, Any]) -> JsonObject:
    """``affinity`` and, at the highest weight, a preference for any other node than ``node``."""
    term = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [node]}
    of_nodes = affinity.get("nodeAffinity") or {}
    preferred = [
        *(of_nodes.get(PREFERRED) or []),
        {"weight": 100, "preference": {"matchExpressions": [term]}},
    ]
    return {**affinity, "nodeAffinity": {**of_nodes, PREFERRED: preferred}}
