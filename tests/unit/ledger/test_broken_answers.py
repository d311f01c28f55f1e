"""Bytes that are not Redis's, as a broken proxy sends them: our error, and the next connection works."""

from __future__ import annotations

import pytest

from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisError
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.redis_connections import sentinel_clients
from tests.harness.scripted_server import ScriptedServer

ANSWERS = {
    "no number": b":abc\r\n",
    "no length": b"$abc\r\n",
    "no size": b"*abc\r\n",
    "nested too deep": b"*1\r\n" * 20_000,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": b"\0" * 30 + b"\r\n",
}


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_not_redis_s(answer: str, bounded: bool) -> None:
    pings = 0

    def reply(_: int, request: bytes) -> tuple[bytes, bool]:
        nonlocal pings
        if b"PING" not in request:  # redis-py introduces itself
            return b"+OK\r\n" * request.count(b"SETINFO"), True
        pings += 1
        return ANSWERS[answer] if pings == 1 else b"+PONG\r\n", True

    server = ScriptedServer(reply)
    settings = Settings(redis_url=f"redis://127.0.0.1:{server.port}", redis_consumer="a")
    client = RedisClient(settings, bounded_entries=bounded, name="")
    try:
        with pytest.raises(RedisError):
            client.command("PING")
        assert client.command("PING") == b"PONG"
        assert server.connections == 2
    finally:
        client.close()
        server.close()


@pytest.mark.parametrize(
    "answer", [b":7\r\n", b"$-1\r\n", b"+OK\r\n", b"*1\r\n:7\r\n", b"*1\r\n*2\r\n+ip\r\n:7\r\n"]
)
def test_the_next_sentinel_is_asked_where_one_answers_nonsense(answer: bytes) -> None:
    """Before, redis-py's TypeError ended the thread that asked."""
    server = ScriptedServer(lambda _, request: (b"+OK\r\n" * request.count(b"SETINFO") or answer, True))
    settings = Settings(
        redis_sentinels=(("127.0.0.1", server.port),), redis_sentinel_master="m", redis_consumer="a"
    )
    (sentinel,) = sentinel_clients(settings)
    client = RedisClient(settings, name="")
    try:
        for ask in (sentinel.master, lambda: client.command("PING")):
            with pytest.raises(
                RedisError, match=r"No master found for 'm'; these Sentinels could not be asked"
            ):
                ask()
    finally:
        client.close()
        server.close()
