"""The server's own history: every request that it answered, and every Pod's life.

Tests use it to check what really happened ("one Pod UID per name"), whatever the clients believe.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ottoscaler.local.apiserver.messages import Request, Response
from ottoscaler.local.apiserver.store import Event, Store

# Some 150 MB at worst; a bench of 5,000 Pods leaves 15,000 records.
MAX_REQUESTS = 500_000
MAX_LIVES = 200_000


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One answered request. ``time`` is Unix seconds; ``code`` is what the server sent, or meant to."""

    time: float
    verb: str
    resource: str
    namespace: str
    name: str
    uid: str
    code: int


@dataclass(slots=True)
class PodLife:
    """One Pod, identified by its UID. Times are Unix seconds. ``deleted`` is None while it exists."""

    uid: str
    namespace: str
    name: str
    created: float
    deleted: float | None = None
    phase: str = "Pending"  # the last one seen


class Recorder:
    """Records the history. Event loop thread only."""

    def __init__(self, store: Store) -> None:
        self.requests: deque[AuditRecord] = deque(maxlen=MAX_REQUESTS)
        self.lives: dict[str, PodLife] = {}
        self.observers: list[Callable[[AuditRecord], None]] = []
        store.subscribe("pods", self._pod_event)

    def record(self, request: Request, code: int, response: Response | None) -> None:
        """Note an answered request for a resource; others, such as /readyz, are not kept."""
        route = request.route
        if not route.resource:
            return
        name, uid = route.name, ""
        if response is not None:
            name, uid = name or response.name, response.uid
        namespace = route.namespace or ""
        record = AuditRecord(time.time(), route.verb, route.full_resource, namespace, name, uid, code)
        self.requests.append(record)
        for observe in self.observers:
            observe(record)

    def _pod_event(self, event: Event) -> None:
        uid = event.entry.uid
        life = self.lives.get(uid)
        if life is None:
            if len(self.lives) >= MAX_LIVES:
                del self.lives[next(iter(self.lives))]
            life = self.lives[uid] = PodLife(uid, *event.key, created=time.time())
        life.phase = event.entry.obj["status"].get("phase", "")
        if event.type == "DELETED":
            life.deleted = time.time()

    def document(self) -> dict[str, Any]:
        """Both histories as JSON, for GET /audit."""
        return {
            "requests": [asdict(record) for record in self.requests],
            "pods": [asdict(life) for life in self.lives.values()],
        }


class Audit:
    """The history for tests. Any thread; each call returns a copy."""

    def __init__(self, recorder: Recorder, call: Callable[[Callable[[], Any]], Any]) -> None:
        self._recorder, self._call = recorder, call

    def requests(
        self, verb: str | None = None, resource: str | None = None, code: int | None = None
    ) -> list[AuditRecord]:
        """The answered requests, oldest first; only those with the given verb, resource (``pods``,
        ``pods/log``) and code."""
        records: list[AuditRecord] = self._call(lambda: list(self._recorder.requests))
        return [
            record
            for record in records
            if verb in (None, record.verb)
            and resource in (None, record.resource)
            and code in (None, record.code)
        ]

    def lives(self) -> list[PodLife]:
        """Every Pod that ever was, in the order of creation."""
        copies: list[PodLife] = self._call(
            lambda: [PodLife(**asdict(life)) for life in self._recorder.lives.values()]
        )
        return copies

    def uids_by_name(self) -> dict[str, list[str]]:
        """For each ``namespace/name``, the UIDs of all Pods that ever had it."""
        result: dict[str, list[str]] = {}
        for life in self.lives():
            result.setdefault(f"{life.namespace}/{life.name}", []).append(life.uid)
        return result

    def observe(self, call: Callable[[AuditRecord], None]) -> None:
        """Call ``call`` with every later request, after it took effect and before it is answered. The
        cluster's own thread makes the call and waits for its end."""
        self._call(lambda: self._recorder.observers.append(call))

    def clear(self) -> None:
        """Forget the requests and the Pods that are gone."""

        def clear() -> None:
            self._recorder.requests.clear()
            for uid in [uid for uid, life in self._recorder.lives.items() if life.deleted is not None]:
                del self._recorder.lives[uid]

        self._call(clear)
