"""What an event's producer wrote, from wherever Redis still has it."""

from __future__ import annotations

import json

from ottoscaler.ledger.redis_client import RedisClient


def event_fields(redis: RedisClient, event_id: str) -> list[tuple[str, str]]:
    """The fields of an event, from its ledger or the stream; empty where both have let go of it. Raises
    RedisError."""
    body = redis.command("HGET", f"{redis.prefix}event:{event_id}", "body")
    if body:
        try:
            return [(str(name), str(value)) for name, value in json.loads(body)]
        except (ValueError, TypeError):
            return []
    found = redis.command("XRANGE", redis.stream, event_id, event_id)
    if not found or found[0][1] is None:
        return []
    flat = [each.decode("utf-8", "backslashreplace") for each in found[0][1]]
    return list(zip(flat[::2], flat[1::2], strict=False))
