"""Finds events by their own id or by their task's: in flight, ended, dead-lettered or not read yet."""

from __future__ import annotations

from collections.abc import Iterator

from ottoscaler.ledger.records import Entry, order
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject, is_entry_id
from ottoscaler.status.backlog import last_delivered
from ottoscaler.status.streams import Finder, Has, cut_entries

MOST_FOUND = 50
MOST_OPEN = 5000  # events in flight that are looked at
AT_ONCE = 500


def search(redis: RedisClient, text: str) -> JsonObject:
    """Events whose id is the text, or whose task's id contains it. Raises RedisError.

    Exact matches come first, then the newest."""
    found: dict[str, JsonObject] = {}
    for each in (*_by_id(redis, text), *_by_task(redis, text)):
        found.setdefault(each["event_id"], each)
    exact = sorted(found.values(), key=lambda each: order(each["event_id"]), reverse=True)
    exact.sort(key=lambda each: text not in (each["event_id"], each["task_id"]))
    return {"q": text, "found": exact[:MOST_FOUND], "more": len(exact) > MOST_FOUND}


def _by_id(redis: RedisClient, text: str) -> Iterator[JsonObject]:
    if not is_entry_id(text):
        return
    words = redis.command_or(
        [None] * 4, "HMGET", f"{redis.prefix}event:{text}", "state", "task", "type", "status"
    )
    state, task, kind, status = (each.decode("utf-8", "replace") if each else "" for each in words)
    if state:
        yield _told(text, task, kind, "in flight" if state == "open" else status)
        return
    last = last_delivered(redis)
    if (not last or order(text) > order(last)) and cut_entries(redis, "events", text, text, 1):
        yield _told(text, "", "", "not read yet")


def _by_task(redis: RedisClient, text: str) -> Iterator[JsonObject]:
    """At most one event more of each kind than is shown, so that the page can say that there are more."""
    yield from _some(_open(redis, text))
    finder = Finder(redis)
    yield from _some(
        _ended(entry) for entry in finder.newest("results", (Has("task_id", text), Has("kind", "event")))
    )
    yield from _some(_dead(entry) for entry in finder.newest("dead", (Has("task_id", text),)))
    yield from _some(
        _unread(entry) for entry in finder.newest("events", (Has("task_id", text),), _unread_from(redis))
    )


def _unread_from(redis: RedisClient) -> str:
    last = last_delivered(redis)
    return f"({last}" if last else "-"


def _some(found: Iterator[JsonObject]) -> Iterator[JsonObject]:
    for number, each in enumerate(found):
        if number > MOST_FOUND:
            return
        yield each


def _open(redis: RedisClient, text: str) -> Iterator[JsonObject]:
    ids = sorted(
        (each.decode() for each in redis.command_or([], "SMEMBERS", f"{redis.prefix}events")), key=order
    )
    for at in range(0, min(len(ids), MOST_OPEN), AT_ONCE):
        part = ids[at : at + AT_ONCE]
        answers = redis.pipeline([("HMGET", f"{redis.prefix}event:{i}", "task", "type") for i in part])
        for event_id, answer in zip(part, answers, strict=True):
            task, kind = answer or (None, None)
            name = (task or b"").decode("utf-8", "replace")
            if text.lower() in name.lower():
                yield _told(event_id, name, (kind or b"").decode(), "in flight")


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
    return {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in entry.fields or ()}


def _told(event_id: str, task: str, kind: str, status: str) -> JsonObject:
    return {"event_id": event_id, "task_id": task or event_id, "type": kind, "status": status}
