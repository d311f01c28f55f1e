"""All objects of the cluster, one version counter for them, and the history that watches resume from.

Everything here runs on the server's event loop thread, so there is no lock. Stored objects are never
changed: a write replaces an object with a new one, which may share parts with the old one.
"""

from __future__ import annotations

import json
import uuid
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from ottoscaler.model import JsonObject

# How many events are kept for watches that resume. kube-apiserver's watch cache keeps 100 to 102,400 events
# per resource, and etcd those of five minutes. 5,000 Pods cause some 25,000 events in all.
HISTORY_LIMIT = 50_000

# The fields that an API server writes before the labels, in its order: clients may look for them there.
FIRST_FIELDS = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)

Key = tuple[str, str]  # namespace ("" for cluster-scoped) and name
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def timestamp(ahead: float = 0.0) -> str:
    """The time by a clock that is ``ahead`` seconds ahead, as Kubernetes writes it: whole seconds, UTC."""
    return (datetime.now(UTC) + timedelta(seconds=ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Stored:
    """One version of one object; ``body`` is its JSON without ``kind`` and ``apiVersion``."""

    obj: JsonObject
    version: int
    _body: bytes = b""

    @property
    def body(self) -> bytes:
        if not self._body:
            self._body = encode(self.obj).encode()
        return self._body

    @property
    def uid(self) -> str:
        uid: str = self.obj["metadata"]["uid"]
        return uid


@dataclass(frozen=True, slots=True)
class Event:
    """A write: the object at ``key`` after it (for DELETED, the last state) and before it."""

    version: int
    type: EventType
    resource: str
    key: Key
    entry: Stored
    previous: Stored | None = field(default=None)


Listener = Callable[[Event], None]


class Store:
    """Objects by resource and key. Event loop thread only."""

    def __init__(self, history_limit: int = HISTORY_LIMIT) -> None:
        self.version = 1
        self._objects: dict[str, dict[Key, Stored]] = {}
        self._history: deque[Event] = deque()
        self._history_limit = history_limit
        self._forgotten = 1  # the newest version whose event is no longer kept
        self._listeners: dict[str, list[Listener]] = {}

    # --- reading

    def get(self, resource: str, namespace: str, name: str) -> Stored | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def entries(self, resource: str, namespace: str | None = None) -> Iterator[Stored]:
        """All objects of ``resource``, of one namespace if it is given, in no order."""
        objects = self._objects.get(resource, {})
        if namespace is None:
            return iter(list(objects.values()))
        return iter([entry for key, entry in objects.items() if key[0] == namespace])

    def items(self, resource: str, namespace: str | None = None) -> list[tuple[Key, Stored]]:
        """All objects of ``resource`` with their keys, ordered by key as in etcd."""
        objects = self._objects.get(resource, {})
        return sorted((key, entry) for key, entry in objects.items() if namespace in (None, key[0]))

    def items_at(self, resource: str, namespace: str | None, version: int) -> list[tuple[Key, Stored]] | None:
        """What ``items`` returned at ``version``; None if that is no longer known."""
        if version < self._forgotten:
            return None
        objects = dict(self._objects.get(resource, {}))
        for event in reversed(self._history):
            if event.version <= version:
                break
            if event.resource == resource:
                if event.previous is None:
                    objects.pop(event.key, None)
                else:
                    objects[event.key] = event.previous
        return sorted((key, entry) for key, entry in objects.items() if namespace in (None, key[0]))

    @property
    def oldest(self) -> int:
        """The oldest version that a watch can start after."""
        return self._forgotten

    def events_after(self, version: int, resource: str) -> list[Event]:
        """The kept events of ``resource`` that are newer than ``version``, oldest first."""
        start = bisect_right(self._history, version, key=lambda event: event.version)
        return [
            self._history[i]
            for i in range(start, len(self._history))
            if self._history[i].resource == resource
        ]

    # --- writing

    def create(self, resource: str, key: Key, obj: JsonObject) -> Stored:
        """Store a new object. It gets a creation time, a version and, if it has none, a uid."""
        return self._write("ADDED", resource, key, self.sketch(obj).obj)

    def sketch(self, obj: JsonObject) -> Stored:
        """The entry that ``create`` would store, for a dry run; nothing is written."""
        metadata = obj["metadata"]
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", timestamp())
        return Stored(obj, self.version)

    def update(self, resource: str, key: Key, obj: JsonObject) -> Stored:
        """Replace an object. If only the version differs, nothing is written and there is no event."""
        current = self._objects[resource][key]
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(current.version)
        if obj == current.obj:
            return current
        return self._write("MODIFIED", resource, key, obj)

    def remove(self, resource: str, key: Key, obj: JsonObject | None = None) -> Stored:
        """Remove an object. Watchers see ``obj``, or its last state, with a new version."""
        last = obj if obj is not None else self._objects[resource][key].obj
        return self._write("DELETED", resource, key, {**last, "metadata": dict(last["metadata"])})

    def _write(self, kind: EventType, resource: str, key: Key, obj: JsonObject) -> Stored:
        self.version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        first = {name: metadata[name] for name in FIRST_FIELDS if name in metadata}
        obj["metadata"] = first | metadata
        entry = Stored(obj, self.version)
        objects = self._objects.setdefault(resource, {})
        previous = objects.get(key)
        if kind == "DELETED":
            del objects[key]
        else:
            objects[key] = entry
        event = Event(self.version, kind, resource, key, entry, previous)
        self._history.append(event)
        if len(self._history) > self._history_limit:
            self._forgotten = self._history.popleft().version
        for listener in tuple(self._listeners.get(resource, ())):
            listener(event)
        return entry

    def compact(self) -> None:
        """Forget the history. Requests from any older version are then answered with 410."""
        self.version += 1
        self._history.clear()
        self._forgotten = self.version

    # --- following

    def subscribe(self, resource: str, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each later event. The returned function ends that.

        A listener runs within the write. It must not write to the same resource itself, but must let the
        event loop do that later.
        """
        listeners = self._listeners.setdefault(resource, [])
        listeners.append(listener)

        def unsubscribe() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return unsubscribe
