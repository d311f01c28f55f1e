"""How far the consumer group has read the stream. Every function raises RedisError."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ottoscaler.errors import RedisError
from ottoscaler.ledger.records import text
from ottoscaler.ledger.redis_client import RedisClient


def group_of(redis: RedisClient) -> dict[str, Any]:
    """What Redis tells of the group; empty if there is no group."""
    try:
        groups = redis.command_or([], "XINFO", "GROUPS", redis.stream)
    except RedisError as error:
        if "no such key" in str(error):
            return {}
        raise
    found = (dict(zip(map(text, flat[::2]), flat[1::2], strict=True)) for flat in groups)
    return next((group for group in found if text(group["name"]) == redis.group), {})


def unread(redis: RedisClient, group: dict[str, Any]) -> int | None:
    """How many entries the group has not read. ``None`` where Redis does not know.

    Redis 6.2 does not count them, and later versions do not after deletions. Redis 7.0 counts for ever what
    was trimmed away unread, so it is asked whether there is anything behind what was read last. Without an
    answer to that, as where a large entry makes it slow, what Redis counts stands."""
    lag: int | None = group.get("lag")
    if group and not lag:
        return lag
    length = int(redis.command_or(0, "XLEN", redis.stream))
    if lag is None or not length:
        return length
    with suppress(RedisError):
        # In a script, as a producer's entry may be too large for this process.
        if not redis.script("behind", "", text(group["last-delivered-id"]))[1]:
            return 0
    return min(lag, length)
