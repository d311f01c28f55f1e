"""The steps of a ledger's life that tests of its scripts share."""

from __future__ import annotations

from typing import Any

from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry, Record, Taken
from ottoscaler.model import Outcome, Reason, ScaleDown, ScaleUp, Status, WorkerId
from tests.harness.redis_fixture import Book

DONE = Outcome(Status.SUCCEEDED, Reason.COMPLETED, pod="p", finished_at="2026-01-01T00:00:00.000Z")
FAILED = Outcome(Status.FAILED, Reason.ERROR, "it broke", 3, pod="p")


def add(book: Book, entry_id: str = "*", task: str = "t", count: int = 2) -> ScaleUp:
    """A scale_up that a producer sends."""
    fields = {"type": "scale_up", "pod_count": count, "task_id": task}
    event_id = str(book.redis.xadd("otto:scale:events", fields, id=entry_id))
    return ScaleUp(event_id, task, count, metadata={"k": "v"})


def add_down(book: Book, task: str | None = None, count: int | None = None) -> ScaleDown:
    """A scale_down that a producer sends."""
    fields: dict[str, Any] = {
        "type": "scale_down",
        **({"task_id": task} if task else {}),
        **({"pod_count": count} if count else {}),
    }
    return ScaleDown(str(book.redis.xadd("otto:scale:events", fields)), task, count)


def read(book: Book, name: str = "a") -> list[Entry]:
    """The entries that the replica reads next."""
    return book.stream(name).read(count=100)


def take(ledger: Ledger, event: ScaleUp | ScaleDown) -> Taken:
    """A replica takes an event that it has read."""
    entry = Entry(
        event.event_id, ((b"type", event.type.encode()), (b"task_id", (event.task_id or "").encode()))
    )
    return ledger.take(event, entry)


def owned(ledger: Ledger, event: ScaleUp | ScaleDown) -> Record:
    """The same; the event is new, so it is the replica's now."""
    record = take(ledger, event).record
    assert record is not None
    return record


def begin(ledger: Ledger, event: ScaleUp, index: int, epoch: int = 1, attempt: int = 0) -> WorkerId:
    """A worker's attempt begins, and its Pod is noted."""
    worker = WorkerId(event.event_id, index, attempt)
    assert ledger.start(worker, epoch).word == "ok"
    assert ledger.created(worker, epoch, f"uid-{index}-{attempt}").word == "ok"
    return worker
