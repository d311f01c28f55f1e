"""docs/redis.md: each ACL line is loaded as it stands, and may do what its table says, and nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from ottoscaler.client import Client
from ottoscaler.config import load as config
from ottoscaler.ledger import pause
from ottoscaler.ledger.redis_client import RedisClient
from tests.harness import preloaded
from tests.harness.cluster_state import FOREVER
from tests.harness.redis_cluster import NAMES, RedisClusterServers, redis_cluster
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "redis.md").read_text(encoding="utf-8")
FOUND = re.findall(r"^    (ACL SETUSER .*)$", PAGE, re.MULTILINE)
LINES = {words[2]: words for words in map(shlex.split, FOUND)}
EVENTS, RESULTS, DEAD = "otto:scale:events", "otto:scale:results", "otto:scale:dead"
NOBODY_S = [
    ("FLUSHALL",), ("CONFIG", "GET", "*"), ("SHUTDOWN", "NOSAVE"), ("ACL", "LIST"), ("KEYS", "*"),
    ("MONITOR",), ("GET", "other"), ("SET", "other", "1"), ("XADD", "other", "*", "a", "b"),
    ("CLIENT", "KILL", "ID", "1"),
    ("PUBLISH", "a", "b"), ("EVAL", "return redis.call('GET', 'other')", "0"), ("REPLICAOF", "NO", "ONE"),
]  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with sandbox(OTTO_RETENTION_SECONDS="8") as made:
        for words in LINES.values():
            made.redis.execute_command(*words)
        replica = made.start("served", REDIS_URL=url(made, "otto-service"))
        yield made
        replica.kill()


def url(place: Sandbox, user: str) -> str:
    return place.redis_server.url.replace("redis://", f"redis://{user}:PASSWORD@")


def as_user(place: Sandbox, user: str) -> Any:
    return redis.Redis.from_url(url(place, user), decode_responses=True, socket_timeout=20)


def denied(place: Sandbox, user: str) -> list[str]:
    """What Redis has refused the user since the last call, by its own log. Its client's name is not counted:
    redis-py tells it to Redis 7.2 or newer and to Valkey, and can do without."""
    found = [entry["object"] for entry in place.redis.acl_log() if entry["username"] == user]
    place.redis.acl_log_reset()
    return [each for each in found if each != "client|setinfo"]


def may_not(place: Sandbox, user: str, *commands: tuple[str, ...]) -> None:
    with as_user(place, user) as client:
        for words in (*NOBODY_S, *commands):
            with pytest.raises((NoPermissionError, redis.ResponseError), match=r"permission|NOPERM|can't"):
                client.execute_command(*words)
    place.redis.acl_log_reset()


def test_page_has_a_line_for_each_role() -> None:
    assert list(LINES) == ["otto-producer", "otto-reader", "otto-ci", "otto-operator", "otto-service"]
    assert all(words[3] == "reset" for words in LINES.values())
    assert " ".join(LINES["otto-service"]) in (DOCS / "kubernetes.md").read_text(encoding="utf-8")


def test_producer_adds_and_does_nothing_else(place: Sandbox) -> None:
    with as_user(place, "otto-producer") as client:
        event_id = client.xadd(
            EVENTS, {"type": "scale_up", "pod_count": "1", "env": '{"SIM_RUN_SECONDS": "0.1"}'}
        )
    with Client(url(place, "otto-producer")) as made:
        second = made.scale_up(1, task_id="t", env={"SIM_RUN_SECONDS": "0.1"})
    third = run(
        place, "send", "scale_up", "pod_count=1", 'env={"SIM_RUN_SECONDS": "0.1"}', user="otto-producer"
    )
    assert set(denied(place, "otto-producer")) <= {"ping"}  # which the client can do without
    assert place.wait_event(third.split()[0])["status"] == "succeeded"
    assert place.wait_event(event_id)["status"] == place.wait_event(second)["status"] == "succeeded"
    may_not(
        place,
        "otto-producer",
        ("XRANGE", EVENTS, "-", "+"),
        ("XTRIM", EVENTS, "MAXLEN", "0"),
        ("XDEL", EVENTS, event_id),
        ("DEL", EVENTS),
        ("XADD", RESULTS, "*", "kind", "event"),
        ("XREAD", "STREAMS", RESULTS, "0"),
    )


def test_reader_reads_what_came_back_and_does_nothing_else(place: Sandbox) -> None:
    event_id = place.scale_up(1)
    place.wait_event(event_id)
    with Client(url(place, "otto-reader")) as made:
        assert made.wait(event_id, timeout=30).status == "succeeded"
        assert [r.event_id for r in made.results(event_id=event_id)] == [event_id, event_id]
    with as_user(place, "otto-reader") as client:
        assert client.xread({RESULTS: "0", DEAD: "0"}, count=1)
        assert client.xlen(RESULTS) > 0
        assert client.xrevrange(RESULTS, count=1)
    assert set(denied(place, "otto-reader")) <= {f"{EVENTS}:ottoscaler:event:{event_id}", "hmget", EVENTS}
    may_not(
        place,
        "otto-reader",
        ("XADD", EVENTS, "*", "type", "scale_up"),
        ("XADD", RESULTS, "*", "kind", "event"),
        ("XDEL", DEAD, "1-0"),
        ("XTRIM", RESULTS, "MAXLEN", "0"),
        ("XRANGE", EVENTS, "-", "+"),
    )


def test_producer_that_waits_sends_and_reads(place: Sandbox) -> None:
    with Client(url(place, "otto-ci")) as made:
        event_id = made.scale_up(1, env={"SIM_RUN_SECONDS": "0.1"})
        assert made.wait(event_id, timeout=30).status == "succeeded"
    words = ("pod_count=1", "task_id=ci", 'env={"SIM_RUN_SECONDS": "0.1"}')
    sent = run(place, "send", "scale_up", *words, "--wait", user="otto-ci")
    event_id = re.findall(r"[0-9]+-[0-9]+", sent)[0]
    assert "succeeded" in run(place, "wait", event_id, user="otto-ci")
    assert event_id in run(place, "results", "--task", "ci", user="otto-ci")
    running = place.scale_up(1, run_seconds=FOREVER, task_id="ci-cancel")
    place.wait_workers(running, "Running", 1)
    run(place, "cancel", "ci-cancel", user="otto-ci")
    assert place.wait_event(running)["status"] == "cancelled"
    # What a waiting event looks up in the ledger is a kindness that it can do without.
    assert not [each for each in denied(place, "otto-ci") if each in (EVENTS, RESULTS, DEAD)]
    may_not(
        place,
        "otto-ci",
        ("XADD", RESULTS, "*", "kind", "event"),
        ("XRANGE", EVENTS, "-", "+"),
        ("XDEL", DEAD, "1-0"),
    )


def test_the_further_bracket_lets_a_producer_read_kept_logs(place: Sandbox) -> None:
    failed = place.scale_up(1, env={"SIM_EXIT_CODE": "3"}, logs="failed")
    place.wait_event(failed)
    (bracket,) = re.findall(r'^    "(\(.*:log:.*\))"$', PAGE, re.MULTILINE)
    assert "no permissions to run the 'smembers' command" in run(
        place, "logs", failed, user="otto-ci", code=1
    )
    place.redis.execute_command(*LINES["otto-ci"], bracket)
    try:
        assert "==> worker 0, attempt 0 <==" in run(place, "logs", failed, user="otto-ci")
    finally:
        place.redis.execute_command(*LINES["otto-ci"])
        place.redis.acl_log_reset()


def test_operator_looks_replays_drops_cancels_and_pauses_and_changes_nothing_else(place: Sandbox) -> None:
    running = place.scale_up(1, run_seconds=FOREVER, task_id="to-cancel")
    place.wait_workers(running, "Running", 1)
    bad = [place.send("scale_up", pod_count="0") for _ in range(2)]
    for event_id in bad:
        place.wait_dead(event_id)
    place.redis.acl_log_reset()
    assert running in run(place, "status", "--json")
    assert bad[0] in run(place, "dead", "list")
    assert "->" in run(place, "dead", "replay", bad[0])
    run(place, "dead", "drop", bad[1])
    told = run(place, "check", code=None)
    assert "may not" not in told
    redis_client = RedisClient(config.load({"REDIS_URL": url(place, "otto-operator")}))
    assert "paused" in run(place, "pause")
    assert pause.paused_since(redis_client)
    run(place, "resume")
    assert not pause.paused_since(redis_client)
    redis_client.close()
    run(place, "cancel", "to-cancel")
    assert place.wait_event(running)["status"] == "cancelled"
    failed = place.scale_up(1, env={"SIM_EXIT_CODE": "3"})
    place.wait_event(failed)
    assert "==> worker 0, attempt 0 <==" in run(place, "logs", failed)
    assert denied(place, "otto-operator") == []
    may_not(
        place,
        "otto-operator",
        ("DEL", f"{EVENTS}:ottoscaler:low-water"),
        ("HSET", f"{EVENTS}:ottoscaler:event:{running}", "owner", "me"),
        ("XDEL", EVENTS, running),
        ("XADD", RESULTS, "*", "kind", "event"),
        ("EVAL", "return redis.call('DEL', KEYS[1])", "1", EVENTS),
    )


def test_service_does_all_its_work_and_is_refused_nothing(place: Sandbox) -> None:
    place.redis.acl_log_reset()
    event_id = place.scale_up(2, run_seconds=FOREVER, task_id="service")
    place.wait_workers(event_id, "Running", 2)
    large = place.redis.xadd(EVENTS, {"type": "scale_up", **{f"{i:x}": "" for i in range(3100)}})
    second = place.start("second", REDIS_URL=url(place, "otto-service"))
    place.replicas[0].kill()
    down = place.send("scale_down", task_id="service")
    assert place.wait_event(down)["cancelled"] == "2"
    place.wait_dead(large)
    assert second.stop() == 0
    third = place.start("third", REDIS_URL=url(place, "otto-service"), OTTO_RETENTION_SECONDS="1")
    ended = place.scale_up(1)

    def expired() -> bool:
        delivered = place.redis.xinfo_groups(EVENTS)[0]["last-delivered-id"] == ended
        return (
            delivered and not place.pending() and not place.redis.exists(f"{EVENTS}:ottoscaler:event:{ended}")
        )

    wait_for(expired, "housekeeping lets it go")
    assert denied(place, "otto-service") == []
    assert "NOPERM" not in second.log() + third.log()
    may_not(place, "otto-service", ("MIGRATE", "h", "1", EVENTS, "0", "1"), ("CLIENT", "LIST"))


def test_service_follows_a_cluster_s_slot_with_the_line_for_it(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as nodes, sandbox() as place:
        served_by_a_cluster(nodes, place)


def served_by_a_cluster(nodes: RedisClusterServers, place: Sandbox) -> None:
    words = [word.replace("~otto:", "~{otto}:") for word in LINES["otto-service"]]
    for node in nodes.nodes:
        node.execute_command(*words, "+cluster|slots")
    other = (nodes.owner + 1) % 3
    at = nodes.servers[other].url.replace("redis://", "redis://otto-service:PASSWORD@")
    settings: dict[str, Any] = NAMES
    replica = place.start(None, REDIS_URL=at, **settings)
    owner = nodes.nodes[nodes.owner]
    fields = {"type": "scale_up", "pod_count": "1", "env": '{"SIM_RUN_SECONDS": "0.1"}'}
    for _ in range(2):
        owner.xadd(NAMES["REDIS_STREAM"], {**fields, "dedup_key": "k"})
    told = wait_for(
        lambda: (
            [f["status"] for _, f in owner.xrange(NAMES["REDIS_RESULTS_STREAM"]) if f["kind"] == "event"][1:]
            and [f["status"] for _, f in owner.xrange(NAMES["REDIS_RESULTS_STREAM"]) if f["kind"] == "event"]
        ),
        "both events end",
    )
    assert sorted(told) == ["duplicate", "succeeded"]
    assert replica.stop() == 0
    assert [e for node in nodes.nodes for e in node.acl_log() if e["username"] == "otto-service"] == []


def run(place: Sandbox, *words: str, user: str = "otto-operator", code: int | None = 0) -> str:
    """A command of ours as that user; what it printed. Only the operator has the service's settings."""
    env = place.environment(REDIS_URL=url(place, user))
    if user != "otto-operator":
        env = {name: env[name] for name in ("PATH", "HOME", "REDIS_URL")}
    ran = preloaded.run(words, env)
    assert code is None or ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_service_that_may_not_acknowledge_says_so_and_check_finds_it(place: Sandbox) -> None:
    """Its scripts acknowledge without a word, so before, only the growing pending list told of it."""
    words = [*LINES["otto-service"], "-xack"]
    place.redis.execute_command(*words[:2], "mute", *words[3:])
    for replica in place.replicas:
        replica.kill()
    mute = place.start("mute", REDIS_URL=url(place, "mute"))
    event_id = place.scale_up(1, env={"SIM_RUN_SECONDS": "0.1"})
    assert place.wait_event(event_id)["status"] == "succeeded"
    told = wait_for(lambda: mute.lines(action="ack_refused"), "the log tells of it")
    assert told[0]["message"].startswith(
        "Redis refuses XACK, so events that have ended stay in the pending list"
    )
    warning = f"event {event_id} has ended, and is pending still: may the service's Redis user run XACK"
    place.redis.acl_log_reset()
    assert warning in run(place, "check", code=None)
    assert denied(place, "otto-operator") == []
    mute.kill()
    place.start("served-again", REDIS_URL=url(place, "otto-service"))
    wait_for(lambda: place.redis.xpending(EVENTS, "ottoscaler")["pending"] == 0, "it is acknowledged", 60)
    assert "is pending still" not in run(place, "check", code=None)
