"""What Redis knows of an installation at one moment: read only, and readable while the service is down."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ottoscaler.client.entries import WorkerResult, result_of
from ottoscaler.ledger.broken_keys import Overwritten, broken_keys
from ottoscaler.ledger.heartbeats import Heartbeats
from ottoscaler.ledger.identity import kept_installation
from ottoscaler.ledger.pause import paused_since
from ottoscaler.ledger.records import order, text, timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject
from ottoscaler.status.backlog import backlog, redis_ms
from ottoscaler.status.dead_letters import DeadLetters
from ottoscaler.status.failures import FAILED, told_failure
from ottoscaler.status.in_flight import describe
from ottoscaler.status.streams import Finder
from ottoscaler.status.untold import letter_told

SCHEMA_VERSION = 1  # docs/cli.md; raised where a field is taken away or changes its meaning

MOST_EVENTS = 500  # shown of those in flight, the oldest first
EVENTS_A_ROUND_TRIP = 50  # each ledger holds its event's body, up to OTTO_MAX_EVENT_BYTES
LOOKS_FOR_FAILURES = 4  # pages of results, from the newest back
MOST_FAILURES = 10
MOST_DEAD_LETTERS = 5


class SnapshotReader:
    """Reads snapshots. Every method raises RedisError. One thread uses it."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._dead = DeadLetters(redis)
        self._heartbeats = Heartbeats(redis)

    def read(self) -> JsonObject:
        """The whole picture, as docs/cli.md describes it. Waits for heartbeats, some 2.5 s at most."""
        replicas = self._heartbeats.look()
        now_ms = redis_ms(self._redis)
        events, total, nonsense = self._events(now_ms)
        paused = paused_since(self._redis)
        return {
            "schema_version": SCHEMA_VERSION,
            "at": timestamp(now_ms / 1000),
            "stream": self._redis.stream,
            "group": self._redis.group,
            "installation": kept_installation(self._redis),
            "paused": bool(paused),
            "paused_since": paused,
            "broken_keys": [
                {"key": each.key, "type": each.found, "expected": each.wanted}
                for each in (*broken_keys(self._redis), *nonsense)
            ],
            "backlog": backlog(self._redis, now_ms),
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

    def _events(self, now_ms: int) -> tuple[list[JsonObject], int, list[Overwritten]]:
        """Events in flight, how many there are, and the ledgers that hold what no replica wrote."""
        prefix = self._redis.prefix
        ids = sorted(map(text, self._redis.command_or([], "SMEMBERS", f"{prefix}events")), key=order)
        offers = set(map(text, self._redis.command_or([], "SMEMBERS", f"{prefix}offers")))
        shown = ids[:MOST_EVENTS]
        found, nonsense = [], []
        for at in range(0, len(shown), EVENTS_A_ROUND_TRIP):
            part = shown[at : at + EVENTS_A_ROUND_TRIP]
            asked: Sequence[tuple[str, ...]] = [("HGETALL", f"{prefix}event:{i}") for i in part]
            for event_id, flat in zip(part, self._redis.pipeline(asked), strict=True):
                if flat is None:
                    continue  # it is among the broken keys
                raw = {text(k): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
                if raw.get("state") == b"open":
                    try:
                        found.append(describe(event_id, raw, offered=event_id in offers, now_ms=now_ms))
                    except ValueError:
                        nonsense.append(
                            Overwritten(f"{prefix}event:{event_id}", "hash of nonsense", "ledger")
                        )
        return found, len(ids), nonsense

    def _failures(self) -> list[JsonObject]:
        """The newest failed workers among the newest results."""
        found = Finder(self._redis).newest("results", FAILED, looks=LOOKS_FOR_FAILURES)
        results = map(result_of, islice(found, MOST_FAILURES))
        return [told_failure(result) for result in results if isinstance(result, WorkerResult)]
