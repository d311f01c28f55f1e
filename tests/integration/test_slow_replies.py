"""A proxy that passes on Redis's replies byte by byte holds no command for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ottoscaler.client import Client, WaitTimeout
from ottoscaler.errors import NoAnswer
from ottoscaler.ledger import paced_replies
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.local.redis_server import RedisServer
from tests.harness.proxy import Proxy
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]

TIMEOUT = 0.2
MOST_TIMES = 3  # a reply may take so many timeouts


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    made = Proxy(redis_server.port)
    yield made
    made.close()


@pytest.fixture(params=[False, True])
def client(request: pytest.FixtureRequest, book: Book, proxy: Proxy) -> Iterator[RedisClient]:
    settings = replace(book.settings, redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    made = RedisClient(settings, answer_seconds=TIMEOUT, bounded_entries=request.param)
    yield made
    made.close()


def test_reply_that_drips_is_given_up_and_the_next_one_is_read(client: RedisClient, proxy: Proxy) -> None:
    client.command("SET", "key", "v" * 100)
    proxy.drip(TIMEOUT / 2)
    begun = time.monotonic()
    with pytest.raises(NoAnswer, match="of a reply have come, and no more for too long"):
        client.command("GET", "key")
    assert time.monotonic() - begun < (MOST_TIMES + 1) * TIMEOUT
    proxy.drip(0.0)
    assert client.command("GET", "key") == b"v" * 100


def test_large_reply_over_a_slow_line_is_read_to_its_end(
    client: RedisClient, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paced_replies, "LEAST_BYTES", 2)
    client.command("SET", "key", "v" * 30)
    proxy.drip(TIMEOUT / 10)
    begun = time.monotonic()
    assert client.command("GET", "key") == b"v" * 30
    assert time.monotonic() - begun > MOST_TIMES * TIMEOUT


@pytest.mark.parametrize("hangs", ["it hangs", "its replies drip"])
def test_wait_ends_in_its_time_while_redis_hangs(book: Book, proxy: Proxy, hangs: str) -> None:
    """Before, the last read had 3 s, whatever was left of the time."""
    event_id = str(book.redis.xadd("otto:scale:events", {"type": "scale_up"}))
    with Client(f"redis://127.0.0.1:{proxy.port}/0") as client:
        looks = []

        def look(problem: str) -> None:
            looks.append(problem)
            if len(looks) == 2:
                proxy.hang() if hangs == "it hangs" else proxy.drip(0.15)

        begun = time.monotonic()
        with pytest.raises(WaitTimeout, match="Redis is unavailable"):
            client.wait(event_id, 2.0, on_look=look)
        assert 1.9 < time.monotonic() - begun < 2.8
        proxy.flow()
        proxy.drip(0.0)
        with pytest.raises(WaitTimeout) as raised:
            client.wait(event_id, 0.3)
        assert "unavailable" not in str(raised.value)
