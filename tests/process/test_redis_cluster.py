"""Redis Cluster is refused with one sentence, not met with errors for ever."""

from __future__ import annotations

from pathlib import Path

from ottoscaler.local.redis_server import RedisServer
from tests.harness.world import World


def test_redis_cluster_is_refused_with_one_sentence_and_code_2(place: World, tmp_path: Path) -> None:
    server = RedisServer(tmp_path, 0, arguments=("--cluster-enabled", "yes"))
    server.start()
    try:
        replica = place.start(ready=False, REDIS_URL=server.url)
        assert replica.wait(10) == 2
        (line,) = replica.lines(action="redis_cluster")
        assert "Sentinel" in line["message"]
    finally:
        server.stop()
