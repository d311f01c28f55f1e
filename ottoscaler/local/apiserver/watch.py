"""One watch: which events a client gets, in which form, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ottoscaler.local.apiserver import tables
from ottoscaler.local.apiserver.kinds import Kind
from ottoscaler.local.apiserver.messages import Sink
from ottoscaler.local.apiserver.selectors import Predicate
from ottoscaler.local.apiserver.statuses import ApiError, too_old
from ottoscaler.local.apiserver.store import Event, Store, Stored, encode
from ottoscaler.model import JsonObject

DEFAULT_TIMEOUT_SECONDS = 1800  # kube-apiserver's --min-request-timeout
MAX_BACKLOG_BYTES = 32 * 1024 * 1024  # a real server also ends the watch of a client that reads too slowly


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What the client asked for. With ``version`` None, it gets the present objects and then the changes."""

    version: int | None
    bookmarks: bool
    initial_end: bool  # sendInitialEvents: a marked bookmark follows the present objects
    timeout: float
    table: bool


class Watch:
    """Sends one client its events. Event loop thread only."""

    def __init__(
        self,
        store: Store,
        kind: Kind,
        namespace: str | None,
        selects: Predicate,
        options: WatchOptions,
        bookmark_seconds: float,
    ) -> None:
        self._store, self._kind, self._namespace, self._selects = store, kind, namespace, selects
        self._options, self._bookmark_seconds = options, bookmark_seconds
        self._sink: Sink | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._timers: list[asyncio.TimerHandle] = []
        self._columns_sent = False
        self.silent = False  # a fault: the connection stays open, and nothing more is sent
        self.on_end: Callable[[], None] = lambda: None

    def start(self, sink: Sink) -> Callable[[], None]:
        """Send the present objects or past events, then later events. Returns a function that stops it."""
        self._sink = sink
        version = self._options.version
        if version is not None and version < self._store.oldest:
            self.fail(too_old(version, self._store.oldest))
            return self.stop
        if version is None:
            for _, entry in self._store.items(self._kind.resource, self._namespace):
                if self._selects(entry.obj):
                    self._send("ADDED", entry)
            if self._options.initial_end:
                self._bookmark({"k8s.io/initial-events-end": "true"})
        else:
            for event in self._store.events_after(version, self._kind.resource):
                self._follow(event)
        self._unsubscribe = self._store.subscribe(self._kind.resource, self._follow)
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(self._options.timeout, self._expire))
        if self._options.bookmarks:
            self._timers.append(loop.call_later(self._bookmark_seconds, self._tick))
        return self.stop

    def stop(self) -> None:
        """Forget the client. Does nothing if the watch has ended already."""
        self._unsubscribe()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._sink = None
        self.on_end()

    def end(self) -> None:
        """End the stream cleanly, as a timeout does."""
        if self._sink is not None:
            self._sink.finish()

    def cut(self) -> None:
        """Cut the connection in the middle of the stream."""
        if self._sink is not None:
            self._sink.abort()

    def fail(self, error: ApiError) -> None:
        """Send an ERROR event with the status and end the stream."""
        self._write("ERROR", encode(error.status).encode())
        self.end()

    # --- events

    def _follow(self, event: Event) -> None:
        if self._namespace is not None and event.key[0] != self._namespace:
            return
        if self._options.version is not None and event.version <= self._options.version:
            return
        before = event.previous is not None and self._selects(event.previous.obj)
        now = event.type != "DELETED" and self._selects(event.entry.obj)
        if now:
            self._send("MODIFIED" if before else "ADDED", event.entry)
        elif before:
            self._send("DELETED", self._last(event))

    @staticmethod
    def _last(event: Event) -> Stored:
        """The object that a DELETED event shows: the last selected state, with the version of the change."""
        if event.type == "DELETED" or event.previous is None:
            return event.entry
        last = event.previous.obj
        metadata = {**last["metadata"], "resourceVersion": str(event.version)}
        return Stored({**last, "metadata": metadata}, event.version)

    def _send(self, kind: str, entry: Stored) -> None:
        if self._options.table:
            document = tables.table(self._kind, [entry.obj], entry.version, columns=not self._columns_sent)
            self._columns_sent = True
            self._write(kind, encode(document).encode())
        else:
            self._write(kind, self._kind.prefix + entry.body[1:])

    def _write(self, kind: str, body: bytes) -> None:
        if self._sink is None or self.silent:
            return
        self._sink.write(b'{"type":"%b","object":%b}\n' % (kind.encode(), body))
        if self._sink.backlog > MAX_BACKLOG_BYTES:
            self.end()

    # --- time

    def _tick(self) -> None:
        self._bookmark()
        loop = asyncio.get_running_loop()
        self._timers[1:] = [loop.call_later(self._bookmark_seconds, self._tick)]

    def _bookmark(self, annotations: JsonObject | None = None) -> None:
        metadata: JsonObject = {"resourceVersion": str(self._store.version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        if self._options.table:
            document = tables.table(self._kind, [], self._store.version, columns=False)
            self._write("BOOKMARK", encode(document).encode())
            return
        body: JsonObject = {"metadata": metadata}
        if self._kind.kind == "Pod":
            body |= {"spec": {"containers": None}, "status": {}}
        self._write("BOOKMARK", self._kind.prefix + encode(body).encode()[1:])

    def _expire(self) -> None:
        if self.silent:
            return
        if self._options.bookmarks:
            self._bookmark()
        self.end()
