"""Binds Pods to the fake nodes by node selector, cpu, memory and number of Pods, the emptiest node first."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

from ottoscaler.local.apiserver import quantity
from ottoscaler.local.apiserver.core_events import CoreEvents
from ottoscaler.local.apiserver.quota import Amounts, pod_amounts, terminal
from ottoscaler.local.apiserver.scheduling_gates import gates
from ottoscaler.local.apiserver.store import Event, Key, Store, Stored, timestamp
from ottoscaler.local.node.nodes import Nodes
from ottoscaler.model import JsonObject

_ZERO = Decimal(0)


class Scheduler:
    """Follows the Pods and writes on which nodes they run. Event loop thread only."""

    def __init__(self, store: Store, nodes: Nodes, events: CoreEvents) -> None:
        self._store, self._nodes, self._events = store, nodes, events
        self._used: dict[str, Amounts] = {name: {} for name in nodes.names}
        self._pending: set[Key] = set()  # Pods whose status says that no node fits
        self._again = False

    def start(self) -> None:
        """Schedule from now on."""
        self._store.subscribe("pods", self._pod_event)
        self._store.subscribe("nodes", lambda _: self._retry_soon())

    def _pod_event(self, event: Event) -> None:
        before, after = event.previous, event.entry if event.type != "DELETED" else None
        held_before = before is not None and _holds(before.obj)
        held_after = after is not None and _holds(after.obj)
        if held_before != held_after:
            entry = event.entry if held_after or before is None else before
            self._account(entry, 1 if held_after else -1)
            if held_before:
                self._retry_soon()
        if after is None:
            self._pending.discard(event.key)
        elif not after.obj["spec"].get("nodeName") and (event.type == "ADDED" or _released(event)):
            asyncio.get_running_loop().call_soon(self._when_able, event.key)

    def _when_able(self, key: Key) -> None:
        self._nodes.when_there("", lambda: self._schedule(key))

    def _account(self, entry: Stored, sign: int) -> None:
        used = self._used.setdefault(entry.obj["spec"]["nodeName"], {})
        for name, amount in _asked(entry.obj["spec"]).items():
            used[name] = used.get(name, _ZERO) + sign * amount

    def _retry_soon(self) -> None:
        if self._pending and not self._again:
            self._again = True
            asyncio.get_running_loop().call_soon(self._retry)

    def _retry(self) -> None:
        self._again = False
        for key in sorted(self._pending):
            self._when_able(key)

    def _schedule(self, key: Key) -> None:
        entry = self._store.get("pods", *key)
        if (
            entry is None
            or entry.obj["spec"].get("nodeName")
            or entry.obj["metadata"].get("deletionTimestamp")
        ):
            return
        if entry.obj["spec"].get("schedulerName") != "default-scheduler" or terminal(entry.obj):
            return
        if gates(entry.obj):
            return
        node, complaint = self._choose(entry.obj["spec"])
        pod = entry.obj
        condition: JsonObject = {"type": "PodScheduled", "status": "True" if node else "False"}
        condition |= {"lastProbeTime": None, "lastTransitionTime": timestamp()}
        spec = pod["spec"]
        if node:
            spec = {**spec, "nodeName": node}
            self._pending.discard(key)
        else:
            condition |= {"reason": "Unschedulable", "message": complaint}
            self._pending.add(key)
        old = [one for one in pod["status"].get("conditions") or [] if one["type"] == "PodScheduled"]
        if old and {**old[0], "lastTransitionTime": ""} == {**condition, "lastTransitionTime": ""}:
            return
        kept = [one for one in pod["status"].get("conditions") or [] if one["type"] != "PodScheduled"]
        status = {**pod["status"], "conditions": [*kept, condition]}
        self._store.update(
            "pods", key, {**pod, "metadata": dict(pod["metadata"]), "spec": spec, "status": status}
        )
        if not node:
            self._events.tell(entry, "FailedScheduling", complaint, component="default-scheduler")

    def _choose(self, spec: JsonObject) -> tuple[str, str]:
        """Of the fitting nodes, the one with the fewest Pods; else the scheduler's sentence why none does."""
        asked = _asked(spec)
        reasons: Counter[str] = Counter()
        fitting: list[tuple[Decimal, str]] = []
        for name in self._nodes.names:
            entry = self._store.get("nodes", "", name)
            why = self._misfit(entry.obj, name, spec, asked) if entry is not None else []
            if entry is None:
                continue
            if why:
                reasons.update(why)
            else:
                fitting.append((self._used.get(name, {}).get("pods", _ZERO), name))
        if fitting:
            return min(fitting)[1], ""
        total = len(self._nodes.names)
        words = ", ".join(sorted(f"{count} {why}" for why, count in reasons.items()))
        return "", f"0/{total} nodes are available: {words}."

    def _misfit(self, node: JsonObject, name: str, spec: JsonObject, asked: Amounts) -> list[str]:
        labels = node["metadata"].get("labels") or {}
        wanted = spec.get("nodeSelector") or {}
        if node["spec"].get("unschedulable"):
            return ["node(s) were unschedulable"]
        taints = node["spec"].get("taints") or []
        if taints:
            return [f"node(s) had taint {{{taints[0]['key']}: }}, that the pod didn't tolerate"]
        if any(labels.get(key) != value for key, value in wanted.items()) or not _affine(spec, name, labels):
            return ["node(s) didn't match Pod's node affinity"]
        used, size = self._used.get(name, {}), node["status"]["allocatable"]
        why: list[str] = []
        if used.get("pods", _ZERO) + 1 > quantity.parse(size["pods"]):
            why.append("Too many pods")
        return why + [
            f"Insufficient {resource}"
            for resource in ("cpu", "memory")
            if used.get(resource, _ZERO) + asked.get(resource, _ZERO) > quantity.parse(size[resource])
        ]


def _released(event: Event) -> bool:
    """Whether the last scheduling gate was removed."""
    return event.previous is not None and bool(gates(event.previous.obj)) and not gates(event.entry.obj)


def _holds(pod: JsonObject) -> bool:
    return bool(pod["spec"].get("nodeName")) and not terminal(pod)


def _asked(spec: JsonObject) -> Amounts:
    amounts = {
        name.partition(".")[2]: amount
        for name, amount in pod_amounts(spec).items()
        if name.startswith("requests.")
    }
    return {**amounts, "pods": Decimal(1)}


def _affine(spec: JsonObject, name: str, labels: dict[str, str]) -> bool:
    """Whether the required node affinity holds. It knows In, NotIn, Exists and DoesNotExist."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True

    def holds(term: JsonObject) -> bool:
        checks = [(one, labels.get(one["key"])) for one in term.get("matchExpressions") or []]
        checks += [(one, name) for one in term.get("matchFields") or []]
        return all(_expression(one, value) for one, value in checks)

    return any(holds(term) for term in required.get("nodeSelectorTerms") or [])


def _expression(expression: JsonObject, value: str | None) -> bool:
    operator, values = expression.get("operator"), expression.get("values") or []
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return (value is not None) == (operator == "Exists")
