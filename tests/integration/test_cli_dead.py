"""``dead``, ``status`` and ``send`` on a real Redis, with no service near."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ottoscaler.config.settings import Settings
from ottoscaler.ledger.bounded_replies import FIRST_FIELDS_ONLY
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.local.redis_server import RedisServer
from tests.harness.preloaded import run

EVENTS, DEAD = "otto:scale:events", "otto:scale:dead"
MANY_FIELDS = 3100  # more than one script takes (ledger.MOST_FIELDS_IN_A_SCRIPT)


class Desk:
    """An operator's shell: a Redis, and the command line."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.redis: Any = redis.Redis.from_url(server.url, socket_timeout=20)
        who = ReplicaIdentity("replica", "one")
        self.ledger = Ledger(RedisClient(Settings(redis_url=server.url)), who)
        who.join(self.ledger.join_installation("f00d"))

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "REDIS_URL": self.server.url, **environment}
        return run(words, env)

    def dead_letter(self, *fields: tuple[bytes, bytes], error: str = "it is bad") -> str:
        """An event that the service gave up; its id."""
        event_id: str = self.redis.execute_command("XADD", EVENTS, "*", "type", "x").decode()
        assert self.ledger.dead_letter(event_id, error, fields)
        return event_id

    def fields(self, event_id: str) -> list[bytes]:
        """An entry of the stream as it stands, names and values in turn."""
        self.redis.response_callbacks.clear()
        (entry,) = self.redis.execute_command("XRANGE", EVENTS, event_id, event_id)
        return list(entry[1])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    server = RedisServer(tmp_path, 0, fsync="no")
    server.start()
    try:
        yield Desk(server)
    finally:
        server.stop()


def test_a_replayed_event_has_its_own_fields_byte_by_byte(desk: Desk) -> None:
    own = ((b"type", b"scale_up"), (b"x", b"\xff\x00\n"), (b"field:y", b""), (b"x", b"again"))
    old = desk.dead_letter(*own)
    ran = desk.run("dead", "replay", old)
    assert ran.returncode == 0
    before, _, after = ran.stdout.strip().partition(" -> ")
    assert before == old
    assert desk.fields(after) == [part for pair in own for part in pair]
    assert desk.redis.xlen(DEAD) == 0


def test_an_event_of_very_many_fields_is_replayed_too(desk: Desk) -> None:
    own = [(f"n{i}".encode(), "é".encode()) for i in range(MANY_FIELDS)]
    old = desk.dead_letter(*own)
    ran = desk.run("dead", "replay", old)
    assert ran.returncode == 0, ran.stderr
    assert desk.fields(ran.stdout.split()[-1]) == [part for pair in own for part in pair]


def test_a_dead_letter_is_known_by_its_own_id_as_well(desk: Desk) -> None:
    desk.dead_letter((b"type", b"x"))
    listed = json.loads(desk.run("dead", "list", "--json").stdout)
    assert listed["schema_version"] == 1
    (letter,) = listed["dead_letters"]
    assert letter["fields"] == [["type", "x"]]
    assert desk.run("dead", "drop", letter["id"]).stdout == "1 dropped\n"
    assert desk.redis.xlen(DEAD) == 0


def test_an_unknown_id_is_named_and_the_others_are_served(desk: Desk) -> None:
    old = desk.dead_letter((b"type", b"x"))
    ran = desk.run("dead", "replay", "77-0", old)
    assert ran.returncode == 1
    assert "77-0" in ran.stderr
    assert ran.stdout.startswith(f"{old} -> ")


def test_an_event_that_was_not_read_whole_cannot_be_replayed_and_stays(desk: Desk) -> None:
    desk.dead_letter(error="the entry was deleted from the stream before it was read")
    down = ((b"type", b"scale_down"), (b"task_id", b"t"))  # it had running=keep behind a huge field
    earlier = "Only its first fields, up to 1048576 bytes, were read"  # as earlier commits ended it
    for end in (FIRST_FIELDS_ONLY, earlier):
        desk.dead_letter(*down, error=f"the event has 2000052 bytes; the limit is 65536. {end}")
    length = desk.redis.xlen(EVENTS)
    ran = desk.run("dead", "replay", "--all")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "nobody read the fields" in ran.stderr
    assert ran.stderr.count("only the first fields") == 2
    assert (desk.redis.xlen(EVENTS), desk.redis.xlen(DEAD)) == (length, 3)


