"""Finds events by their own id or by their task's: in flight, ended, dead-lettered or not read yet."""

from __future__ import annotations

from collections.abc import Iterator

from ottoscaler.ledger.records import Entry, order, text
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject, is_entry_id
from ottoscaler.status.backlog import last_delivered
from ottoscaler.status.streams import Finder, contains, cut_entries

MOST_FOUND = 50
MOST_OPEN = 5000  # events in flight that are looked at
AT_ONCE = 500


def search(redis: RedisClient, sought: str) -> JsonObject:
    """Events whose id is ``sought``, or whose task's id contains it. Raises RedisError.

    Exact matches come first, then the newest."""
    found: dict[str, JsonObject] = {}
    for each in (*_by_id(redis, sought), *_by_task(redis, sought)):
        found.setdefault(each["event_id"], each)
    exact = sorted(found.values(), key=lambda each: order(each["event_id"]), reverse=True)
    exact.sort(key=lambda each: sought not in (each["event_id"], each["task_id"]))
    return {"q": sought, "found": exact[:MOST_FOUND], "more": len(exact) > MOST_FOUND}


def _by_id(redis: RedisClient, sought: str) -> Iterator[JsonObject]:
    if not is_entry_id(sought):
        return
    words = redis.command_or(
        [None] * 4, "HMGET", f"{redis.prefix}event:{sought}", "state", "task", "type", "status"
    )
    state, task, kind, status = map(text, words)
    if state:
        yield _told(sought, task, kind, "in flight" if state == "open" else status)
        return
    last = last_delivered(redis)
    if (not last or order(sought) > order(last)) and cut_entries(redis, "events", sought, sought, 1):
        yield _told(sought, "", "", "not read yet")


def _by_task(redis: RedisClient, sought: str) -> Iterator[JsonObject]:
    """At most one event more of each kind than is shown, so that the page can say that there are more."""
    yield from _some(_open(redis, sought))
    finder, task, last = Finder(redis), contains("task_id", sought), last_delivered(redis)
    yield from _some(map(_ended, finder.newest("results", (task, contains("kind", "event")))))
    yield from _some(map(_dead, finder.newest("dead", (task,))))
    yield from _some(map(_unread, finder.newest("events", (task,), f"({last}" if last else "-")))


def _some(found: Iterator[JsonObject]) -> Iterator[JsonObject]:
    for number, each in enumerate(found):
        if number > MOST_FOUND:
            return
        yield each


def _open(redis: RedisClient, sought: str) -> Iterator[JsonObject]:
    ids = sorted(map(text, redis.command_or([], "SMEMBERS", f"{redis.prefix}events")), key=order)
    for at in range(0, min(len(ids), MOST_OPEN), AT_ONCE):
        part = ids[at : at + AT_ONCE]
        answers = redis.pipeline([("HMGET", f"{redis.prefix}event:{i}", "task", "type") for i in part])
        for event_id, answer in zip(part, answers, strict=True):
            task, kind = answer or (None, None)
            if sought.lower() in text(task).lower():
                yield _told(event_id, text(task), text(kind), "in flight")


def _ended(entry: Entry) -> JsonObject:
    told = _fields(entry)
    return _told(
        told.get("event_id", ""), told.get("task_id", ""), told.get("type", ""), told.get("status", "")
    )


def _dead(entry: Entry) -> JsonObject:
    told = _fields(entry)
    return _told(told.get("event_id", ""), told.get("task_id", ""), "", "dead-lettered")


def _unread(entry: Entry) -> JsonObject:
    told = _fields(entry)
    return _told(entry.id, told.get("task_id", ""), told.get("type", ""), "not read yet")


def _fields(entry: Entry) -> dict[str, str]:
    return {text(name): text(value) for name, value in entry.fields or ()}


def _told(event_id: str, task: str, kind: str, status: str) -> JsonObject:
    return {"event_id": event_id, "task_id": task or event_id, "type": kind, "status": status}
