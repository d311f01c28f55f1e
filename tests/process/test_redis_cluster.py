"""Redis Cluster is refused with one sentence, not met with errors for ever."""

from __future__ import annotations

from pathlib import Path

from ottoscaler.local.ports import free_port
from ottoscaler.local.redis_server import RedisServer
from tests.harness.sandbox import Sandbox


def test_redis_cluster_is_refused_with_one_sentence_and_code_2(place: Sandbox, tmp_path: Path) -> None:
    # Its bus takes the port 10,000 above by default, which a free port may not have.
    arguments = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server = RedisServer(tmp_path, 0, arguments=arguments)
    server.start()
    try:
        replica = place.start(ready=False, REDIS_URL=server.url)
        assert replica.wait(10) == 2
        (line,) = replica.lines(action="redis_cluster")
        assert "set REDIS_STREAM={otto}:scale:events, REDIS_RESULTS_STREAM={otto}:" in line["message"]
    finally:
        server.stop()
