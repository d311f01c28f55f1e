"""What ``check`` asks Redis: whether it answers, is durable, and has our keys free. It only reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ottoscaler.cli.finding import Finding
from ottoscaler.client.sentences import sentence, where
from ottoscaler.config.hash_tags import hash_tag
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BrokenKey, GroupMissing, NoAnswer, NotPermitted, RedisError, RedisUnavailable
from ottoscaler.ledger.broken_keys import broken_keys
from ottoscaler.ledger.identity import kept_installation
from ottoscaler.ledger.records import number, text
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.replicas import instance_differs

MOST_EVENTS = 1000  # events in flight whose namespaces are looked at
OLDEST_VERSION = (6, 2)  # the first with XAUTOCLAIM, and the oldest that is tested


class RedisCheck:
    """Asks step by step. Afterwards ``installation`` is known, or ``None`` if it could not be read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = RedisClient(settings)
        self.installation: str | None = None

    def findings(self) -> Iterator[Finding]:
        """Yields each finding as soon as it is known. Ends early if Redis does not answer."""
        try:
            yield from self._ask()
        except RedisError as error:
            yield Finding("problem", "redis", sentence(self._settings, error))

    def _ask(self) -> Iterator[Finding]:
        self._redis.command("PING")
        info = self._info()
        if info is None:
            yield Finding("ok", "redis", f"{where(self._settings)} answers")
            yield Finding(
                "warning",
                "redis",
                "the ACL user may not run INFO, so version, eviction policy and persistence are unknown",
            )
        else:
            mode = info.get("redis_mode") or info.get("server_mode")  # the latter of Valkey
            if mode == "sentinel":
                yield Finding(
                    "problem",
                    "redis",
                    f"{where(self._settings)} is a Sentinel, not a Redis: name it in REDIS_SENTINELS, and "
                    "its master in REDIS_SENTINEL_MASTER.",
                )
                return
            yield version(info, where(self._settings))
            if info.get("cluster_enabled") == "1" or mode == "cluster":
                if problem := self._redis.cluster_problem():
                    yield Finding("problem", "redis", problem + ".")
                    return
                tag = hash_tag(self._settings.redis_stream)
                yield Finding(
                    "ok", "redis", f"it is a Redis Cluster, and our streams share the hash tag {tag!r}"
                )
                kept_installation(self._redis)  # this also connects to the node that serves the keys
                info = self._info() or info
            yield from trust(info)
        yield from self._names()
        yield from self._lost()
        yield from self._unacknowledged()
        self.installation = kept_installation(self._redis)
        yield self._installation()
        yield from self._namespaces()
        if info is None or info.get("role") != "slave":  # told already
            yield from self._writes()

    def _info(self) -> dict[str, str] | None:
        try:
            raw = self._redis.command("INFO")
        except NotPermitted:
            return None
        lines = raw.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

    def _writes(self) -> Iterator[Finding]:
        """A finding if Redis answers, and refuses to write for now: it is full, or has too few replicas. From
        7.0 on, it judges a script with such a first line before it runs it; this one writes nothing."""
        try:
            self._redis.command("EVAL", "#!lua\nreturn 1", 1, self._settings.redis_stream)
        except (NoAnswer, NotPermitted):
            return  # nobody knows
        except RedisUnavailable as error:
            yield Finding("problem", "redis", sentence(self._settings, error))
        except RedisError:
            return  # an older one, for which the first line is no Lua

    def _names(self) -> Iterator[Finding]:
        """Findings about keys with our names but another type: no script would write to them."""
        wrong = broken_keys(self._redis)
        for each in wrong:
            yield Finding(
                "problem",
                "keys",
                f"{each.key} is a {each.found}, expected a {each.wanted}; rename it, or choose another name.",
            )
        if not wrong:
            yield Finding("ok", "keys", f"streams and {self._redis.prefix}* are free or already ours")

    def _lost(self) -> Iterator[Finding]:
        lost = number(self._redis.command_or(None, "HGET", f"{self._redis.prefix}account", "lost"))
        if lost:
            what = "1 entry was" if lost == 1 else f"{lost} entries were"
            yield Finding(
                "warning",
                "stream",
                f"{what} removed unread from {self._settings.redis_stream}; the dead letters name the ids. "
                "Let no producer trim: the service trims what has ended.",
            )

    def _unacknowledged(self) -> Iterator[Finding]:
        """A finding if the oldest pending entry is of an event that has ended. No XACK is tried: an operator
        may not."""
        try:
            found = self._redis.command(
                "XPENDING", self._settings.redis_stream, self._redis.group, "-", "+", 1
            )
        except (GroupMissing, BrokenKey, NotPermitted):
            return
        event_id = text(found[0][0]) if found else ""
        key = f"{self._redis.prefix}event:{event_id}"
        if found and self._redis.command_or(None, "HGET", key, "state") == b"done":
            yield Finding(
                "warning",
                "stream",
                f"event {event_id} has ended, and is pending still: may the service's Redis user run XACK "
                "(docs/redis.md)?",
            )

    def _namespaces(self) -> Iterator[Finding]:
        """Findings about events in flight whose workers run in another namespace than NAMESPACE."""
        ids = sorted(self._redis.command_or([], "SMEMBERS", f"{self._redis.prefix}events"))[:MOST_EVENTS]
        names = self._redis.pipeline([("HGET", f"{self._redis.prefix}event:{text(i)}", "ns") for i in ids])
        counts = Counter(text(name) for name in names if name is not None)
        noted = self._redis.command_or([], "HKEYS", f"{self._redis.prefix}namespaces")
        counts.update({text(name): 0 for name in noted})
        del counts[self._settings.namespace]
        for namespace, count in sorted(counts.items()):
            events = "1 event" if count == 1 else f"{count} events"
            what = (
                f"workers of {events} in flight run in {namespace}, not in {self._settings.namespace} "
                "(NAMESPACE): they are monitored there until they end, and their Pods deleted"
                if count
                else f"replicas have created Pods in {namespace}, not in {self._settings.namespace} "
                "(NAMESPACE): what is left of them is deleted"
            )
            yield Finding("warning", "namespace", f"{what}, which needs the Role there")

    def _installation(self) -> Finding:
        prefix, ours = self._redis.prefix, self._settings.instance
        known = text(self._redis.command_or(None, "GET", f"{prefix}instance")) or ours
        events, replicas = (
            self._redis.command_or(0, "SCARD", f"{prefix}{name}") for name in ("events", "replicas")
        )
        if known != ours and (events or replicas):
            # A replica that died stays in the set until another one notices, and refuses nobody.
            return Finding("problem" if events else "warning", "keys", instance_differs(ours, known))
        if self.installation:
            return Finding(
                "ok", "keys", f"installation {self.installation}, instance {self._settings.instance}"
            )
        return Finding(
            "ok",
            "keys",
            f"no replica has registered yet; the first one creates instance {self._settings.instance}",
        )


