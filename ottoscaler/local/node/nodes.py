"""The fake nodes: their objects, their loss and their recovery. Event loop thread only."""

from __future__ import annotations

from collections.abc import Callable

from ottoscaler.local.apiserver import pods
from ottoscaler.local.apiserver.quota import terminal
from ottoscaler.local.apiserver.statuses import not_found
from ottoscaler.local.apiserver.store import Store, timestamp
from ottoscaler.model import JsonObject

_TRUTHS = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}


class Nodes:
    """``count`` nodes named fake-0, fake-1 and so on, each of the same size."""

    def __init__(self, store: Store, count: int, size: dict[str, str]) -> None:
        self._store, self._size = store, size
        self.names = [f"fake-{i}" for i in range(count)]
        self.lost: set[str] = set()
        self.clocks: dict[str, float] = {}  # seconds that a node's clock is ahead
        self._paused = False
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def register(self) -> None:
        for name in self.names:
            labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "fake"}
            node: JsonObject = {"metadata": {"name": name, "labels": labels}, "spec": {}}
            node["status"] = {
                "capacity": dict(self._size),
                "allocatable": dict(self._size),
                "conditions": _conditions("True", "KubeletReady"),
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.20.2",
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                },
            }
            self._store.create("nodes", ("", name), node)

    def lose(self, name: str) -> None:
        """Make the node NotReady. Its Pods are not ready and NodeLost, and their deletion begins and never
        ends."""
        self._report(name, "Unknown", "NodeStatusUnknown")
        self.lost.add(name)
        for entry in self._store.entries("pods"):
            pod = entry.obj
            if pod["spec"].get("nodeName") != name or terminal(pod):
                continue
            metadata = dict(pod["metadata"])
            key = (metadata["namespace"], metadata["name"])
            message = f"Node {name} which was running pod {key[1]} is unresponsive"
            conditions = [
                {**one, "status": "False"} if one["type"] == "Ready" else one
                for one in pod["status"].get("conditions") or []
            ]
            status = {**pod["status"], "reason": "NodeLost", "message": message, "conditions": conditions}
            written = self._store.update("pods", key, {**pod, "metadata": metadata, "status": status})
            pods.delete(self._store, written, None)

    def recover(self, name: str) -> None:
        """Make the node Ready again. Its kubelet now does what it had to do meanwhile."""
        self.lost.discard(name)
        self._report(name, "True", "KubeletReady")
        if self._paused:
            return
        for step in self._waiting.pop(name, []):
            step()

    def now(self, name: str) -> str:
        """The time by this node's clock, as its kubelet writes it."""
        return timestamp(self.clocks.get(name, 0.0))

    def shift_clock(self, name: str, seconds: float) -> None:
        """Set a node's clock ahead, or back if ``seconds`` is negative. Raises ApiError 404."""
        if name not in self.names:
            raise not_found("nodes", name)
        self.clocks[name] = seconds

    def pause(self) -> None:
        """Keep nodes and scheduler from writing. What they want to do waits."""
        self._paused = True

    def resume(self) -> None:
        """Let nodes and scheduler write again. What waited is done now, except on lost nodes."""
        self._paused = False
        for name in [one for one in self._waiting if one not in self.lost]:
            for step in self._waiting.pop(name):
                step()

    def when_there(self, name: str, step: Callable[[], None]) -> None:
        """Call ``step`` now, or as soon as the node can write again. The name '' stands for the scheduler."""
        if self._paused or name in self.lost:
            self._waiting.setdefault(name, []).append(step)
        else:
            step()

    def _report(self, name: str, ready: str, reason: str) -> None:
        entry = self._store.get("nodes", "", name)
        if entry is None:
            raise not_found("nodes", name)
        node = entry.obj
        spec = dict(node["spec"])
        spec.pop("taints", None)
        if ready != "True":
            spec["taints"] = [
                {"key": "node.kubernetes.io/unreachable", "effect": effect}
                for effect in ("NoSchedule", "NoExecute")
            ]
        status = {**node["status"], "conditions": _conditions(ready, reason)}
        changed = {**node, "metadata": dict(node["metadata"]), "spec": spec, "status": status}
        self._store.update("nodes", ("", name), changed)


def _conditions(ready: str, reason: str) -> list[JsonObject]:
    now = timestamp()
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    truths = {**_TRUTHS, "Ready": ready}
    return [{"type": kind, "status": truth, **times, "reason": reason} for kind, truth in truths.items()]