def test_a_full_redis_refuses_a_replay_and_keeps_the_dead_letter(desk: Desk) -> None:
    old = desk.dead_letter((b"type", b"x"))
    length = desk.redis.xlen(EVENTS)
    desk.redis.config_set("maxmemory", "1")
    ran = desk.run("dead", "replay", old)
    assert ran.returncode == 1
    assert "It is full" in ran.stderr
    assert (desk.redis.xlen(EVENTS), desk.redis.xlen(DEAD)) == (length, 1)


def test_all_dead_letters_are_replayed_or_dropped_page_by_page(desk: Desk) -> None:
    for number in range(3):
        desk.dead_letter((b"n", str(number).encode()))
    assert len(desk.run("dead", "replay", "--all").stdout.splitlines()) == 3
    for number in range(2):
        desk.dead_letter((b"n", str(number).encode()))
    assert desk.run("dead", "drop", "--all").stdout == "2 dropped\n"


def test_the_list_shows_the_newest_first_and_no_escape_sequence(desk: Desk) -> None:
    desk.dead_letter((b"task_id", b"first"))
    desk.dead_letter((b"task_id", b"\x1b[2Jsecond"))
    lines = desk.run("dead", "list").stdout.splitlines()
    assert [line.split()[4] for line in lines[1:]] == ["\\x1b[2Jsecond", "first"]
    assert len(desk.run("dead", "list", "--count", "1").stdout.splitlines()) == 2


def test_status_of_a_redis_that_nobody_has_used_yet(desk: Desk) -> None:
    desk.redis.flushall()
    ran = desk.run("status")
    assert ran.returncode == 0
    assert "Replicas: 0 alive, 0 silent" in ran.stdout
    document = json.loads(desk.run("status", "--json").stdout)
    assert (document["schema_version"], document["installation"], document["events"]) == (1, "", [])
    assert desk.redis.keys() == []


def test_status_counts_what_no_group_has_read(desk: Desk) -> None:
    desk.redis.xadd(EVENTS, {"type": "scale_up"})
    assert json.loads(desk.run("status", "--json").stdout)["backlog"]["lag"] == 1


def test_status_leaves_out_settings_that_it_does_not_need(desk: Desk) -> None:
    assert desk.run("status", KUBECONFIG="/nowhere", OTTO_MAX_WORKERS="none").returncode == 0
    assert desk.run("status", REDIS_DB="-1").returncode == 2


def waiting(desk: Desk, seconds: str) -> subprocess.Popen[str]:
    """``send --wait`` in the background, where nobody serves."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ottoscaler",
            "send",
            "scale_up",
            "pod_count=1",
            "--wait",
            "--timeout",
            seconds,
        ],
        env={"PATH": os.environ["PATH"], "REDIS_URL": desk.server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_waiting_ends_by_the_ledger_where_the_results_were_trimmed(desk: Desk) -> None:
    with waiting(desk, "20") as process:
        assert process.stdout is not None
        event_id = process.stdout.readline().strip()
        key = f"otto:scale:events:ottoscaler:event:{event_id}"
        desk.redis.hset(key, mapping={"state": "done", "status": "partial"})
        _, told = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"event {event_id} partial" in told


def test_another_events_end_is_not_taken_for_its_own(desk: Desk) -> None:
    with waiting(desk, "1.5") as process:
        assert process.stdout is not None
        process.stdout.readline()
        desk.redis.xadd("otto:scale:results", {"kind": "event", "event_id": "1-1", "status": "succeeded"})
        _, told = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "has not ended" in told
