"""What waits in the stream, and Redis's clock. Every function raises RedisError."""

from __future__ import annotations

from ottoscaler.ledger.records import number, text
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.unread import group_of, unread
from ottoscaler.model import JsonObject
from ottoscaler.status.in_flight import age_of


def redis_ms(redis: RedisClient) -> int:
    """Redis's clock, in milliseconds."""
    seconds, micros = redis.command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def last_delivered(redis: RedisClient) -> str:
    """The id up to which the group has read the stream; '' if there is no group."""
    group = group_of(redis)
    return text(group["last-delivered-id"]) if group else ""


def backlog(redis: RedisClient, now_ms: int) -> JsonObject:
    """The stream and the group's place in it, as docs/cli.md has it."""
    group = group_of(redis)
    pending = int(group["pending"]) if group else 0
    return {
        "stream_length": int(redis.command_or(0, "XLEN", redis.stream)),
        "lag": unread(redis, group),
        "pending": pending,
        "oldest_pending": _oldest_pending(redis, now_ms) if pending else None,
        "lost": number(redis.command_or(None, "HGET", f"{redis.prefix}account", "lost")),
    }


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
