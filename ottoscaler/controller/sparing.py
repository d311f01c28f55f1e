"""Keeps one broken key in Redis from holding up work that does not need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ottoscaler.errors import OF_REDIS_ITSELF, RedisError
from ottoscaler.telemetry.logs import flood


@contextmanager
def spared(what: str) -> Iterator[None]:
    """Log an error of one key, so that what follows still runs.

    ``what`` says what was not looked after."""
    try:
        yield
    except OF_REDIS_ITSELF:
        raise
    except RedisError as error:
        flood.warning("key_broken", f"{what}: not looked after, {error}", key=what)
