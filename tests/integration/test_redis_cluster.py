"""Redis Cluster, with names that share a hash tag: the slot is followed wherever it goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from ottoscaler.cli.check_redis import RedisCheck
from ottoscaler.config import load as config
from ottoscaler.errors import RedisUnavailable
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import ScaleUp
from tests.harness.redis_cluster import NAMES, RedisClusterServers, redis_cluster
from tests.harness.redis_fixture import ledger_on
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

STREAM = NAMES["REDIS_STREAM"]
FAILOVER_SECONDS = 10.0


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def client(nodes: RedisClusterServers, seed: int, **more: str) -> RedisClient:
    settings = config.load({"REDIS_URL": nodes.servers[seed].url, "REDIS_CONSUMER": "a", **NAMES, **more})
    return RedisClient(settings)


WAYS: dict[str, Callable[[RedisClient, Ledger], Any]] = {
    "command": lambda stream, _: stream.command("XLEN", STREAM),
    "pipeline": lambda stream, _: stream.pipeline([("TYPE", STREAM), ("XLEN", STREAM)]),
    "script": lambda _, ledger: ledger.replicas.register("{}", "1"),
    "scripts": lambda _, ledger: ledger.take(ScaleUp("0-0", "t", 1), Entry("0-0", ())),  # it has ended
    "transaction": lambda _, ledger: ledger.dead_letter("1-1", "bad", [(b"a", b"")] * 3001),
    "read": lambda stream, _: stream.read(count=1, block_ms=10),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_follows_a_slot_that_has_moved(nodes: RedisClusterServers, way: str) -> None:
    seed = (nodes.owner + 1) % 3
    stream = client(nodes, seed)
    assert stream.cluster_problem() == ""
    ledger = ledger_on(stream)
    ledger.replicas.register("{}")
    stream.command("XLEN", STREAM)  # scripts have a connection of their own
    nodes.move((nodes.owner + 1) % 3)
    WAYS[way](stream, ledger)
    stream.close()


def test_while_a_slot_is_on_its_way_single_keys_are_asked_for_and_scripts_wait(
    nodes: RedisClusterServers,
) -> None:
    stream = client(nodes, 0)
    ledger = ledger_on(stream)
    entry_id = stream.command("XADD", STREAM, "*", "type", "scale_up")
    to = (nodes.owner + 1) % 3
    source = nodes.begin_move(to)
    with pytest.raises(RedisUnavailable):
        ledger.replicas.register("{}", "1")
    nodes.move_keys(source, to)
    assert [e.id for e in stream.read(count=9) if e.id == entry_id.decode()], "by ASK"
    with pytest.raises(RedisUnavailable):
        ledger.replicas.register("{}", "1")
    nodes.end_move(to)
    assert ledger.replicas.register("{}", "1").entered
    stream.close()


def test_check_looks_at_the_node_that_serves_us_and_finds_nothing_wrong(nodes: RedisClusterServers) -> None:
    a_replica = nodes.servers[3].url
    findings = list(RedisCheck(config.load({"REDIS_URL": a_replica, **NAMES})).findings())
    assert [f.text for f in findings if f.level == "problem"] == []
    assert any("Redis Cluster" in f.text for f in findings)


def test_names_without_a_shared_hash_tag_are_refused_with_the_names_that_would_do(
    nodes: RedisClusterServers,
) -> None:
    settings = config.load({"REDIS_URL": nodes.servers[0].url, **NAMES, "REDIS_DEAD_STREAM": "dead"})
    (problem,) = [f.text for f in RedisCheck(settings).findings() if f.level == "problem"]
    assert "Redis Cluster" in problem
    assert "REDIS_DEAD_STREAM={otto}:dead" in problem


def test_work_goes_on_through_a_reshard_and_a_killed_master(
    place: Sandbox, nodes: RedisClusterServers
) -> None:
    second = 1  # which has a replica
    if nodes.owner == second:
        nodes.move(2)
    settings: dict[str, Any] = NAMES
    replica = place.start(None, REDIS_URL=nodes.servers[second].url, **settings)
    watching: Any = redis.RedisCluster(host="127.0.0.1", port=nodes.servers[0].port, decode_responses=True)

    def send(seconds: str) -> str:
        env = json.dumps({"SIM_RUN_SECONDS": seconds, "SIM_START_DELAY": "0.02"})
        return str(watching.xadd(STREAM, {"type": "scale_up", "pod_count": "2", "env": env}))

    def ended(event_id: str) -> list[str]:
        try:
            told = [fields for _, fields in watching.xrange(NAMES["REDIS_RESULTS_STREAM"])]
        except redis.RedisError:
            return []
        return [f["status"] for f in told if f["event_id"] == event_id]

    def created() -> int:
        """Told by the log: on a slow machine the Pods may be gone when one looks."""
        return len(replica.lines(action="pod_created"))

    through_the_move = send("1")
    wait_for(lambda: created() == 2, "it runs")
    nodes.move(second)
    wait_for(lambda: len(ended(through_the_move)) == 3, "it ends behind the move", FAILOVER_SECONDS)
    through_the_kill = send("1")
    wait_for(lambda: created() == 4, "it runs")
    wait_for(nodes.replicates, "the replica has it all")
    nodes.nodes[second].execute_command("WAIT", 1, 5000)
    nodes.servers[second].kill()
    wait_for(lambda: len(ended(through_the_kill)) == 3, "it ends on the new master", 2 * FAILOVER_SECONDS)
    after = send("0.1")
    wait_for(lambda: len(ended(after)) == 3, "new work is done", FAILOVER_SECONDS)
    for event_id in (through_the_move, through_the_kill, after):
        assert ended(event_id) == ["succeeded"] * 3, "each once"
    place.wait_no_pods()
    wait_for(lambda: replica.lines(action="redis_moved"), "it is told")
    watching.close()
    replica.kill()
    nodes.servers[second].start()
