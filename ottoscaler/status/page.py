"""The status page's contents, from Redis alone: the documents under ``/api/`` and the feed of snapshots."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from ottoscaler.errors import RedisError
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import is_entry_id
from ottoscaler.status.event_results import ResultsMemory
from ottoscaler.status.feed import Feed, Viewer, json_bytes
from ottoscaler.status.overview import Overview
from ottoscaler.status.search import search
from ottoscaler.status.snapshot import SnapshotReader
from ottoscaler.status.story import log_text, story
from ottoscaler.telemetry.logs import flood
from ottoscaler.telemetry.redaction import redact
from ottoscaler.telemetry.status_page import NotThere, Unavailable, Wrong

STATUS_SECONDS = 1.0  # everybody gets the same answer for so long
LONGEST_QUERY = 256  # characters, as a task's id
_NUMBER = re.compile(r"[0-9]{1,8}")


class Page:
    """Implements :class:`ottoscaler.telemetry.status_page.PageSource`. Any thread."""

    def __init__(self, redis: RedisClient, instance: str) -> None:
        self._redis = redis
        self._instance = instance
        self._feed = Feed(Overview(redis, instance).read)
        self._results = ResultsMemory(redis)
        self._snapshots = SnapshotReader(redis)
        self._lock = threading.Lock()  # of the snapshot reader, which is for one thread
        self._status = b""
        self._status_at = 0.0

    def watch(self) -> AbstractContextManager[Viewer]:
        return self._feed.watch()

    def document(self, path: str, query: dict[str, str]) -> bytes:
        documents: dict[str, Callable[[dict[str, str]], bytes]] = {
            "/api/status": self._status_document,
            "/api/event": self._event,
            "/api/log": self._log,
            "/api/search": self._search,
        }
        try:
            return documents[path](query) + b"\n"
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {redact(str(error))}") from error
        except (NotThere, Wrong):
            raise
        except Exception as error:
            flood.warning("page_unread", f"{path} cannot be told: {type(error).__name__}: {error}")
            raise Unavailable(f"internal error ({type(error).__name__})") from error

    def _status_document(self, _: dict[str, str]) -> bytes:
        with self._lock:
            if time.monotonic() - self._status_at > STATUS_SECONDS:
                self._status = json_bytes(self._snapshots.read())
                self._status_at = time.monotonic()
            return self._status

    def _event(self, query: dict[str, str]) -> bytes:
        found = story(self._redis, self._instance, self._results, _event_id(query))
        if found is None:
            raise NotThere(f"nothing is known of event {query['id']}: it was never sent, or its time is over")
        return json_bytes(found)

    def _log(self, query: dict[str, str]) -> bytes:
        event_id, index, attempt = _event_id(query), _number(query, "index"), _number(query, "attempt")
        found = log_text(self._redis, event_id, index, attempt)
        if found is None:
            raise NotThere(f"no log is kept of worker {index}, attempt {attempt} of event {event_id}")
        return json_bytes({"event_id": event_id, "index": index, "attempt": attempt, "text": found})

    def _search(self, query: dict[str, str]) -> bytes:
        text = query.get("q", "").strip()
        if not 0 < len(text) <= LONGEST_QUERY:
            raise Wrong(f"q: expected a task's or an event's id, 1 to {LONGEST_QUERY} characters")
        return json_bytes(search(self._redis, text))


def _event_id(query: dict[str, str]) -> str:
    text = query.get("id", "")
    if not is_entry_id(text):
        raise Wrong("id: expected an event's id, such as 1717000000000-0")
    return text


def _number(query: dict[str, str], name: str) -> int:
    text = query.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise Wrong(f"{name}: expected an integer")
    return int(text)
