"""What the ledger tells, as data: intents, indexes' states, an event's record, a survey of the replicas."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ottoscaler.model import Outcome


def timestamp(seconds: float | None = None) -> str:
    """RFC 3339 in UTC with milliseconds, of now by default."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def millis(moment: str) -> str:
    """The API server's times have whole seconds; the results stream promises milliseconds."""
    if not moment:
        return ""
    try:
        return timestamp(datetime.fromisoformat(moment).timestamp())
    except (ValueError, OverflowError):
        return ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry. ``fields`` is ``None`` where it was deleted while it was pending."""

    id: str
    fields: tuple[tuple[bytes, bytes], ...] | None


def entries(raw: Sequence[Any]) -> list[Entry]:
    """Entries as Redis sends them: pairs of an id and a flat list of names and values."""
    result = []
    for item in raw:
        if item is None:  # Redis 6.2, for an entry that was trimmed away
            continue
        entry_id, flat = item
        fields = None if flat is None else tuple(zip(flat[::2], flat[1::2], strict=True))
        result.append(Entry(entry_id.decode(), fields))
    return result


@dataclass(frozen=True, slots=True)
class Intent:
    """A standing intent to cancel a worker: since when by Redis's clock, by which event, and why."""

    at_ms: int
    by: str
    why: str

    @classmethod
    def parse(cls, raw: str) -> Intent:
        at, by, why = raw.split(":", 2)
        return cls(int(at), by, why)


@dataclass(frozen=True, slots=True)
class IndexState:
    """Where one index stands: ``begun``, ``waiting`` (for its next attempt) or ``done``."""

    kind: str
    attempt: int
    uid: str = ""
    due_ms: int = 0
    avoid_node: str = ""
    status: str = ""

    @classmethod
    def parse(cls, raw: str) -> IndexState:
        kind, attempt, rest = raw.split(":", 2)
        if kind == "s":
            return cls("begun", int(attempt), uid=rest)
        if kind == "w":
            due, node = rest.split(":", 1)
            return cls("waiting", int(attempt), due_ms=int(due), avoid_node=node)
        status, uid = rest.split(":", 1)
        return cls("done", int(attempt), uid=uid, status=status)


@dataclass(frozen=True, slots=True)
class Record:
    """An open event's ledger, as read when it was taken."""

    event_id: str
    epoch: int
    strikes: int
    body: bytes
    indexes: dict[int, IndexState] = field(default_factory=dict)
    intents: dict[int, Intent] = field(default_factory=dict)
    poisoned: bool = False
    count: int = 0

    @classmethod
    def parse(cls, event_id: str, epoch: str, flat: Sequence[bytes]) -> Record:
        raw = {k.decode(): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
        indexes = {int(k[2:]): IndexState.parse(v.decode()) for k, v in raw.items() if k.startswith("i:")}
        intents = {int(k[2:]): Intent.parse(v.decode()) for k, v in raw.items() if k.startswith("c:")}
        return cls(
            event_id,
            int(epoch),
            int(raw.get("strikes", b"0")),
            raw.get("body", b"[]"),
            indexes,
            intents,
            raw.get("poisoned") == b"1",
            int(raw.get("n") or b"0"),
        )

    def entry(self) -> Entry:
        """The event's entry as it was read, so that it can be parsed again without the stream."""
        pairs = json.loads(self.body)
        return Entry(self.event_id, tuple((k.encode(), v.encode()) for k, v in pairs))


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of an attempt to own an event.

    ``how``: ``taken``, ``mine`` (owned by this very replica already), ``done``, ``expired``, ``cancelled``,
    ``owned`` (by another), ``moved``, ``alive``, ``full``. ``record`` stands with the first two only.
    """

    how: str
    record: Record | None = None
    detail: str = ""
    began: bool = False  # the first worker, in the same step


@dataclass(frozen=True, slots=True)
class Answer:
    """A fenced script's word, and what came with it."""

    word: str
    detail: str = ""
    duration_ms: int | None = None  # with ``ended``: the whole event's

    @property
    def intent(self) -> Intent:
        return Intent.parse(self.detail)


@dataclass(frozen=True, slots=True)
class Expired:
    """What one look at the finished events came to."""

    low_water: str
    looked: int  # at so many, whose time is over
    stay: int  # of them, as another group needs their entries
    ledgers: int
    entries: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a heartbeat saw of the others."""

    beat: int
    offers: tuple[str, ...]
    full: bool = False  # with what follows; a light heartbeat only brings the offers
    replicas: dict[str, tuple[str, str]] = field(default_factory=dict)  # consumer: (incarnation, beat)
    leases: dict[str, float] = field(default_factory=dict)  # consumer: seconds, as it said
    owners: tuple[str, ...] = ()
    consumers: dict[str, int] = field(default_factory=dict)  # of the group: entries pending


def outcome_words(outcome: Outcome) -> tuple[str, ...]:
    """An outcome as the scripts take it."""
    return (
        outcome.pod,
        outcome.node,
        outcome.status.value,
        outcome.reason.value,
        "" if outcome.exit_code is None else str(outcome.exit_code),
        outcome.message,
        outcome.created_at,
        outcome.started_at,
        outcome.finished_at,
    )
