"""What Redis knows of an installation at one moment: read only, and readable while the service is down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ottoscaler.cli.dead import DeadLetters
from ottoscaler.cli.inflight import age_of, describe, order
from ottoscaler.cli.redis_access import installation
from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisError
from ottoscaler.ledger.heartbeats import Heartbeats
from ottoscaler.ledger.pause import paused_since
from ottoscaler.ledger.records import timestamp
from ottoscaler.ledger.redis_client import RedisClient

SCHEMA_VERSION = 1  # docs/cli.md; raised where a field is taken away or changes its meaning

MOST_EVENTS = 500  # shown of those in flight, the oldest first
EVENTS_A_ROUND_TRIP = 50  # each ledger holds its event's body, up to OTTO_MAX_EVENT_BYTES
RESULTS_LOOKED_AT = 2000  # from the newest back, for failures
MOST_FAILURES = 10
MOST_DEAD_LETTERS = 5
Json = dict[str, Any]


class SnapshotReader:
    """Reads snapshots. Every method raises RedisError. One thread."""

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._prefix = redis.prefix
        self._dead = DeadLetters(redis, settings)
        self._heartbeats = Heartbeats(redis)

    def read(self) -> Json:
        """The whole picture, as docs/cli.md describes it. Waits for heartbeats, some 2.5 s at most."""
        replicas = self._heartbeats.look()
        now_ms = self._now_ms()
        events, total = self._events(now_ms)
        paused = paused_since(self._redis)
        return {
            "schema_version": SCHEMA_VERSION,
            "at": timestamp(now_ms / 1000),
            "stream": self._settings.redis_stream,
            "group": self._settings.redis_consumer_group,
            "installation": installation(self._redis),
            "paused": bool(paused),
            "paused_since": paused,
            "backlog": self._backlog(now_ms),
            "replicas": replicas,
            "events_in_flight": total,
            "events": events,
            "recent_failures": self._failures(),
            "dead_letters": {
                "total": self._dead.length(),
                "newest": [letter.document() for letter in self._dead.newest(MOST_DEAD_LETTERS)],
            },
        }

    def _now_ms(self) -> int:
        seconds, micros = self._redis.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    # --- events

    def _events(self, now_ms: int) -> tuple[list[Json], int]:
        ids = [_text(i) for i in self._redis.command("SMEMBERS", f"{self._prefix}events")]
        ids.sort(key=order)
        offers = {_text(i) for i in self._redis.command("SMEMBERS", f"{self._prefix}offers")}
        shown = ids[:MOST_EVENTS]
        found = []
        for at in range(0, len(shown), EVENTS_A_ROUND_TRIP):
            part = shown[at : at + EVENTS_A_ROUND_TRIP]
            asked: Sequence[tuple[str, ...]] = [("HGETALL", f"{self._prefix}event:{i}") for i in part]
            for event_id, flat in zip(part, self._redis.pipeline(asked), strict=True):
                raw = {_text(k): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
                if raw.get("state") == b"open":
                    found.append(describe(event_id, raw, offered=event_id in offers, now_ms=now_ms))
        return found, len(ids)

    # --- what waits, what failed

    def _backlog(self, now_ms: int) -> Json:
        name, group = self._settings.redis_stream, self._settings.redis_consumer_group
        backlog: Json = {
            "stream_length": int(self._redis.command("XLEN", name)),
            "lag": None,
            "pending": 0,
            "oldest_pending": None,
            "lost": int(self._redis.command("HGET", f"{self._prefix}account", "lost") or 0),
        }
        try:
            groups = self._redis.command("XINFO", "GROUPS", name)
        except RedisError as error:
            if "no such key" in str(error):
                return {**backlog, "lag": 0}
            raise
        for flat in groups:
            known = dict(zip(map(_text, flat[::2]), flat[1::2], strict=True))
            if _text(known["name"]) == group:
                # Redis 6.2 does not count it, and later ones not after entries were deleted.
                backlog["lag"] = known.get("lag")
                backlog["pending"] = int(known["pending"])
                backlog["oldest_pending"] = self._oldest_pending(now_ms)
                return backlog
        return {**backlog, "lag": backlog["stream_length"]}

    def _oldest_pending(self, now_ms: int) -> Json | None:
        name, group = self._settings.redis_stream, self._settings.redis_consumer_group
        found = self._redis.command("XPENDING", name, group, "-", "+", 1)
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

    def _failures(self) -> list[Json]:
        """The newest failed workers among the newest results."""
        name = self._settings.redis_results_stream
        failures: list[Json] = []
        for _, flat in self._redis.command("XREVRANGE", name, "+", "-", "COUNT", RESULTS_LOOKED_AT):
            text = [_text(part) for part in flat]
            entry = dict(zip(text[::2], text[1::2], strict=True))
            if entry.get("kind") == "worker" and entry.get("status") == "failed":
                names = ("event_id", "task_id", "index", "attempt", "pod", "node", "reason")
                failures.append(
                    {
                        **{each: entry.get(each, "") for each in names},
                        "index": int(entry.get("index") or 0),
                        "attempt": int(entry.get("attempt") or 0),
                        "exit_code": int(entry["exit_code"]) if entry.get("exit_code") else None,
                        "message": entry.get("message", ""),
                        "finished_at": entry.get("finished_at", ""),
                    }
                )
                if len(failures) == MOST_FAILURES:
                    break
        return failures


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")
