"""Redis over a Unix socket (``REDIS_URL=unix:///path``): the service and every tool."""

from __future__ import annotations

import json
import subprocess

import pytest
import redis

from tests.harness import preloaded
from tests.harness.sandbox import Sandbox

RUN_SHORTLY = 'env={"SIM_RUN_SECONDS": "0.2"}'


def use_the_socket(place: Sandbox, database: str) -> None:
    """From now on the sandbox's replicas, tools and observer use the socket, and this database."""
    number = int(database.partition("=")[2] or 0)
    place.settings["REDIS_URL"] = f"unix://{place.socket_path}{database}"
    place.redis.close()
    place.redis = redis.Redis(
        unix_socket_path=str(place.socket_path), db=number, decode_responses=True, socket_timeout=20
    )


def run(place: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(words, place.environment())


@pytest.mark.parametrize("database", ["", "?db=2"])
def test_the_main_job_is_done_over_a_unix_socket(place: Sandbox, database: str) -> None:
    use_the_socket(place, database)
    replica = place.start()
    ended = place.wait_event(place.scale_up(3, task_id="build-17"))
    assert (ended["status"], ended["succeeded"]) == ("succeeded", "3")
    place.wait_no_pods()
    place.wait_nothing_pending()
    assert replica.stop() == 0
    assert "Traceback" not in replica.log()


def test_every_tool_works_over_a_unix_socket(place: Sandbox) -> None:
    use_the_socket(place, "?db=2")
    checked = run(place, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"unix://{place.socket_path}?db=2 answers" in checked.stdout
    place.start()
    sent = run(place, "send", "scale_up", "pod_count=1", RUN_SHORTLY, "--wait", "--timeout", "40")
    assert sent.returncode == 0, sent.stderr
    place.wait_dead(place.send("nonsense"))
    told = json.loads(run(place, "status", "--json").stdout)
    assert (len(told["replicas"]), told["dead_letters"]["total"]) == (1, 1)
    dropped = run(place, "dead", "drop", "--all")
    assert (dropped.returncode, dropped.stdout) == (0, "1 dropped\n")


def test_a_unix_socket_that_is_not_there_is_named(place: Sandbox) -> None:
    missing = place.directory / "nonesuch.sock"
    place.settings["REDIS_URL"] = f"unix://{missing}"
    for word in ("check", "status"):
        ran = run(place, word)
        assert ran.returncode == 1
        assert str(missing) in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
