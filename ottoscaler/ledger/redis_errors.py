"""What redis-py raises, as our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from ottoscaler.errors import GroupMissing, RedisError, RedisUnavailable

# Answers that pass: a Redis that loads, was demoted, is full, or whose password is being changed.
_PASSING = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY ",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "UNKILLABLE",
)


@contextmanager
def translated_errors() -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise RedisUnavailable(f"Redis does not answer: {error or type(error).__name__}") from error
    except redis.WatchError as error:  # or the connection broke while the keys were watched
        raise RedisUnavailable(f"a transaction was not carried out: {error}") from error
    except redis.RedisError as error:
        text = str(error)
        if text.startswith("NOGROUP") or "NOGROUP" in text:
            raise GroupMissing(text) from error
        if isinstance(
            error,
            (
                redis.exceptions.ReadOnlyError,
                redis.exceptions.OutOfMemoryError,
                redis.exceptions.NoPermissionError,
            ),
        ):
            raise RedisUnavailable(f"Redis refuses for now: {text}") from error
        if text.startswith(_PASSING) or any(f" {word}" in text for word in ("OOM", "READONLY")):
            raise RedisUnavailable(f"Redis refuses for now: {text}") from error
        raise RedisError(f"Redis refuses: {text}") from error
