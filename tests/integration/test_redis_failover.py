"""Failover behind one address: the old master lives on as a replica, and what was connected stays with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisUnavailable
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.local.redis_server import RedisServer
from tests.harness.proxy import Proxy
from tests.harness.redis_fixture import ledger_on
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, running
from tests.harness.waiting import wait_for

RECOVERY_SECONDS = 10.0


@dataclass
class Pair:
    """A master and its replica behind one address."""

    old: RedisServer
    new: RedisServer
    proxy: Proxy

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def fail_over(self) -> None:
        """Change the roles; what is connected stays with the old master."""
        with redis.Redis(port=self.new.port) as new, redis.Redis(port=self.old.port) as old:
            wait_for(lambda: old.info("replication")["connected_slaves"] == 1, "the replica is known")
            old.execute_command("WAIT", 1, 5000)
            new.execute_command("REPLICAOF", "NO", "ONE")
            self.proxy.lead_to(self.new.port)
            old.execute_command("REPLICAOF", "127.0.0.1", str(self.new.port))
        self.old, self.new = self.new, self.old


def follow(follower: RedisServer, master: RedisServer) -> None:
    with redis.Redis(port=follower.port) as asked, redis.Redis(port=master.port) as leads:
        leads.execute_command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        asked.execute_command("REPLICAOF", "127.0.0.1", str(master.port))
        wait_for(lambda: asked.info("replication")["master_link_status"] == "up", "it follows", 10)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, RedisServer]]:
    both = [RedisServer(tmp_path_factory.mktemp(name)) for name in ("one", "two")]
    for server in both:
        server.start()
    yield both[0], both[1]
    for server in both:
        server.stop()


@pytest.fixture
def pair(servers: tuple[RedisServer, RedisServer]) -> Iterator[Pair]:
    old, new = servers
    with redis.Redis(port=old.port) as asked:
        asked.execute_command("REPLICAOF", "NO", "ONE")
        asked.flushall()
    follow(new, old)
    made = Pair(old, new, Proxy(old.port))
    yield made
    made.proxy.close()


def recovers(act: Callable[[], Any]) -> None:
    """It is refused once, and then works on the new master, within the time that is promised."""
    with pytest.raises(RedisUnavailable, match=r"Redis refuses for now: (READONLY|UNBLOCKED)"):
        act()

    def works() -> bool:
        try:
            act()
        except RedisUnavailable:
            return False
        return True

    wait_for(works, "the next connection follows the address", RECOVERY_SECONDS)


TOO_MANY_FOR_A_SCRIPT = [(b"%d" % n, b"") for n in range(3001)]  # fields
ACTS: dict[str, Callable[[RedisClient, Ledger], Any]] = {
    "command": lambda stream, _: stream.command("SET", "x", "1"),
    "pipeline": lambda stream, _: stream.pipeline([("TYPE", "x"), ("SET", "x", "1")]),
    "script": lambda _, ledger: ledger.replicas.register("{}", "1"),
    "transaction": lambda _, ledger: ledger.dead_letter("1-1", "bad", TOO_MANY_FOR_A_SCRIPT),
}


@pytest.mark.parametrize("way", ACTS)
def test_every_way_to_ask_leaves_the_old_master(pair: Pair, way: str) -> None:
    stream = RedisClient(Settings(redis_url=pair.url))
    ledger = ledger_on(stream)
    ledger.replicas.register("{}")
    ledger.dead_letter("0-1", "bad", TOO_MANY_FOR_A_SCRIPT)  # transactions have a connection of their own
    pair.fail_over()
    recovers(lambda: ACTS[way](stream, ledger))
    stream.close()


def test_a_blocked_read_leaves_the_old_master(pair: Pair) -> None:
    stream = RedisClient(Settings(redis_url=pair.url), answer_seconds=90)
    ledger_on(stream)
    old: Any = redis.Redis(port=pair.old.port, decode_responses=True)

    def when_it_blocks() -> None:
        wait_for(lambda: old.info("clients")["blocked_clients"] == 1, "the read blocks")
        pair.fail_over()

    failing = threading.Thread(target=when_it_blocks)
    failing.start()
    blocks = iter([60_000])  # the first read; later ones come to the new master
    recovers(lambda: stream.read(count=1, block_ms=next(blocks, 10)))
    failing.join()
    old.close()
    stream.close()


def test_what_one_user_learns_makes_the_connections_of_all_anew(pair: Pair) -> None:
    """Commands that only read are answered by the old master, too, from data that grows old."""
    first = RedisClient(Settings(redis_url=pair.url))
    second = RedisClient(Settings(redis_url=pair.url), first.endpoint)
    assert second.run_id() == first.run_id()
    before = first.run_id()
    pair.fail_over()
    recovers(lambda: first.command("SET", "x", "1"))
    assert second.run_id() not in ("", before)


def test_work_goes_on_within_ten_seconds_of_a_failover_behind_one_address(
    place: Sandbox, tmp_path: Path
) -> None:
    follower = RedisServer(tmp_path, fsync="always")
    follower.start()
    follow(follower, place.redis_server)
    pair = Pair(place.redis_server, follower, Proxy(place.redis_server.port))
    replica = place.start(REDIS_URL=pair.url)
    event_id = running(place)
    pair.fail_over()
    place.redis.close()
    place.redis = redis.Redis(port=follower.port, decode_responses=True)
    place.wait_event(place.scale_up(), RECOVERY_SECONDS)
    end_workers(place, event_id)
    ends_well(place, event_id)
    assert len(replica.lines(action="redis_wrong_server")) == 1
    replica.kill()
    pair.proxy.close()
    follower.stop()
