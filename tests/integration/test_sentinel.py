"""Failover: Sentinel makes a replica of Redis the master, and the service follows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from ottoscaler.local.redis_server import RedisServer
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import running
from tests.harness.sentinel import sentinel
from tests.harness.waiting import wait_for

FAILOVER_SECONDS = 100.0


@dataclass
class Followed:
    """A service that reaches its Redis through a Sentinel, and the follower that may take its place."""

    service: Replica
    follower: Any
    sentinel: Any


@contextmanager
def followed(place: Sandbox) -> Iterator[Followed]:
    server = RedisServer(place.directory / "follower", fsync="always")
    server.start()
    second: Any = redis.Redis(port=server.port, decode_responses=True)
    place.redis.config_set("repl-diskless-sync-delay", 0)  # for other followers, which do not come
    second.execute_command("REPLICAOF", "127.0.0.1", str(place.redis_server.port))
    wait_for(lambda: second.info("replication")["master_link_status"] == "up", "the follower follows", 10)
    with sentinel(place) as port:
        watcher: Any = redis.Redis(port=port, decode_responses=True)
        wait_for(lambda: len(watcher.sentinel_slaves("main")) == 1, "Sentinel knows the follower", 15)
        service = place.start(
            REDIS_URL=None, REDIS_SENTINELS=f"127.0.0.1:{port}", REDIS_SENTINEL_MASTER="main"
        )
        yield Followed(service, second, watcher)
        watcher.close()
        service.kill()
    second.close()
    server.stop()


def running_on_both(place: Sandbox, pod_count: int) -> str:
    """An event whose workers run, which the follower knows too."""
    event_id = running(place, pod_count)
    assert place.redis.execute_command("WAIT", 1, 5000) == 1, "the follower has it all"
    return event_id


def told(at: Followed, event_id: str, kind: str, field: str) -> list[str]:
    """That field of each entry of the event that the follower's results stream has."""
    found = [fields for _, fields in at.follower.xrange("otto:scale:results")]
    return [f[field] for f in found if f["kind"] == kind and f["event_id"] == event_id]


@pytest.mark.timeout(300)
def test_failover_to_a_replica_loses_nothing_that_was_replicated(place: Sandbox) -> None:
    with followed(place) as at:
        event_id = running_on_both(place, 2)
        before = {p["metadata"]["uid"] for p in place.kube.workers(event_id)}
        place.redis_server.kill()
        wait_for(
            lambda: at.follower.info("replication")["role"] == "master",
            "the follower leads",
            FAILOVER_SECONDS,
        )
        wait_for(at.service.ready, "the service follows within 5 s", 6)
        assert {p["metadata"]["uid"] for p in place.kube.workers(event_id)} == before
        for pod in place.kube.workers(event_id):
            place.kube.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})
        wait_for(lambda: told(at, event_id, "event", "status"), "the event ends on the new master", 10)
        assert told(at, event_id, "event", "status") == ["succeeded"]
        place.wait_no_pods()


@pytest.mark.timeout(300)
def test_failover_that_was_asked_for_is_followed_while_the_old_master_still_serves(place: Sandbox) -> None:
    """What it answered in the 10 s until a Sentinel made it a replica was lost: workers ran twice."""
    with followed(place) as at:
        event_id = running_on_both(place, 1)
        # So that no Sentinel can make the old master a replica, however long this machine takes.
        place.redis.execute_command("ACL", "SETUSER", "default", "-slaveof", "-replicaof")
        at.sentinel.execute_command("SENTINEL", "FAILOVER", "main")
        wait_for(lambda: at.service.lines(action="redis_moved"), "the service follows", FAILOVER_SECONDS)
        assert place.redis.info("replication")["role"] == "master"
        for pod in place.kube.workers(event_id):
            place.kube.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})
        wait_for(
            lambda: told(at, event_id, "worker", "attempt"), "its worker's end is told by the new master", 10
        )
        assert told(at, event_id, "worker", "attempt") == ["0"]
