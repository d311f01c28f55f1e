"""``send`` and ``status`` beside a running service."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import preloaded
from tests.harness.sandbox import Sandbox
from tests.harness.terminal import ends_without_its_reader
from tests.harness.waiting import stays, wait_for

ROOT = Path(__file__).parents[2]
RUN_ONE_SECOND = 'env={"SIM_RUN_SECONDS": "1"}'
RUN_FOR_EVER = 'env={"SIM_RUN_SECONDS": "inf"}'
FAIL = 'env={"SIM_RUN_SECONDS": "0.1", "SIM_EXIT_CODE": "3"}'


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "ottoscaler", *words]


def run(place: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(words, place.environment())


def names(document: Any) -> set[str]:
    """All names of a JSON document, however deep."""
    if isinstance(document, list):
        return set().union(*map(names, document))
    if isinstance(document, dict):
        return set(document).union(*map(names, document.values()))
    return set()


def status(place: Sandbox) -> dict[str, Any]:
    ran = run(place, "status", "--json")
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_send_prints_the_id_alone_and_waits_for_success(place: Sandbox) -> None:
    place.start()
    ran = run(
        place, "send", "scale_up", "pod_count=2", "task_id=t", RUN_ONE_SECOND, "--wait", "--timeout", "40"
    )
    assert ran.returncode == 0, ran.stderr
    event_id = ran.stdout.strip()
    assert place.results("event", event_id)[0]["status"] == "succeeded"
    lines = ran.stderr.splitlines()
    assert [line.split()[:3] for line in sorted(lines)[1:]] == [
        ["worker", "0", "succeeded"],
        ["worker", "1", "succeeded"],
    ]
    assert "\x1b" not in ran.stderr


def test_send_exits_with_1_where_the_event_fails_and_tells_why(place: Sandbox) -> None:
    place.start()
    ran = run(place, "send", "scale_up", "pod_count=1", FAIL, "--wait", "--timeout", "40")
    assert ran.returncode == 1
    assert "worker 0 failed (Error exit 3)" in ran.stderr


def test_send_gives_up_waiting_and_the_event_stays(place: Sandbox) -> None:
    ran = run(place, "send", "scale_up", "pod_count=1", "--wait", "--timeout", "0.5")
    assert ran.returncode == 1
    assert "has not ended within 0.5 s; it waits or runs; `ottoscaler status` shows which" in ran.stderr
    assert place.redis.xlen("otto:scale:events") == 1


def test_waiting_survives_a_restart_of_redis(place: Sandbox) -> None:
    place.start()
    waiting = subprocess.Popen(
        command("send", "scale_up", "pod_count=1", RUN_ONE_SECOND, "--wait", "--timeout", "50"),
        env=place.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: place.redis.xlen("otto:scale:events") == 1, "it was sent")
    place.redis_server.stop()
    place.redis_server.start()
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    assert place.results("event", out.strip())


def test_a_terminal_sees_a_progress_bar(place: Sandbox) -> None:
    place.start()
    master, slave = pty.openpty()
    try:
        words = ("send", "scale_up", "pod_count=2", RUN_ONE_SECOND, "--wait", "--timeout", "40")
        env = place.environment(TERM="xterm")
        ran = subprocess.Popen(command(*words), env=env, stdout=subprocess.PIPE, stderr=slave)
        out, _ = ran.communicate(timeout=60)
        shown = os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert ran.returncode == 0
    assert out.decode().strip().count("-") == 1
    assert "[............" in shown
    assert "2/2" in shown


def test_status_tells_of_replicas_events_and_their_workers(place: Sandbox) -> None:
    place.start("first", OTTO_MAX_WORKERS=3)
    event_id = run(place, "send", "scale_up", "pod_count=5", "task_id=job", RUN_FOR_EVER).stdout.strip()
    place.wait_workers(event_id, "Running", 3)
    shown = status(place)
    (replica,) = shown["replicas"]
    assert (replica["consumer"], replica["state"]) == ("first", "alive")
    assert (replica["workers"], replica["workers_max"]) == (3, 3)
    (event,) = shown["events"]
    assert (event["event_id"], event["task_id"], event["owner"]) == (event_id, "job", "first")
    assert (event["counts"]["begun"], event["counts"]["not_begun"]) == (3, 2)
    assert [worker["index"] for worker in event["workers"]] == [0, 1, 2]
    assert shown["backlog"]["oldest_pending"]["event_id"] == event_id
    documented = set(re.findall(r"\w+", (ROOT / "docs/cli.md").read_text()))
    assert names(shown) - documented == set()
    text = run(place, "status").stdout
    assert "first" in text
    assert "2 not begun, 3 begun" in text


def test_status_tells_failures_and_dead_letters(place: Sandbox) -> None:
    place.start()
    event_id = run(place, "send", "scale_up", "pod_count=1", FAIL).stdout.strip()
    place.wait_event(event_id)
    place.wait_dead(place.send("nonsense"))
    shown = status(place)
    (failure,) = shown["recent_failures"]
    assert (failure["event_id"], failure["index"], failure["exit_code"]) == (event_id, 0, 3)
    assert shown["dead_letters"]["total"] == 1
    assert "nonsense" in shown["dead_letters"]["newest"][0]["error"]


def test_a_replica_that_was_killed_is_silent_and_its_event_still_shown(place: Sandbox) -> None:
    replica = place.start("gone")
    event_id = run(place, "send", "scale_up", "pod_count=1", RUN_FOR_EVER).stdout.strip()
    place.wait_workers(event_id, "Running", 1)
    replica.kill()
    shown = status(place)
    assert [each["state"] for each in shown["replicas"]] == ["silent"]
    assert shown["events"][0]["owner"] == "gone"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_watch_quietly(place: Sandbox, number: int, code: int) -> None:
    watching = subprocess.Popen(
        command("status", "--watch", "600", "--json"),
        env=place.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["schema_version"] == 1
    watching.send_signal(number)
    assert watching.wait(30) == code
    assert watching.stderr is not None
    assert watching.stderr.read() == ""


@pytest.mark.parametrize("words", [("status", "--watch", "600", "--json"), ("results", "--follow", "--json")])
def test_a_reader_that_is_gone_ends_a_following_command_at_once(
    place: Sandbox, words: tuple[str, ...]
) -> None:
    """Before, only its next write noticed, which may be hours later."""
    place.start()
    place.wait_event(place.scale_up())
    with subprocess.Popen(
        command(*words), env=place.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline()
        stays(lambda: following.poll() is None, "it goes on while it has a reader", 0.5)
        ends_without_its_reader(following)


def test_a_reader_that_has_had_enough_is_no_error_to_look_at(place: Sandbox) -> None:
    script = f"{sys.executable} -m ottoscaler status --watch 0.1 --json | head -n 1"
    env = place.environment()
    ran = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.startswith('{"schema_version": 1')
    assert ran.stderr == ""
