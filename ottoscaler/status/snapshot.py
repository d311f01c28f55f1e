"""What Redis knows of an installation at one moment: read only, and readable while the service is down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ottoscaler.config.settings import Settings
from ottoscaler.ledger.broken_keys import broken_keys
from ottoscaler.ledger.heartbeats import Heartbeats
from ottoscaler.ledger.identity import kept_installation
from ottoscaler.ledger.pause import paused_since
from ottoscaler.ledger.records import timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.status.backlog import backlog, redis_ms
from ottoscaler.status.dead_letters import DeadLetters
from ottoscaler.status.in_flight import describe, order
from ottoscaler.status.untold import letter_told

SCHEMA_VERSION = 1  # docs/cli.md; raised where a field is taken away or changes its meaning

MOST_EVENTS = 500  # shown of those in flight, the oldest first
EVENTS_A_ROUND_TRIP = 50  # each ledger holds its event's body, up to OTTO_MAX_EVENT_BYTES
RESULTS_LOOKED_AT = 2000  # from the newest back, for failures
MOST_FAILURES = 10
MOST_DEAD_LETTERS = 5
Json = dict[str, Any]


class SnapshotReader:
    """Reads snapshots. Every method raises RedisError. One thread uses it."""

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._prefix = redis.prefix
        self._dead = DeadLetters(redis, settings)
        self._heartbeats = Heartbeats(redis)

    def read(self) -> Json:
        """The whole picture, as docs/cli.md describes it. Waits for heartbeats, some 2.5 s at most."""
        replicas = self._heartbeats.look()
        now_ms = redis_ms(self._redis)
        events, total = self._events(now_ms)
        paused = paused_since(self._redis)
        return {
            "schema_version": SCHEMA_VERSION,
            "at": timestamp(now_ms / 1000),
            "stream": self._settings.redis_stream,
            "group": self._settings.redis_consumer_group,
            "installation": kept_installation(self._redis),
            "paused": bool(paused),
            "paused_since": paused,
            "broken_keys": [
                {"key": each.key, "type": each.found, "expected": each.wanted}
                for each in broken_keys(self._redis)
            ],
            "backlog": backlog(self._redis, self._settings, now_ms),
            "replicas": replicas,
            "events_in_flight": total,
            "events": events,
            "recent_failures": self._failures(),
            "dead_letters": {
                "total": self._dead.length(),
                "newest": [
                    letter_told(letter.document()) for letter in self._dead.newest_cut(MOST_DEAD_LETTERS)
                ],
            },
        }

    # --- events

    def _events(self, now_ms: int) -> tuple[list[Json], int]:
        ids = [_text(i) for i in self._redis.command_or([], "SMEMBERS", f"{self._prefix}events")]
        ids.sort(key=order)
        offers = {_text(i) for i in self._redis.command_or([], "SMEMBERS", f"{self._prefix}offers")}
        shown = ids[:MOST_EVENTS]
        found = []
        for at in range(0, len(shown), EVENTS_A_ROUND_TRIP):
            part = shown[at : at + EVENTS_A_ROUND_TRIP]
            asked: Sequence[tuple[str, ...]] = [("HGETALL", f"{self._prefix}event:{i}") for i in part]
            for event_id, flat in zip(part, self._redis.pipeline(asked), strict=True):
                if flat is None:
                    continue  # it is among the broken keys
                raw = {_text(k): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
                if raw.get("state") == b"open":
                    found.append(describe(event_id, raw, offered=event_id in offers, now_ms=now_ms))
        return found, len(ids)

    def _failures(self) -> list[Json]:
        """The newest failed workers among the newest results."""
        name = self._settings.redis_results_stream
        failures: list[Json] = []
        newest = self._redis.command_or([], "XREVRANGE", name, "+", "-", "COUNT", RESULTS_LOOKED_AT)
        for _, flat in newest:
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
