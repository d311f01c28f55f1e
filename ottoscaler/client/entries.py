"""What comes back (docs/results.md): the entries of the results and the dead-letter stream as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ottoscaler.ledger.records import Entry
from ottoscaler.model import JsonObject


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """A finished worker. Times are RFC 3339 in UTC, or empty. ``id`` is that of the entry on the stream."""

    id: str
    event_id: str
    task_id: str
    index: int
    attempt: int
    pod: str
    node: str
    status: str
    reason: str
    exit_code: int | None
    message: str
    created_at: str
    started_at: str
    finished_at: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> JsonObject:
        """For JSON, with ``kind``."""
        return {"kind": "worker", **_document(self)}


@dataclass(frozen=True, slots=True)
class EventResult:
    """A finished event. ``pod_count`` is ``None`` for a scale_down of all. With the status ``duplicate``,
    ``of`` is the first event's id."""

    id: str
    event_id: str
    task_id: str
    type: str
    status: str
    pod_count: int | None
    succeeded: int
    failed: int
    cancelled: int
    duration_ms: int | None
    of: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> JsonObject:
        """For JSON, with ``kind``."""
        return {"kind": "event", **_document(self)}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be carried out. ``fields`` are the event's own, as text for people: bytes that
    are not UTF-8 are written ``\\xNN``. ``id`` is the dead letter's, ``event_id`` the event's.

    They may hold secrets of the producer's, such as values of ``env``, so the ``repr`` leaves them out."""

    id: str
    event_id: str
    at: str
    error: str
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    task_id: str = ""

    @classmethod
    def of(cls, entry: Entry) -> DeadLetter:
        """Read an entry of the dead-letter stream."""
        own: dict[str, str] = {}
        fields: list[tuple[str, str]] = []
        for name, value in entry.fields or ():
            word, text = _text(name), _text(value)
            if word.startswith("field:"):
                fields.append((word.removeprefix("field:"), text))
            elif word == "fields":
                fields += _packed(text)
            else:
                own.setdefault(word, text)
        event_id, at, error = (own.get(name, "") for name in ("event_id", "at", "error"))
        return cls(entry.id, event_id, at, error, tuple(fields), own.get("task_id", event_id))

    def field(self, name: str) -> str:
        """The value of the first field of that name, or ''."""
        return next((value for known, value in self.fields if known == name), "")

    def document(self) -> JsonObject:
        """For JSON."""
        pairs = [list(pair) for pair in self.fields]
        return {
            "id": self.id,
            "event_id": self.event_id,
            "task_id": self.task_id,
            "at": self.at,
            "error": self.error,
            "fields": pairs,
        }


Result: TypeAlias = WorkerResult | EventResult | DeadLetter


def result_of(entry: Entry) -> WorkerResult | EventResult | None:
    """Read an entry of the results stream; ``None`` for a kind that this version does not know."""
    told = {_text(name): _text(value) for name, value in entry.fields or ()}
    kind = told.get("kind")
    common = {name: told.get(name, "") for name in ("event_id", "task_id", "status")}
    metadata = _metadata(told.get("metadata", ""))
    if kind == "worker":
        names = ("pod", "node", "reason", "message", "created_at", "started_at", "finished_at")
        return WorkerResult(
            id=entry.id,
            index=_number(told.get("index")) or 0,
            attempt=_number(told.get("attempt")) or 0,
            exit_code=_number(told.get("exit_code")),
            metadata=metadata,
            **common,
            **{name: told.get(name, "") for name in names},
        )
    if kind == "event":
        return EventResult(
            id=entry.id,
            type=told.get("type", ""),
            pod_count=_number(told.get("pod_count")),
            succeeded=_number(told.get("succeeded")) or 0,
            failed=_number(told.get("failed")) or 0,
            cancelled=_number(told.get("cancelled")) or 0,
            duration_ms=_number(told.get("duration_ms")),
            of=told.get("of", ""),
            metadata=metadata,
            **common,
        )
    return None


def _document(result: WorkerResult | EventResult) -> JsonObject:
    told = {name: getattr(result, name) for name in result.__dataclass_fields__}
    told["metadata"] = dict(result.metadata)
    return told


def _metadata(text: str) -> Mapping[str, str]:
    try:
        loaded = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None


def _packed(text: str) -> list[tuple[str, str]]:
    try:
        return [(str(name), str(value)) for name, value in json.loads(text)]
    except (ValueError, TypeError):
        return [("fields", text)]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
