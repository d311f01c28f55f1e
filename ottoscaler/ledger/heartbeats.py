"""Which replicas are alive. A heartbeat is a counter, so it takes two looks to see whether it moves."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from ottoscaler.ledger.records import number, text, timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject

MOST_REPLICAS = 1000
LONGEST_BEAT_SECONDS = 1.0  # a heartbeat notices a handover, which must take 2 s at most
BEATS_A_LEASE = 6  # also full surveys a lease; each makes Redis look at every open event
# A replica is called silent when its counter has stood still for so many intervals. Others take its events
# after a whole lease.
BEATS_MISSED = 2.5
DEFAULT_LEASE_SECONDS = 30.0  # for a replica whose heartbeat does not say
LOOK_SECONDS = 0.1  # between two reads of the heartbeats
LONGEST_LOOK_SECONDS = 5.0  # reached only if replicas come and go all the time
# A longer time between two reads says nothing of the replicas: this machine, and maybe theirs, stood still.
GAP_SECONDS = 1.0
MOST_GAPS = 3  # in one look; with more, it is Redis that is slow


@dataclass(frozen=True, slots=True)
class Glance:
    """One replica at one look: what ``describe`` returns, and what the replica sends for the status page."""

    told: JsonObject
    machine: str  # where its process runs (identity.py)
    recent: JsonObject  # its last hour (telemetry/recent.py)
    recent_ms: int  # when it sent ``recent``, by Redis's clock; 0 if it did not
    sights: JsonObject  # its workers' Pods, while somebody looks at the page (workers/replica_description.py)


class Heartbeats:
    """Reads the replicas' heartbeats, and remembers them from one look to the next. One thread uses it."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._seen: dict[str, tuple[str, str, float]] = {}  # consumer: incarnation, beat, since when

    def look(self) -> list[JsonObject]:
        """Every replica, sorted by name. Raises RedisError.

        Waits until each heartbeat has moved or is overdue, at most LONGEST_LOOK_SECONDS."""
        begun = last = time.monotonic()
        gaps = 0
        moving: set[str] = set()
        while True:
            found = self._read()
            now = time.monotonic()
            if now - last > GAP_SECONDS and gaps < MOST_GAPS:
                gaps += 1
                begun += now - last
                self._seen = {c: (incarnation, beat, now) for c, (incarnation, beat, _) in self._seen.items()}
            last = now
            moving |= {consumer for consumer, each in found.items() if self._moved(consumer, each, now)}
            open_questions = [
                consumer
                for consumer, each in found.items()
                if consumer not in moving and now - self._seen[consumer][2] < silent_after(each["info"])
            ]
            if not open_questions or now - begun > LONGEST_LOOK_SECONDS:
                silent = found.keys() - moving - set(open_questions)
                self._seen = {consumer: self._seen[consumer] for consumer in found}
                return [describe(c, each, silent=c in silent) for c, each in sorted(found.items())]
            time.sleep(LOOK_SECONDS)

    def glance(self) -> list[Glance]:
        """Every replica, sorted by name, without waiting. Raises RedisError.

        A replica that has not been observed for long enough counts as alive."""
        found = self._read("recent", "sights", "recent-at")
        now = time.monotonic()
        for consumer, each in found.items():
            self._moved(consumer, each, now)
        self._seen = {consumer: self._seen[consumer] for consumer in found}
        return [
            Glance(
                describe(c, each, silent=now - self._seen[c][2] > silent_after(each["info"])),
                str(each["info"].get("machine") or ""),
                each["recent"],
                each["recent_ms"],
                each["sights"],
            )
            for c, each in sorted(found.items())
        ]

    def _moved(self, consumer: str, each: JsonObject, now: float) -> bool:
        known = self._seen.get(consumer)
        if known is not None and known[:2] == (each["incarnation"], each["beat"]):
            return False
        self._seen[consumer] = (each["incarnation"], each["beat"], now)
        return known is not None

    def _read(self, *more: str) -> dict[str, JsonObject]:
        prefix = self._redis.prefix
        names = sorted(map(text, self._redis.command_or([], "SMEMBERS", f"{prefix}replicas")))
        if not names:
            return {}
        names = names[:MOST_REPLICAS]
        answers = self._redis.pipeline(
            [("HMGET", f"{prefix}replica:{name}", "incarnation", "beat", "info", *more) for name in names]
        )
        return {
            name: {
                "incarnation": text(incarnation),
                "beat": text(beat),
                "info": _object(info),
                "recent": _object(rest[0] if rest else None),
                "sights": _object(rest[1] if rest else None),
                "recent_ms": number(rest[2]) if rest else 0,
            }
            for name, answer in zip(names, answers, strict=True)
            for incarnation, beat, info, *rest in [answer or [None, None, None]]  # a broken key tells nothing
            if incarnation is not None
        }


def beat_seconds(lease: float) -> float:
    """Seconds between two heartbeats of a replica whose lease is that long."""
    return min(LONGEST_BEAT_SECONDS, lease / BEATS_A_LEASE)


def silent_after(info: JsonObject) -> float:
    """Seconds without a heartbeat after which the replica that sent this ``info`` is called silent."""
    lease = _number(info.get("lease_seconds")) or DEFAULT_LEASE_SECONDS
    return max(2 * LOOK_SECONDS, BEATS_MISSED * beat_seconds(lease))


def describe(consumer: str, each: JsonObject, *, silent: bool) -> JsonObject:
    """A replica in the form that docs/cli.md describes."""
    info = each["info"]
    at = _number(info.get("at")) or 0.0
    state = "silent" if silent else "stopping" if info.get("stopping") is True else "alive"
    return {
        "consumer": consumer,
        "incarnation": each["incarnation"],
        "state": state,
        "last_beat_at": timestamp(at) if 0 < at < 1e11 else "",
        "lease_seconds": _number(info.get("lease_seconds")),
        "workers": _number(info.get("workers")),
        "workers_max": _number(info.get("workers_max")),
        "events_in_hand": _number(info.get("in_hand")),
        "page_address": address if isinstance(address := info.get("page_address"), str) else None,
        "page_port": _number(info.get("page_port")),
    }


def _number(value: Any) -> float | None:
    """``None`` for what no replica sends, such as NaN: no browser reads it, and arithmetic may fail on it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
    return value if number else None


def _object(raw: bytes | None) -> JsonObject:
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
