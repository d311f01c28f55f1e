"""A pause of the group: no replica begins a worker until the group is resumed.

The pause is one key in Redis, so it outlives every replica. The scripts that begin a worker check the key
themselves, so even a replica that was frozen for long begins none. Heartbeats report the pause, so a replica
does not even try.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ottoscaler.ledger.records import timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)


def pause(redis: RedisClient) -> bool:
    """Pause the group. Returns False if it was paused already; ``paused_since`` then stays. Raises
    RedisError."""
    return redis.command("SET", _key(redis), timestamp(), "NX") is not None


def resume(redis: RedisClient) -> bool:
    """End the pause. Returns False if there was none. Raises RedisError."""
    return bool(redis.command("DEL", _key(redis)))


def paused_since(redis: RedisClient) -> str:
    """When the group was paused, in RFC 3339, by the clock of the program that paused it; '' if it is not.

    Raises RedisError."""
    raw = redis.command_or(b"?", "GET", _key(redis))
    return raw.decode("utf-8", "replace") if raw else ""


def _key(redis: RedisClient) -> str:
    return f"{redis.prefix}paused"


class Pause:
    """What this replica knows about the pause. Thread-safe. ``changed`` is called after each change."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._on = False

    @property
    def on(self) -> bool:
        """Whether the group is paused, according to Redis's latest answer."""
        return self._on

    def tell(self, on: bool) -> None:
        """Note whether the group is paused. The lease's thread calls it after each heartbeat, and a worker's
        thread when the ledger refused to begin its worker."""
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
