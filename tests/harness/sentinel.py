"""A Sentinel beside the sandbox's Redis."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import redis

from ottoscaler.local.ports import free_port
from ottoscaler.local.redis_server import find_binary
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

# A Sentinel whose machine stood still for 2 s or more does nothing for 30 s. What is shorter is no failure.
DOWN_AFTER_MS = 2000


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
        wait_for(partial(_answers, port), "the Sentinel answers")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False
