"""Housekeeping in Redis: delete what has expired, and measure what only Redis knows."""

from __future__ import annotations

import math
import time

from ottoscaler.controller.sparing import spared
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import number
from ottoscaler.ledger.unread import group_of, unread
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.telemetry.metrics import Metrics

log = get_logger(__name__)

INTERVAL_SECONDS = (1.0, 30.0)  # a quarter of the retention time, within these bounds
BATCH = 500  # ids that one script looks at: this keeps Redis busy for some 10 ms
LONGEST_AGE_SECONDS = 31 * 86_400  # an older id is not a time but a number that a producer chose


class Housekeeping:
    """The reconciler's thread calls it. Each method raises RedisError."""

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        *,
        retention: float,
        dead_retention: float,
        logs_total_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._retention = retention
        self._dead_retention = dead_retention
        self._logs_total_bytes = logs_total_bytes
        least, most = INTERVAL_SECONDS
        self._interval = min(most, max(least, retention / 4))
        self._passed_over = 0  # finished events seen in this walk that must stay for now
        self._cursor = "0"  # over the tombstones

    def step(self) -> float:
        """Work through one batch. Returns the seconds until the next is due: 0 if more is left to do."""
        more = False
        with spared("expired data"):
            more = self._expire()
        with spared("the streams' bounds"):
            self._bound()
        with spared("kept logs"):
            self._let_logs_go()
        return 0.0 if more or self._cursor != "0" else self._interval

    def _bound(self) -> None:
        bounded = self._ledger.upkeep.bound(self._retention, self._dead_retention, BATCH, self._cursor)
        self._cursor = bounded.cursor
        self._tell_trimmed("results", bounded.results)
        self._tell_trimmed("dead", bounded.dead)
        if bounded.unacknowledged:
            flood.warning(
                "ack_refused",
                "Redis refuses XACK, so events that have ended stay in the pending list; allow it to this "
                f"user (docs/redis.md): {bounded.unacknowledged}",
            )

    def _let_logs_go(self) -> None:
        logs = self._ledger.logs.let_go(self._retention, self._logs_total_bytes)
        if logs:
            log.debug("house_kept", f"{logs} kept logs went, by their time or OTTO_LOGS_TOTAL_BYTES")

    def _expire(self) -> bool:
        """Whether more is left to do."""
        expired = self._ledger.upkeep.expire(self._retention, BATCH, self._passed_over)
        if expired.ledgers or expired.entries:
            log.debug(
                "house_kept",
                f"{expired.ledgers} ledgers and {expired.entries} entries expired; "
                f"low-water mark {expired.low_water}",
            )
        more = expired.looked == BATCH
        self._passed_over = self._passed_over + expired.stay if more else 0
        return more

    def look_for_lost(self) -> None:
        """Tell of entries that were removed unread. How many is known only at moments, so it looks often."""
        lost = self._ledger.upkeep.find_lost()
        if lost.entries:
            self._metrics.entries_lost.inc(lost.entries)
            log.error("entries_lost", lost.sentence)

    def _tell_trimmed(self, stream: str, entries: int) -> None:
        if entries:
            self._metrics.entries_trimmed.inc(stream, amount=entries)
            setting = f"OTTO_{stream.upper()}_MAX_BYTES"
            flood.warning("entries_trimmed", f"{entries} of the oldest {stream} went: {setting} is reached")

    def measure(self) -> None:
        """Set the gauges of the streams. Scrapes see these values until the next call."""
        redis = self._ledger.redis
        dead, pending, logs = redis.pipeline(
            [
                ("XLEN", redis.dead),
                ("XPENDING", redis.stream, redis.group),
                ("HGET", f"{redis.prefix}log-sizes", "total"),
            ]
        )
        self._metrics.logs_bytes.set(number(logs))
        self._metrics.dead_letters.set(math.nan if dead is None else int(dead))
        if pending is not None:
            self._metrics.stream_pending.set(int(pending[0]))
            self._metrics.oldest_pending.set(_age(pending[1]))
            lag = unread(redis, group_of(redis))
            self._metrics.stream_lag.set(math.nan if lag is None else lag)


def _age(entry_id: bytes | None) -> float:
    """Seconds since an entry's id was given. 0 if there is no id, or if it is not a time."""
    if entry_id is None:
        return 0.0
    age = time.time() - int(entry_id.partition(b"-")[0]) / 1000
    return age if 0 < age < LONGEST_AGE_SECONDS else 0.0
