"""What waits in the stream, and Redis's clock. Every function raises RedisError."""

from __future__ import annotations

from typing import Any

from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisError
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.status.in_flight import age_of

Json = dict[str, Any]


def redis_ms(redis: RedisClient) -> int:
    """Redis's clock, in milliseconds."""
    seconds, micros = redis.command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def last_delivered(redis: RedisClient) -> str:
    """The id up to which the group has read the stream; '' if there is no group."""
    try:
        groups = redis.command_or([], "XINFO", "GROUPS", redis.stream)
    except RedisError as error:
        if "no such key" in str(error):
            return ""
        raise
    for flat in groups:
        known = dict(zip(map(_text, flat[::2]), flat[1::2], strict=True))
        if _text(known["name"]) == redis.group:
            return _text(known["last-delivered-id"])
    return ""


def backlog(redis: RedisClient, settings: Settings, now_ms: int) -> Json:
    """The stream and the group's place in it, as docs/cli.md has it."""
    name, group = settings.redis_stream, settings.redis_consumer_group
    told: Json = {
        "stream_length": int(redis.command_or(0, "XLEN", name)),
        "lag": None,
        "pending": 0,
        "oldest_pending": None,
        "lost": int(redis.command_or(0, "HGET", f"{redis.prefix}account", "lost") or 0),
    }
    try:
        groups = redis.command_or([], "XINFO", "GROUPS", name)
    except RedisError as error:
        if "no such key" in str(error):
            return {**told, "lag": 0}
        raise
    for flat in groups:
        known = dict(zip(map(_text, flat[::2]), flat[1::2], strict=True))
        if _text(known["name"]) == group:
            # Redis 6.2 does not count it. Later versions do not know it after entries were deleted.
            told["lag"] = known.get("lag")
            told["pending"] = int(known["pending"])
            told["oldest_pending"] = _oldest_pending(redis, settings, now_ms)
            return told
    return {**told, "lag": told["stream_length"]}


def _oldest_pending(redis: RedisClient, settings: Settings, now_ms: int) -> Json | None:
    name, group = settings.redis_stream, settings.redis_consumer_group
    found = redis.command("XPENDING", name, group, "-", "+", 1)
    if not found:
        return None
    event_id, consumer, idle_ms, _deliveries = found[0]
    age = age_of(_text(event_id), now_ms)
    idle = int(idle_ms) / 1000
    return {
        "event_id": _text(event_id),
        "consumer": _text(consumer),
        "age_seconds": round(idle if age is None else age, 3),
    }


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")
