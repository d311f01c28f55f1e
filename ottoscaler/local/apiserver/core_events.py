"""Events of the core API: what the scheduler and the kubelets report about a Pod. Event loop thread only.

Only problems and back-offs are written. A real cluster also reports each step that succeeds.
"""

from __future__ import annotations

import secrets
from collections import deque

from ottoscaler.local.apiserver.store import Store, Stored, timestamp
from ottoscaler.model import JsonObject

# How many Events are kept, without those that clients create. A real cluster keeps them for an hour.
MAX_EVENTS = 2000


class CoreEvents:
    """Writes Events. If a Pod's Event is repeated, its count goes up, as in client-go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: deque[tuple[tuple[str, ...], tuple[str, str]]] = deque()
        self._known: dict[tuple[str, ...], tuple[str, str]] = {}

    def tell(
        self,
        pod: Stored,
        reason: str,
        message: str,
        *,
        kind: str = "Warning",
        component: str = "kubelet",
        host: str = "",
        container: str = "",
        now: str = "",
    ) -> None:
        """Write one Event about this Pod. ``now`` is the reporter's own time; '' means the API server's."""
        now = now or timestamp()
        identity = (pod.uid, reason, message, component, container)
        key = self._known.get(identity)
        entry = self._store.get("events", *key) if key is not None else None
        if key is not None and entry is not None:
            metadata = dict(entry.obj["metadata"])
            again = {"metadata": metadata, "count": entry.obj["count"] + 1, "lastTimestamp": now}
            self._store.update("events", key, {**entry.obj, **again})
            return
        metadata = pod.obj["metadata"]
        key = (metadata["namespace"], f"{metadata['name']}.{secrets.token_hex(8)}")
        involved: JsonObject = {"kind": "Pod", "namespace": key[0], "name": metadata["name"]}
        involved |= {"uid": pod.uid, "apiVersion": "v1", "resourceVersion": str(pod.version)}
        if container:
            involved["fieldPath"] = f"spec.containers{{{container}}}"
        source = {"component": component, **({"host": host} if host else {})}
        event: JsonObject = {"metadata": {"name": key[1], "namespace": key[0]}, "involvedObject": involved}
        event |= {"reason": reason, "message": message, "source": source, "type": kind, "count": 1}
        event |= {"firstTimestamp": now, "lastTimestamp": now, "eventTime": None}
        event |= {"reportingComponent": "", "reportingInstance": ""}
        self._store.create("events", key, event)
        self._remember(identity, key)

    def _remember(self, identity: tuple[str, ...], key: tuple[str, str]) -> None:
        self._known[identity] = key
        self._kept.append((identity, key))
        if len(self._kept) > MAX_EVENTS:
            oldest, gone = self._kept.popleft()
            if self._known.get(oldest) == gone:
                del self._known[oldest]
            if self._store.get("events", *gone) is not None:
                self._store.remove("events", gone)
