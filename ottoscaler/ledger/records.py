"""The ledger's answers about events as data: entries, an event's record, states of indexes, intents."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from ottoscaler.errors import BrokenKey
from ottoscaler.model import MOST_TAKEN_AWAY, MOST_WORKERS, Judgement, Outcome, PodView, is_entry_id

MOST_DIGITS = 15  # of a count, and of a time in milliseconds


def text(raw: Any) -> str:
    """What Redis sent, as text; '' for nothing."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else "" if raw is None else str(raw)


def number(raw: bytes | None) -> int:
    """What Redis sent, as a whole number; 0 for nothing, and for what no replica wrote."""
    return int(raw) if raw and raw.isdigit() and len(raw) <= MOST_DIGITS else 0


def order(entry_id: str) -> tuple[int, int]:
    """The key that sorts ids as Redis does. What is no id, as a stranger may have written, comes first."""
    if not is_entry_id(entry_id):
        return 0, 0
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)


def timestamp(seconds: float | None = None) -> str:
    """A time (Unix seconds; now by default) as RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


@lru_cache(64)  # the times of many Pods lie within a few seconds
def millis(moment: str) -> str:
    """The API server's time with milliseconds added; '' if it is empty or not a time.

    The API server writes whole seconds, and the results stream promises milliseconds."""
    if not moment:
        return ""
    try:
        return timestamp(datetime.fromisoformat(moment).timestamp())
    except (ValueError, OverflowError):
        return ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry. ``fields`` is ``None`` if the entry was deleted while it was pending.

    ``cut_bytes`` is 0. If only the first fields were kept, it is the size of the whole entry.
    """

    id: str
    fields: tuple[tuple[bytes, bytes], ...] | None = field(repr=False)  # they may hold secrets
    cut_bytes: int = 0


def entries(raw: Sequence[Any]) -> list[Entry]:
    """Parse entries as Redis sends them: pairs of an id and a flat list of names and values."""
    result = []
    for item in raw:
        if item is None:  # Redis 6.2 sends this for an entry that was trimmed away
            continue
        entry_id, flat = item
        fields = None if flat is None else tuple(zip(flat[::2], flat[1::2], strict=False))
        result.append(Entry(entry_id.decode(), fields, getattr(flat, "cut_bytes", 0)))
    return result


def _written(word: str, most: int = 10**MOST_DIGITS) -> int:
    """A whole number as a replica writes it. Raises ValueError for others: arithmetic could fail on them."""
    if not word.isdigit() or len(word) > MOST_DIGITS or int(word) > most:
        raise ValueError(f"no number of a replica's: {word[:40]!r}")
    return int(word)


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent to cancel a worker: the event that wants it, why, and since when by Redis's clock."""

    by: str
    why: str
    since_ms: int = 0

    @classmethod
    def parse(cls, raw: str) -> Intent:
        since, by, why = raw.split(":", 2)
        return cls(by, why, _written(since))


class IndexStage(StrEnum):
    """The stage that one index is in."""

    BEGUN = "begun"
    WAITING = "waiting"  # for its next attempt
    DONE = "done"


class EventState(StrEnum):
    """The state that an event is in."""

    OPEN = "open"
    FINISHED = "finished"
    BELOW = "below"  # its ledger has expired: it is below the low-water mark
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the ledger knows about one index."""

    stage: IndexStage
    attempt: int
    uid: str = ""
    due_ms: int = 0
    avoid_node: str = ""
    status: str = ""
    namespace: str = ""  # of the Pod of the last attempt that has begun; empty if unknown

    @classmethod
    def parse(cls, raw: str) -> IndexState:
        kind, attempt, rest = raw.split(":", 2)
        if kind == "s":
            return cls(IndexStage.BEGUN, _written(attempt), uid=rest)
        if kind == "w":
            due, node = rest.split(":", 1)
            return cls(IndexStage.WAITING, _written(attempt), due_ms=_written(due), avoid_node=node)
        status, uid = rest.split(":", 1)
        return cls(IndexStage.DONE, _written(attempt), uid=uid, status=status)


def indexes_of(ledger: Mapping[str, str]) -> dict[int, IndexState]:
    """The states in the fields of a ledger. Raises ValueError for what no replica wrote."""
    states = {name[2:]: IndexState.parse(raw) for name, raw in ledger.items() if name.startswith("i:")}
    return {_written(index, MOST_WORKERS): state for index, state in states.items()}


def intents_of(ledger: Mapping[str, str]) -> dict[int, Intent]:
    """The same, of the intents to cancel a worker."""
    intents = {name[2:]: Intent.parse(raw) for name, raw in ledger.items() if name.startswith("c:")}
    return {_written(index, MOST_WORKERS): intent for index, intent in intents.items()}


@contextmanager
def _written_by_a_replica(what: str) -> Iterator[None]:
    """Anybody may write nonsense into a ledger. It must cost its own event only, as a broken key does."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BrokenKey(f"{what} holds what no replica wrote: {error}") from error


