"""A Pod's status as a kubelet writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ottoscaler.local.apiserver.store import Store, Stored
from ottoscaler.model import JsonObject

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
ADDRESSES = 62_500  # of Pods, before the first one comes again

_DONE = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}


def pod_address(number: int) -> str:
    """The address that a kubelet gives to its Pod of this number. It is shown only: nothing listens there."""
    number %= ADDRESSES
    return f"10.244.{number // 250}.{number % 250 + 1}"


def waiting(reason: str, message: str = "") -> JsonObject:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running(since: str) -> JsonObject:
    return {"running": {"startedAt": since}}


def terminated(code: int, reason: str, began: str, now: str, message: str = "") -> JsonObject:
    state: JsonObject = {"exitCode": code, "reason": reason}
    if message:
        state["message"] = message
    return {"terminated": {**state, "startedAt": began, "finishedAt": now}}


def container_status(
    container: JsonObject, state: JsonObject, uid: str, restarts: int = 0, last: JsonObject | None = None
) -> JsonObject:
    """One container's status. It is ready if it runs, or if it is an init container that succeeded."""
    up = "running" in state
    status: JsonObject = {"name": container["name"], "state": state, "lastState": last or {}, "ready": up}
    status |= {"restartCount": restarts, "image": container.get("image", ""), "imageID": ""}
    if "waiting" not in state or restarts:
        status["containerID"] = f"local://{uid}/{container['name']}"
    status["started"] = up
    return status


def _conditions(
    pod: JsonObject, phase: str, containers: Sequence[JsonObject], init: Sequence[JsonObject], now: str
) -> list[JsonObject]:
    """The conditions that follow from the containers' states, then those that others have set."""
    old = {one["type"]: one for one in pod["status"].get("conditions") or []}
    ready = phase == "Running" and all(one["ready"] for one in containers)
    initialized = all("terminated" in one["state"] for one in init)
    why = {} if ready else {"reason": _DONE.get(phase, "ContainersNotReady")}
    truths: list[tuple[str, bool, dict[str, str]]] = [
        ("Initialized", initialized, {} if initialized else {"reason": "ContainersNotInitialized"}),
        ("Ready", ready, why),
        ("ContainersReady", ready, why),
    ]
    conditions: list[JsonObject] = []
    for kind, truth, more in truths:
        word = "True" if truth else "False"
        before = old.get(kind, {})
        since = before["lastTransitionTime"] if before.get("status") == word else now
        times = {"lastProbeTime": None, "lastTransitionTime": since}
        conditions.append({"type": kind, "status": word, **times, **more})
    told = {kind for kind, _, _ in truths}
    return conditions + [one for kind, one in old.items() if kind not in told]


def pod_status(
    pod: JsonObject,
    phase: str,
    containers: Sequence[JsonObject],
    *,
    began: str,
    now: str,
    ip: str = "",
    init: Sequence[JsonObject] = (),
    reason: str = "",
    message: str = "",
) -> JsonObject:
    """The whole status, with the conditions that follow from the containers' states.

    ``now``, ``began`` and the times in ``containers`` are times by the node's own clock.
    """
    status: JsonObject = {"phase": phase, "hostIP": "127.0.0.1", "startTime": began}
    status["conditions"] = _conditions(pod, phase, containers, init, now)
    if ip and phase != "Pending":
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    if reason:
        status |= {"reason": reason, "message": message}
    if init:
        status["initContainerStatuses"] = list(init)
    status["containerStatuses"] = list(containers)
    status["qosClass"] = pod["status"].get("qosClass")
    return status


def write_status(store: Store, entry: Stored, status: JsonObject) -> Stored:
    """Store a Pod's new status."""
    pod = entry.obj
    metadata: dict[str, Any] = dict(pod["metadata"])
    return store.update(
        "pods", (metadata["namespace"], metadata["name"]), {**pod, "metadata": metadata, "status": status}
    )


def write_eviction(store: Store, entry: Stored, message: str, now: str) -> Stored:
    """Store the status of a Pod that the kubelet has evicted: it is Failed, and its containers have ended."""
    statuses = []
    for one in entry.obj["status"].get("containerStatuses") or []:
        state = one.get("state") or {}
        if "running" in state:
            state = terminated(137, "Error", state["running"]["startedAt"], now)
        statuses.append({**one, "state": state, "ready": False, "started": False})
    began = entry.obj["status"].get("startTime") or now
    status = pod_status(
        entry.obj, "Failed", statuses, began=began, now=now, reason="Evicted", message=message
    )
    return write_status(store, entry, status)
