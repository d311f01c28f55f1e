"""What an event's producer wrote, from wherever Redis still has it."""

from __future__ import annotations

import json

from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.status.streams import cut_entries


def event_fields(redis: RedisClient, event_id: str) -> list[tuple[str, str]]:
    """The fields of an event, from its ledger, or else from the stream, where large ones are cut.

    Empty if neither has the event any more. Raises RedisError."""
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
