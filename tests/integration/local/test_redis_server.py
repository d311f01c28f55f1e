"""The Redis that comes along: its data outlives a crash, and its port a restart."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import redis

from ottoscaler.local import LocalCluster
from ottoscaler.local.redis_server import RedisFailed, RedisServer


def test_data_outlives_a_kill_on_the_same_port(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, fsync="always")
    server.start()
    try:
        port = server.port
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "1")
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        server.kill()
        with pytest.raises(redis.ConnectionError), redis.Redis.from_url(server.url) as client:
            client.ping()
        server.start()
        assert server.port == port
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") == b"1"
    finally:
        server.stop()
    assert server.pid is None


def test_port_that_is_taken_is_told(tmp_path: Path) -> None:
    first = RedisServer(tmp_path / "1")
    first.start()
    try:
        taken = RedisServer(tmp_path / "2", first.port)
        with pytest.raises(RedisFailed, match=str(first.port)):
            taken.start()
    finally:
        first.stop()


def test_restart_from_a_thread_that_ends_keeps_redis() -> None:
    """A child with PDEATHSIG dies with the thread that forked it: the cluster's own thread must do it."""
    with LocalCluster(None) as cluster:
        thread = threading.Thread(target=lambda: cluster.redis.restart(crash=True))
        thread.start()
        thread.join()
        with redis.Redis.from_url(cluster.redis_url) as client:
            assert client.ping()
