"""Asks the replicas to report their workers' Pods while somebody views the page, and reads the reports
(workers/replica_description.py)."""

from __future__ import annotations

import json

from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject

ASKED_MS = 5000  # so long after the last viewer, the replicas stop reporting


def ask(redis: RedisClient) -> None:
    """Make every replica report its workers' Pods with its next heartbeats. Raises RedisError."""
    redis.command("SET", f"{redis.prefix}viewed", "1", "PX", ASKED_MS)


def live_workers(redis: RedisClient, consumer: str, event_id: str) -> dict[int, JsonObject]:
    """An event's workers at this replica, by index: ``created_at``, ``started_at``, ``node``.

    Workers that the replica does not report are left out. Raises RedisError."""
    ask(redis)
    raw = redis.command_or(None, "HGET", f"{redis.prefix}replica:{consumer}", "details")
    try:
        told = json.loads(raw or b"{}")
        return {
            int(index): {"created_at": str(created), "started_at": str(started), "node": str(node)}
            for index, created, started, node in told.get(event_id, ())
        }
    except (ValueError, TypeError, AttributeError, OverflowError):
        return {}  # another version's
