"""The listener's reads of the stream. A read of new entries may block; another thread can end it."""

from __future__ import annotations

from ottoscaler.errors import RedisError
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.telemetry.metrics import Metrics

log = get_logger(__name__)


class StreamReader:
    """The listener's thread calls all but ``unblock``. A read blocks for ``poll_seconds`` at most."""

    def __init__(self, redis: RedisClient, poll_seconds: float, metrics: Metrics) -> None:
        self.poll_seconds = poll_seconds
        self._redis = redis
        self._metrics = metrics
        self._client_id: int | None = None  # of the connection that reads; ``None`` if it is not known

    def read(self, count: int) -> list[Entry]:
        """New entries, at most ``count``, as soon as there are any. Empty after ``poll_seconds``.

        Raises RedisError.
        """
        if self._client_id is None:
            self._client_id = self._redis.client_id()
        entries = self._redis.read(count=count, block_ms=int(self.poll_seconds * 1000))
        self._metrics.redis_polls.inc("events" if entries else "empty")
        return entries

    def read_own(self, count: int, behind: str) -> list[Entry]:
        """Entries after the id ``behind`` that this replica has read, not acknowledged. Raises RedisError."""
        return self._redis.read(count=count, behind=behind)

    def failed(self, *, reconnects: bool) -> None:
        """Note that a read failed. With ``reconnects``, the next read needs a new connection."""
        self._client_id = None
        self._metrics.redis_polls.inc("error")
        if reconnects:
            self._metrics.redis_reconnects.inc()

    def unblock(self, through: RedisClient) -> None:
        """End a read that blocks now, over another connection. Any thread calls it, at a stop or a pause."""
        if self._client_id is not None:
            try:
                through.command("CLIENT", "UNBLOCK", self._client_id)
            except RedisError as error:
                log.debug("unblock_failed", f"the read ends by itself: {error}")
