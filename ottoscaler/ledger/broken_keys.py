"""The keys below our prefix with their types, and which of them another program has overwritten."""

from __future__ import annotations

from dataclasses import dataclass

from ottoscaler.ledger.redis_client import RedisClient

MOST_LOOKED_AT = 1000  # keys of events, and as many of replicas

# The names of the streams are settings. Keys of one event, replica, log or dedup_key are not listed.
KINDS = {
    "installation": "string",
    "instance": "string",
    "low-water": "string",
    "events": "set",
    "offers": "set",
    "replicas": "set",
    "finished": "zset",
    "results-from": "zset",
    "tombstones": "hash",
    "expired": "string",
    "marks": "hash",
    "account": "hash",
    "namespaces": "hash",
    "ahead": "set",
    "appended": "hash",
    "places:results": "zset",
    "places:dead": "zset",
    "handed": "hash",
    "unseen": "hash",
    "logs": "zset",
    "log-sizes": "hash",
}


@dataclass(frozen=True, slots=True)
class Overwritten:
    """A key of ours that another program has overwritten: its type, and the type that it should have."""

    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.key} is a {self.found}, not a {self.wanted}"


def broken_keys(redis: RedisClient) -> list[Overwritten]:
    """The keys that another program has overwritten. Only reads. Raises RedisError."""
    prefix = redis.prefix
    names = {redis.stream: "stream", redis.results: "stream", redis.dead: "stream"}
    names.update({prefix + name: kind for name, kind in KINDS.items()})
    for listed, each in (("events", "event"), ("replicas", "replica")):
        members = redis.command_or([], "SMEMBERS", prefix + listed)
        some = sorted(each.decode("utf-8", "replace") for each in members)[:MOST_LOOKED_AT]
        names.update({f"{prefix}{each}:{name}": "hash" for name in some})
    found = redis.pipeline([("TYPE", name) for name in names])
    kinds = zip(names.items(), (kind.decode() for kind in found), strict=True)
    return [Overwritten(name, kind, wanted) for (name, wanted), kind in kinds if kind not in (wanted, "none")]
