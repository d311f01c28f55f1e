"""The ``redis-cli`` of a machine that has none, held to the real one where there is one."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ottoscaler.local import redis_cli
from ottoscaler.local.redis_server import RedisServer

OURS = [sys.executable, "-I", redis_cli.__file__]
COMMANDS = (
    ("PING",),
    ("SET", "a", 'x "y" \\ é\n'),
    ("GET", "a"),
    ("GET", "nothing"),
    ("INCR", "a"),
    ("INCR", "n"),
    ("XADD", "s", "1-1", "type", "scale_up", "command", "echo hi"),
    ("XADD", "s", "1-2", "type", "x"),
    ("XRANGE", "s", "-", "+"),
    ("XREAD", "STREAMS", "s", "0"),
    ("XRANGE", "none", "-", "+"),
    ("KEYS", "*"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.stop()


def ask(program: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *words], capture_output=True, text=True, timeout=30, check=False)


def on_a_terminal(words: list[str]) -> str:
    ours, theirs = pty.openpty()
    subprocess.run(words, stdout=theirs, timeout=30, check=True)
    os.close(theirs)
    text = os.read(ours, 65536).decode().replace("\r\n", "\n")
    os.close(ours)
    return text


# Where there is no redis-cli, there is nothing to hold it to.
@pytest.mark.parametrize("real", [path for path in [shutil.which("redis-cli")] if path])
def test_replies_are_written_as_redis_cli_writes_them(real: str, server: RedisServer) -> None:
    def replies(program: list[str]) -> list[str]:
        ask([real, "-u", server.url], "FLUSHALL")
        return [ask([*program, "-u", server.url], *words).stdout for words in COMMANDS]

    # after an error some versions print one empty line more
    ours, theirs = ([reply.rstrip("\n") for reply in replies(program)] for program in (OURS, [real]))
    assert ours == theirs
    ask([real, "-u", server.url], "SET", "a", 'x "y" \\')
    for words in (("GET", "a"), ("GET", "nothing"), ("INCR", "a"), ("XRANGE", "s", "-", "+"), ("DBSIZE",)):
        shown = on_a_terminal([*OURS, "-u", server.url, *words])
        assert shown == ask([real, "--no-raw", "-u", server.url], *words).stdout


def test_later_address_wins(server: RedisServer) -> None:
    assert ask(OURS, "-u", "redis://127.0.0.1:1/0", "-p", str(server.port), "PING").stdout == "PONG\n"


def test_redis_that_is_away_is_one_sentence_and_1(tmp_path: Path) -> None:
    done = ask(OURS, "-u", "redis://127.0.0.1:1/0", "PING")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "redis-cli: Could not connect to Redis at 127.0.0.1:1: Connection refused\n"


@pytest.mark.parametrize(
    "words", [(), ("-u",), ("--scan",), ("-p", "x", "PING"), ("-u", "rediss://a", "PING")]
)
def test_what_it_cannot_do_is_one_sentence_and_2(words: tuple[str, ...]) -> None:
    done = ask(OURS, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "redis-tools" in done.stderr
    assert len(done.stderr.splitlines()) == 1
