"""A pause of the group: no worker is begun by any replica until it is resumed.

It is one key, which outlives every replica. The scripts that begin a worker look at it themselves, so that no
replica begins one however long it was frozen; heartbeats tell of it, so that a paused replica does not ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ottoscaler.ledger.records import timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)


def pause(redis: RedisClient) -> bool:
    """Pause the group. False where it was paused already, since when stays as it was. Raises RedisError."""
    return redis.command("SET", _key(redis), timestamp(), "NX") is not None


def resume(redis: RedisClient) -> bool:
    """End the pause. False where there was none. Raises RedisError."""
    return bool(redis.command("DEL", _key(redis)))


def paused_since(redis: RedisClient) -> str:
    """RFC 3339, by the clock of who paused it; '' where the group is not paused. Raises RedisError."""
    raw = redis.command("GET", _key(redis))
    return raw.decode("utf-8", "replace") if raw else ""


def _key(redis: RedisClient) -> str:
    return f"{redis.prefix}paused"


class Pause:
    """What this replica knows of it. Thread-safe; ``changed`` is called after each change."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._on = False

    @property
    def on(self) -> bool:
        """Whether the group is paused, as Redis said last."""
        return self._on

    def tell(self, on: bool) -> None:
        """Redis says so: the lease's thread by its heartbeats, a worker's thread that was not let begin."""
        if on == self._on:
            return
        with self._lock:
            changed, self._on = on != self._on, on
        if not changed:
            return
        if on:
            log.warning("paused", "no worker is begun until `ottoscaler resume`; running ones go on")
        else:
            log.info("resumed", "workers are begun again")
        self._changed(on)
