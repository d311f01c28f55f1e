"""What waits in the stream, and Redis's clock. Every function raises RedisError."""

from __future__ import annotations

from typing import Any

from ottoscaler.errors import RedisError
from ottoscaler.ledger.records import number, text
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject
from ottoscaler.status.in_flight import age_of


def redis_ms(redis: RedisClient) -> int:
    """Redis's clock, in milliseconds."""
    seconds, micros = redis.command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def last_delivered(redis: RedisClient) -> str:
    """The id up to which the group has read the stream; '' if there is no group."""
    group = _group(redis)
    return text(group["last-delivered-id"]) if group else ""


def backlog(redis: RedisClient, now_ms: int) -> JsonObject:
    """The stream and the group's place in it, as docs/cli.md has it."""
    group = _group(redis)
    length = int(redis.command_or(0, "XLEN", redis.stream))
    group = group or {"lag": length, "pending": 0}
    lag = group.get("lag")
    return {
        "stream_length": length,
        # Redis 6.2 does not count it. Later versions do not know it after entries were deleted, and count
        # those that were trimmed away unread until the group has read on.
        "lag": lag if lag is None else min(lag, length),
        "pending": int(group["pending"]),
        "oldest_pending": _oldest_pending(redis, now_ms) if group["pending"] else None,
        "lost": number(redis.command_or(None, "HGET", f"{redis.prefix}account", "lost")),
    }


def _group(redis: RedisClient) -> dict[str, Any]:
    """What Redis tells of the group; empty if there is no group."""
    try:
        groups = redis.command_or([], "XINFO", "GROUPS", redis.stream)
    except RedisError as error:
        if "no such key" in str(error):
            return {}
        raise
    found = (dict(zip(map(text, flat[::2]), flat[1::2], strict=True)) for flat in groups)
    return next((group for group in found if text(group["name"]) == redis.group), {})


def _oldest_pending(redis: RedisClient, now_ms: int) -> JsonObject | None:
    found = redis.command("XPENDING", redis.stream, redis.group, "-", "+", 1)
    if not found:
        return None
    event_id, consumer, idle_ms, _deliveries = found[0]
    age = age_of(text(event_id), now_ms)
    idle = int(idle_ms) / 1000
    return {
        "event_id": text(event_id),
        "consumer": text(consumer),
        "age_seconds": round(idle if age is None else age, 3),
    }
