"""What an event's producer wrote, from wherever Redis still has it."""

from __future__ import annotations

import json

from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import is_entry_id
from ottoscaler.status.streams import cut_entries


def event_fields(redis: RedisClient, event_id: str) -> list[tuple[str, str]]:
    """The fields of an event, from its ledger, or else from the stream, where large ones are cut.

    Empty if neither has the event any more, or if it is no id: anybody may write a result of any name. Raises
    RedisError."""
    if not is_entry_id(event_id):
        return []
    body = redis.command_or(None, "HGET", f"{redis.prefix}event:{event_id}", "body")
    if body:
        try:
            return [(str(name), str(value)) for name, value in json.loads(body)]
        except (ValueError, TypeError):
            return []
    return [
        (name.decode("utf-8", "backslashreplace"), value.decode("utf-8", "backslashreplace"))
        for entry in cut_entries(redis, "events", event_id, event_id, 1)
        for name, value in entry.fields or ()
    ]
