"""One Redis server for a test module, emptied before each test: for tests of scripts, not of outages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ottoscaler.config.settings import Settings
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.local.redis_server import RedisServer


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory: Path = tmp_path_factory.mktemp("redis")
    server = RedisServer(directory, 0)
    server.start()
    yield server
    server.kill()  # nobody reads its data any more


def counts_what_is_added(client: Any) -> bool:
    """Whether this Redis is 7.0 or later, which counts the entries added to a stream and a group's lag."""
    return not str(client.info("server")["redis_version"]).startswith("6.")


def ledger_on(stream: RedisClient, name: str = "a", incarnation: str = "1") -> Ledger:
    """A replica's ledger on that client, before the replica is registered."""
    who = ReplicaIdentity(name, incarnation)
    ledger = Ledger(stream, who)
    who.join(ledger.join_installation("inst"))
    ledger.upkeep.ensure_group()
    return ledger


class Book:
    """Ledgers of several replicas on one Redis, and a plain client to look with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)
        self.redis.flushall()
        self.settings = Settings(redis_url=url, redis_consumer="a")
        self.stop = threading.Event()  # of the stages: one left over would try again and again
        self._streams: list[RedisClient] = []

    def ledger(self, name: str = "a", incarnation: str = "1") -> Ledger:
        """A replica's ledger, registered under its name."""
        stream = RedisClient(Settings(redis_url=self.url, redis_consumer=name))
        self._streams.append(stream)
        ledger = ledger_on(stream, name, incarnation)
        ledger.replicas.register("{}", ended=self._present(name))
        return ledger

    def _present(self, name: str) -> str:
        return self.redis.hget(f"otto:scale:events:ottoscaler:replica:{name}", "incarnation") or ""

    def stream(self, name: str = "a", *, instance: str = "") -> RedisClient:
        stream = RedisClient(Settings(redis_url=self.url, redis_consumer=name, instance=instance))
        self._streams.append(stream)
        return stream

    def results(self, kind: str) -> list[dict[str, str]]:
        entries = self.redis.xrange("otto:scale:results")
        return [fields for _, fields in entries if fields["kind"] == kind]

    def close(self) -> None:
        self.stop.set()
        for stream in self._streams:
            stream.close()
        self.redis.close()


@pytest.fixture
def book(redis_server: RedisServer) -> Iterator[Book]:
    made = Book(redis_server.url)
    yield made
    made.close()