def version(info: dict[str, str], address: str) -> Finding:
    """Whether Redis is recent enough, from its INFO."""
    name, number = "Redis", info.get("redis_version", "0")
    if "valkey_version" in info:
        name = f"Valkey {info['valkey_version']}, compatible with Redis"
    numbers = tuple(int(part) for part in number.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_VERSION:
        return Finding("problem", "redis", f"{name} {number} is too old; expected 6.2 or later.")
    return Finding("ok", "redis", f"{address} answers: {name} {number}")


def trust(info: dict[str, str]) -> Iterator[Finding]:
    """Whether Redis keeps what it acknowledges, which every promise depends on (docs/reliability.md)."""
    policy, limit = info.get("maxmemory_policy", "?"), info.get("maxmemory", "?")
    if policy == "noeviction":
        yield Finding("ok", "eviction", "maxmemory-policy is noeviction")
    else:
        bound = "maxmemory is not set" if limit == "0" else f"maxmemory is {limit} bytes"
        yield Finding(
            "warning",
            "eviction",
            f"maxmemory-policy is {policy} ({bound}); a full Redis would drop events or their ledger; "
            "set it to noeviction.",
        )
    if info.get("aof_enabled") == "1":
        yield Finding("ok", "persistence", "appendonly is on")
    else:
        yield Finding(
            "warning",
            "persistence",
            "appendonly is off; a restart loses all writes since the last snapshot; "
            "set appendonly yes (and appendfsync everysec or always).",
        )
    if info.get("role") == "slave":
        yield Finding("problem", "redis", "it is a replica, which is read-only; configure the master.")
