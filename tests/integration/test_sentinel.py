"""Failover: Sentinel makes a replica of Redis the master, and the service follows it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from ottoscaler.local.ports import free_port
from ottoscaler.local.redis_server import RedisServer, find_binary
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import running
from tests.harness.waiting import wait_for

# A Sentinel whose machine stood still for 2 s or more does nothing for 30 s. What is shorter is no failure.
DOWN_AFTER_MS = 2000
FAILOVER_SECONDS = 100.0


@contextmanager
def sentinel(place: Sandbox) -> Iterator[int]:
    """One Sentinel that watches the sandbox's Redis as ``main``; its port."""
    port, path = free_port(), place.directory / "sentinel.conf"
    path.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {place.directory}\n"
        f"sentinel monitor main 127.0.0.1 {place.redis_server.port} 1\n"
        f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\n"
        "sentinel failover-timeout main 5000\n"
    )
    with (place.directory / "sentinel.log").open("ab") as log:
        process = subprocess.Popen([find_binary(), str(path), "--sentinel"], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.timeout(300)
def test_failover_to_a_replica_loses_nothing_that_was_replicated(place: Sandbox) -> None:
    follower = RedisServer(place.directory / "follower", fsync="always")
    follower.start()
    second: Any = redis.Redis(port=follower.port, decode_responses=True)
    place.redis.config_set("repl-diskless-sync-delay", 0)  # for other followers, which do not come
    second.execute_command("REPLICAOF", "127.0.0.1", str(place.redis_server.port))
    wait_for(lambda: second.info("replication")["master_link_status"] == "up", "the follower follows", 10)
    with sentinel(place) as port:
        watcher: Any = redis.Redis(port=port, decode_responses=True)
        wait_for(lambda: len(watcher.sentinel_slaves("main")) == 1, "Sentinel knows the follower", 15)
        replica = place.start(
            REDIS_URL=None, REDIS_SENTINELS=f"127.0.0.1:{port}", REDIS_SENTINEL_MASTER="main"
        )
        event_id = running(place, 2)
        before = {p["metadata"]["uid"] for p in place.kube.workers(event_id)}
        assert place.redis.execute_command("WAIT", 1, 5000) == 1, "the follower has it all"
        place.redis_server.kill()
        wait_for(
            lambda: second.info("replication")["role"] == "master", "the follower leads", FAILOVER_SECONDS
        )
        wait_for(replica.ready, "the service follows within 5 s", 6)
        assert {p["metadata"]["uid"] for p in place.kube.workers(event_id)} == before
        for pod in place.kube.workers(event_id):
            place.kube.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})

        def ended() -> list[str]:
            found = [fields for _, fields in second.xrange("otto:scale:results")]
            return [f["status"] for f in found if f["kind"] == "event" and f["event_id"] == event_id]

        wait_for(ended, "the event ends on the new master", 10)
        assert ended() == ["succeeded"]
        place.wait_no_pods()
        watcher.close()
        replica.kill()
    second.close()
    follower.stop()


@pytest.mark.timeout(300)
def test_failover_that_was_asked_for_is_followed_while_the_old_master_still_serves(place: Sandbox) -> None:
    """What it answered in the 10 s until a Sentinel made it a replica was lost: workers ran twice."""
    follower = RedisServer(place.directory / "follower", fsync="always")
    follower.start()
    second: Any = redis.Redis(port=follower.port, decode_responses=True)
    place.redis.config_set("repl-diskless-sync-delay", 0)
    second.execute_command("REPLICAOF", "127.0.0.1", str(place.redis_server.port))
    wait_for(lambda: second.info("replication")["master_link_status"] == "up", "the follower follows", 10)
    with sentinel(place) as port:
        watcher: Any = redis.Redis(port=port, decode_responses=True)
        wait_for(lambda: len(watcher.sentinel_slaves("main")) == 1, "Sentinel knows the follower", 15)
        replica = place.start(
            REDIS_URL=None, REDIS_SENTINELS=f"127.0.0.1:{port}", REDIS_SENTINEL_MASTER="main"
        )
        event_id = running(place, 1)
        assert place.redis.execute_command("WAIT", 1, 5000) == 1, "the follower has it all"
        # So that no Sentinel can make the old master a replica, however long this machine takes.
        place.redis.execute_command("ACL", "SETUSER", "default", "-slaveof", "-replicaof")
        watcher.execute_command("SENTINEL", "FAILOVER", "main")
        wait_for(lambda: replica.lines(action="redis_moved"), "the service follows", FAILOVER_SECONDS)
        assert place.redis.info("replication")["role"] == "master"
        for pod in place.kube.workers(event_id):
            place.kube.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})

        def ended() -> list[str]:
            found = [fields for _, fields in second.xrange("otto:scale:results")]
            return [f["attempt"] for f in found if f["kind"] == "worker" and f["event_id"] == event_id]

        wait_for(ended, "its worker's end is recorded by the new master", 10)
        assert ended() == ["0"]
        watcher.close()
        replica.kill()
    second.close()
    follower.stop()
