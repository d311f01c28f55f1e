"""Scheduling gates of Pods, as Kubernetes 1.30 has them; servers before 1.26 drop the field.

A Pod with gates shows that in its status from its creation and is not scheduled. An update may remove gates
but never add one.
"""

from __future__ import annotations

from collections.abc import Iterator

from ottoscaler.local.apiserver.statuses import Cause, duplicate
from ottoscaler.model import JsonObject

FIRST_MINOR = 27  # beta and on by default; 1.26 has it switched off


def gates(pod: JsonObject) -> list[str]:
    """The names of the gates that still hold the Pod."""
    return [str(one.get("name", "")) for one in pod["spec"].get("schedulingGates") or []]


def dropped(pod: JsonObject) -> JsonObject:
    """The Pod without its gates, as a server that does not know them stores it, silently."""
    spec = {key: value for key, value in (pod.get("spec") or {}).items() if key != "schedulingGates"}
    return {**pod, "spec": spec}


def without_empty(spec: JsonObject) -> JsonObject:
    """The spec without an empty list of gates, as the server writes it."""
    return spec if spec.get("schedulingGates") else {k: v for k, v in spec.items() if k != "schedulingGates"}


def gated_condition() -> JsonObject:
    """The condition that a new Pod with gates has."""
    return {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": None,
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def gate_causes(spec: JsonObject) -> Iterator[Cause]:
    """What is wrong with a new Pod's gates. Their names are checked like the keys of labels."""
    seen: set[str] = set()
    for i, one in enumerate(spec.get("schedulingGates") or []):
        name = str(one.get("name", ""))
        if name in seen:
            yield duplicate(f"spec.schedulingGates[{i}]", name)
        seen.add(name)
    if seen and spec.get("nodeName"):
        why = "cannot be set until all schedulingGates have been cleared"
        yield Cause("FieldValueForbidden", f"Forbidden: {why}", "spec.nodeName")


def added_gate_causes(old: JsonObject, new: JsonObject) -> Iterator[Cause]:
    """One cause for each gate that an update would add."""
    before = gates(old)
    for i, name in enumerate(gates(new)):
        if name not in before:
            why = f"only deletion is allowed, but found new scheduling gate '{name}'"
            yield Cause("FieldValueForbidden", f"Forbidden: {why}", f"spec.schedulingGates[{i}].name")
