"""Namespaces: what may be created in them, what they contain at first, and how they end."""

from __future__ import annotations

import asyncio

from ottoscaler.local.apiserver import pods
from ottoscaler.local.apiserver.kinds import ALL, PODS
from ottoscaler.local.apiserver.statuses import Cause, forbidden, not_found
from ottoscaler.local.apiserver.store import Event, Store, Stored, timestamp
from ottoscaler.model import JsonObject

FINISH_SECONDS = 0.2  # a namespace stays Terminating at least so long; a real controller takes some seconds
FIRST = ("default", "kube-system", "kube-public", "kube-node-lease")


class Namespaces:
    """The namespace lifecycle and its controller. Event loop thread only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.subscribe("namespaces", self._namespace_event)
        store.subscribe("pods", self._pod_event)

    def create_first(self) -> None:
        """Create the namespaces that every cluster has."""
        for name in FIRST:
            status = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
            self._store.create("namespaces", ("", name), {"metadata": {"name": name}, **status})

    def admit(self, namespace: str, resource: str, name: str) -> None:
        """Raise ApiError 404 for a namespace that does not exist, and 403 for one that is being deleted."""
        entry = self._store.get("namespaces", "", namespace)
        if entry is None:
            raise not_found("namespaces", namespace)
        if entry.obj["status"]["phase"] == "Terminating":
            message = f"namespace {namespace} is being terminated"
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(
                resource, name, why, [Cause("NamespaceTerminating", message, "metadata.namespace")]
            )

    def delete(self, entry: Stored) -> JsonObject:
        """Begin to delete a namespace. Its Pods get their grace period; all else is deleted with it."""
        name = entry.obj["metadata"]["name"]
        if name == "default":
            raise forbidden("namespaces", name, "this namespace may not be deleted")
        if entry.obj["metadata"].get("deletionTimestamp"):
            return entry.obj
        metadata = {**entry.obj["metadata"], "deletionTimestamp": timestamp()}
        ending = {**entry.obj, "metadata": metadata, "status": {"phase": "Terminating"}}
        ended = self._store.update("namespaces", ("", name), ending).obj
        for pod in self._store.entries("pods", name):
            pods.delete(self._store, pod, None)
        self._finish_soon(name)
        return ended

    def _namespace_event(self, event: Event) -> None:
        if event.type == "ADDED":
            # This is done at once. A real cluster takes some 100 ms, and refuses Pods in that time.
            account = {"metadata": {"name": "default", "namespace": event.key[1]}}
            self._store.create("serviceaccounts", (event.key[1], "default"), account)

    def _pod_event(self, event: Event) -> None:
        if event.type != "DELETED":
            return
        entry = self._store.get("namespaces", "", event.key[0])
        if entry is not None and entry.obj["status"]["phase"] == "Terminating":
            self._finish_soon(event.key[0])

    def _finish_soon(self, name: str) -> None:
        asyncio.get_running_loop().call_later(FINISH_SECONDS, self._finish, name)

    def _finish(self, name: str) -> None:
        entry = self._store.get("namespaces", "", name)
        if entry is None or entry.obj["status"]["phase"] != "Terminating":
            return
        if next(self._store.entries("pods", name), None) is not None:
            return
        for kind in ALL:
            if kind.namespaced and kind is not PODS:
                for (namespace, one), _ in self._store.items(kind.resource, name):
                    self._store.remove(kind.resource, (namespace, one))
        self._store.remove("namespaces", ("", name))
