"""What the API server fills in when a Pod is created: the defaults that clients expect to read back."""

from __future__ import annotations

from typing import Any

from ottoscaler.local.apiserver import quantity
from ottoscaler.local.apiserver.scheduling_gates import gated_condition, without_empty
from ottoscaler.model import JsonObject

_MODES = {"configMap": 420, "secret": 420, "projected": 420, "downwardAPI": 420}
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def with_defaults(pod: JsonObject) -> JsonObject:
    """The Pod to store. ``metadata`` and ``spec`` are copies. ``status`` is Pending, whatever was sent."""
    spec = dict(pod.get("spec") or {})
    for group in ("initContainers", "containers"):
        if spec.get(group):
            spec[group] = [_container(container) for container in spec[group]]
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    spec["tolerations"] = _tolerations(spec.get("tolerations") or [])
    spec.setdefault("priority", 0)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    if spec.get("volumes"):
        spec["volumes"] = [_volume(volume) for volume in spec["volumes"]]
    spec = without_empty(spec)
    status: JsonObject = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [gated_condition()]
    return {"metadata": dict(pod.get("metadata") or {}), "spec": spec, "status": status}


def _container(container: JsonObject) -> JsonObject:
    result = dict(container)
    result["resources"] = _resources(container.get("resources") or {})
    result.setdefault("terminationMessagePath", "/dev/termination-log")
    result.setdefault("terminationMessagePolicy", "File")
    result.setdefault("imagePullPolicy", _pull_policy(str(container.get("image") or "")))
    if result.get("ports"):
        result["ports"] = [{"protocol": "TCP", **port} for port in result["ports"]]
    if result.get("env"):
        result["env"] = [_variable(variable) for variable in result["env"]]
    return result


def _pull_policy(image: str) -> str:
    name, digest = image.partition("@")[::2]
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if not digest and tag in ("", "latest") else "IfNotPresent"


def _resources(resources: JsonObject) -> JsonObject:
    result = {key: value for key, value in resources.items() if value}
    for part in ("limits", "requests"):
        if part in result:
            result[part] = {name: quantity.canonical(str(amount)) for name, amount in result[part].items()}
    if result.get("limits"):
        result["requests"] = {**result["limits"], **result.get("requests", {})}
    return result


def _variable(variable: JsonObject) -> JsonObject:
    source = variable.get("valueFrom")
    if source and "fieldRef" in source:
        reference = {"apiVersion": "v1", **source["fieldRef"]}
        return {**variable, "valueFrom": {**source, "fieldRef": reference}}
    if not source and variable.get("value") == "":  # the API server's JSON has no empty values
        return {key: value for key, value in variable.items() if key != "value"}
    return variable


def _volume(volume: JsonObject) -> JsonObject:
    result = dict(volume)
    for source, mode in _MODES.items():
        if isinstance(result.get(source), dict):
            result[source] = {"defaultMode": mode, **result[source]}
    if len(result) == 1:
        result["emptyDir"] = {}
    return result


def _tolerations(given: list[Any]) -> list[Any]:
    result = list(given)
    for key in _TOLERATED:
        covered = any(
            one.get("effect") in (None, "", "NoExecute")
            and (one.get("key") == key or (not one.get("key") and one.get("operator") == "Exists"))
            for one in given
        )
        if not covered:
            result.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    return result


def qos_class(spec: JsonObject) -> str:
    """The Pod's QoS class by its containers' cpu and memory: Guaranteed, Burstable or BestEffort."""
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    kept = ("cpu", "memory")
    stated = [
        (c.get("resources", {}).get("requests", {}), c.get("resources", {}).get("limits", {}))
        for c in containers
    ]
    if not any(name in part for pair in stated for part in pair for name in kept):
        return "BestEffort"
    for requests, limits in stated:
        if any(name not in limits or requests.get(name) != limits[name] for name in kept):
            return "Burstable"
    return "Guaranteed"