@dataclass(frozen=True, slots=True)
class Record:
    """An open event's ledger, as it was when this replica took the event."""

    event_id: str
    epoch: int
    strikes: int
    body: bytes = field(repr=False)  # it may hold secrets
    indexes: dict[int, IndexState] = field(default_factory=dict)
    intents: dict[int, Intent] = field(default_factory=dict)
    poisoned: bool = False
    count: int = 0
    doomed: bool = False  # nothing more of it may begin, and some of it is yet to be cancelled
    # The incarnations that owned the event before. Any of them may have created Pods of it. None: there were
    # too many to be kept, or nobody knows which.
    before: tuple[str, ...] | None = ()

    @classmethod
    def parse(cls, event_id: str, epoch: str, flat: Sequence[bytes]) -> Record:
        """The ledger's hash. Raises BrokenKey if it holds what no replica wrote."""
        with _written_by_a_replica(f"the ledger of event {event_id}"):
            return cls._parse(event_id, epoch, flat)

    @classmethod
    def _parse(cls, event_id: str, epoch: str, flat: Sequence[bytes]) -> Record:
        raw = {k.decode(): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
        workers = {k: v.decode() for k, v in raw.items() if k[1:2] == ":"}
        indexes = indexes_of(workers)
        for index, state in indexes.items():
            if state.stage is not IndexStage.DONE:
                namespace = raw.get(f"ns:{index}", raw.get("ns", b"")).decode()
                indexes[index] = replace(state, namespace=namespace)
        most = MOST_TAKEN_AWAY if raw.get("type") == b"scale_down" else MOST_WORKERS
        return cls(
            event_id,
            epoch=int(epoch),
            strikes=int(raw.get("strikes", b"0")),
            body=raw.get("body", b"[]"),
            indexes=indexes,
            intents=intents_of(workers),
            poisoned=raw.get("poisoned") == b"1",
            count=_written((raw.get("n") or b"0").decode(), most),
            doomed="doomed" in raw,
            before=_incarnations(raw.get("before", b"*")),
        )

    def entry(self) -> Entry:
        """The event's entry as it was read. So it can be parsed again without the stream. Raises BrokenKey if
        the body is not what a replica wrote."""
        with _written_by_a_replica(f"the ledger of event {self.event_id}"):
            pairs = json.loads(self.body)
            return Entry(self.event_id, tuple((k.encode(), v.encode()) for k, v in pairs))


def _incarnations(raw: bytes) -> tuple[str, ...] | None:
    """``None`` for what no replica wrote: the API server lists no Pods of an owner that is no label."""
    words = raw.split()
    return tuple(map(text, words)) if all(word.isalnum() and len(word) <= 63 for word in words) else None


class Taking(StrEnum):
    """How an attempt to take ownership of an event ended."""

    TAKEN = "taken"
    MINE = "mine"  # owned by this very replica already
    DONE = "done"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DUPLICATE = "duplicate"  # of an earlier one, whose id is the detail
    OWNED = "owned"  # by another replica
    MOVED = "moved"  # the named owner does not own it, or does not offer it any more
    ALIVE = "alive"  # the owner's heartbeat moves
    FULL = "full"  # this replica has no room for what has not begun


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of an attempt to take ownership of an event. Only TAKEN and MINE have a ``record``."""

    how: Taking
    record: Record | None = None
    detail: str = ""
    began: bool = False  # the first worker, in the same step


class Word(StrEnum):
    """A fenced script's answer."""

    OK = "ok"
    ENDED = "ended"  # the result is recorded, and it was the event's last
    AGAIN = "again"  # begun before; its Pod may exist
    DUPLICATE = "duplicate"  # another Pod of the attempt came first
    CANCELLING = "cancelling"  # an intent to cancel the worker stands
    OVERTIME = "overtime"  # an intent to end the worker for its time limit stands
    RECORDED = "recorded"  # the index has a result
    STALE = "stale"  # the index is at another attempt
    FINISHED = "finished"  # the event has ended
    MORE = "more"  # some are left for another call
    OWNED = "owned"  # the event is open, so only its owner may act
    PAUSED = "paused"  # the group is paused: no worker may be begun


@dataclass(frozen=True, slots=True)
class Reply:
    """A fenced script's answer, with its details."""

    word: Word
    detail: str = ""
    duration_ms: int | None = None  # with ENDED: how long the whole event took

    @property
    def intent(self) -> Intent:
        """The intent that stands, with CANCELLING. Raises BrokenKey if no replica wrote it."""
        with _written_by_a_replica("a worker's intent in the ledger"):
            return Intent.parse(self.detail)


def outcome_of(found: Judgement, view: PodView) -> Outcome:
    """How a worker ended, by the judgement on its Pod and what the Pod showed last."""
    return Outcome(
        found.status,
        found.reason,
        found.message,
        found.exit_code,
        view.name,
        view.node,
        millis(view.created_at),
        millis(view.started_at),
        millis(view.finished_at) or timestamp(),
    )


def outcome_words(outcome: Outcome) -> tuple[str, ...]:
    """An outcome as the arguments that the scripts take."""
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
