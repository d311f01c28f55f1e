"""The picture that the status page draws every second: small, bounded, and cheap to read.

Unlike :mod:`ottoscaler.status.snapshot`, it does not wait for heartbeats. Each event is a few words and one
letter for each worker, which a script puts together in Redis (scripts/glimpse.lua).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from ottoscaler.ledger.heartbeats import Glance, Heartbeats
from ottoscaler.ledger.pause import paused_since
from ottoscaler.ledger.records import order, text, timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject
from ottoscaler.status.backlog import backlog, redis_ms
from ottoscaler.status.cells import PodsSeen, merged
from ottoscaler.status.failures import Failures, Letters
from ottoscaler.status.in_flight import age_of
from ottoscaler.status.live_workers import ask
from ottoscaler.telemetry.recent import hour_of

MOST_EVENTS = 200  # drawn, the oldest first
MOST_WORKERS = 20_000  # drawn one by one; of the events behind them only the numbers are told
COUNTED_A_LOOK = 500
EVENTS_A_LOOK = 50  # in one script, which holds Redis for about a millisecond


class Overview:
    """Reads the picture, and remembers what only grows. One thread uses it. ``read`` raises RedisError."""

    def __init__(self, redis: RedisClient, instance: str) -> None:
        self._redis = redis
        self._instance = instance
        self._heartbeats = Heartbeats(redis)
        self._failures = Failures(redis)
        self._letters = Letters(redis)

    def read(self) -> JsonObject:
        ask(self._redis)
        replicas = self._heartbeats.glance()
        seen = PodsSeen(each.sights for each in replicas)
        now_ms = redis_ms(self._redis)
        paused = paused_since(self._redis)
        open_ones = self._redis.command_or([], "SMEMBERS", f"{self._redis.prefix}events")
        ids = sorted(map(text, open_ones), key=order)
        events = self._events(ids[:MOST_EVENTS], seen, now_ms)
        return {
            "at": timestamp(now_ms / 1000),
            "stream": self._redis.stream,
            "group": self._redis.group,
            "instance": self._instance,
            "paused": paused,
            "backlog": backlog(self._redis, now_ms),
            "replicas": [each.told for each in replicas],
            "running": seen.running,
            "total": len(ids),
            "events": events,
            "waiting": self._waiting(ids, events, replicas),
            "failures": self._failures.read(),
            "dead": self._letters.read(),
            "hour": hour_of([(each.recent, (now_ms - each.recent_ms) / 1000) for each in replicas]),
        }

    def _events(self, ids: Sequence[str], seen: PodsSeen, now_ms: int) -> list[JsonObject]:
        left, told = MOST_WORKERS, []
        for at in range(0, len(ids), EVENTS_A_LOOK):
            _, found = self._redis.script("glimpse", "", left, *ids[at : at + EVENTS_A_LOOK])
            for each in json.loads(text(b"[" + b",".join(found) + b"]")):
                left -= len(each["cells"])
                with suppress(ValueError):  # what no replica wrote hides no other event; ``status`` names it
                    told.append(_event(each, seen.of(each["id"]), now_ms))
        return told

    def _waiting(self, ids: Sequence[str], events: Sequence[JsonObject], replicas: Sequence[Glance]) -> int:
        """The number of workers that hold no slot: from the letters if all are drawn, else from the
        counts."""
        if len(ids) <= MOST_EVENTS and all(each["cells"] or not each["n"] for each in events):
            return sum(each["cells"].count(".") + each["cells"].count("w") for each in events)
        unended = 0
        for at in range(0, len(ids), COUNTED_A_LOOK):
            unended += int(self._redis.script("unended", "", *ids[at : at + COUNTED_A_LOOK])[1])
        return max(0, unended - sum(each.told["workers"] or 0 for each in replicas))


def _event(each: JsonObject, seen: str, now_ms: int) -> JsonObject:
    """An event as the page draws it.

    ``cells`` has one letter for each worker, as in glimpse.lua. If its replica reports the Pod, the letter is
    ``s`` (starting) or ``r`` (running). ``cells`` is empty if there are too many workers."""
    age = age_of(each["id"], now_ms)
    taken = int(each.get("taken") or now_ms)
    return {
        "id": each["id"],
        "type": each.get("type", ""),
        "task": each.get("task", ""),
        "n": int(each["n"]) if each.get("n") else None,
        "owner": each.get("owner", "").rpartition("/")[0],
        "age": round((now_ms - taken) / 1000 if age is None else age, 1),
        "strikes": int(each.get("strikes") or 0),
        "again": each["again"],
        "ok": int(each.get("ok") or 0),
        "failed": int(each.get("bad") or 0),
        "cancelled": int(each.get("cut") or 0),
        "cells": merged(each["cells"], seen),
    }
