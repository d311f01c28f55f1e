"""What producers do on the command line beside a running service: with Redis alone, and no setting of it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from tests.harness import preloaded
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

RUN_FOR_EVER = 'env={"SIM_RUN_SECONDS": "inf"}'
FAIL = 'env={"SIM_RUN_SECONDS": "0.1", "SIM_EXIT_CODE": "3"}'
QUICK = 'env={"SIM_RUN_SECONDS": "0.1"}'


def environment(place: Sandbox, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "REDIS_URL": place.redis_server.url, **more}


def run(place: Sandbox, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(words, environment(place, **more))


def documents(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_producer_sends_loses_the_terminal_and_attaches_again(place: Sandbox) -> None:
    place.start()
    event_id = run(place, "send", "scale_up", "pod_count=2", "task_id=t", QUICK).stdout.strip()
    ran = run(place, "wait", event_id, "--timeout", "40")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "worker 1 succeeded (Completed exit 0)" in ran.stderr
    assert re.search(rf"event {event_id} succeeded in [\d.]+s \(2 succeeded\)", ran.stderr)
    assert "\x1b" not in ran.stderr


def test_whoever_stops_waiting_is_told_how_to_wait_again(place: Sandbox) -> None:
    event_id = place.scale_up()
    words = [sys.executable, "-m", "ottoscaler", "wait", event_id]
    with subprocess.Popen(words, env=environment(place), stderr=subprocess.PIPE, text=True) as waiting:
        wait_for(lambda: "xread" in str(place.redis.client_list()), "it waits")
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(30) == 130
        assert waiting.stderr is not None
        told = f"ottoscaler: event {event_id} goes on; to wait for it again: ottoscaler wait {event_id}\n"
        assert waiting.stderr.read() == told
    assert place.redis.xlen("otto:scale:events") == 1


def test_the_exit_code_of_wait_is_the_outcome(place: Sandbox) -> None:
    place.start()
    failed = run(place, "send", "scale_up", "pod_count=1", FAIL).stdout.strip()
    ran = run(place, "wait", failed, "--timeout", "40")
    assert ran.returncode == 1
    assert "worker 0 failed (Error exit 3)" in ran.stderr
    lost = run(place, "wait", "1717-0")
    assert lost.returncode == 1
    assert lost.stderr.startswith("ottoscaler: no event 1717-0 is known")


def test_the_service_judges_what_is_sent_from_afar(place: Sandbox) -> None:
    place.start()
    words = ("scale_up", "pod_count=1", "profile=nonesuch", "--wait", "--timeout", "40")
    ran = run(place, "send", *words)
    assert ran.returncode == 1
    assert re.search(r"event \d+-\d+ was dead-lettered: profile: .*nonesuch", ran.stderr)
    here = run(place, "send", *words, "--no-remote")
    assert (here.returncode, here.stdout) == (2, "")
    assert place.redis.xlen("otto:scale:events") == 1


def test_cancel_takes_the_workers_away_and_waits_for_it(place: Sandbox) -> None:
    place.start()
    event_id = run(place, "send", "scale_up", "pod_count=2", "task_id=빌드", RUN_FOR_EVER).stdout.strip()
    place.wait_workers(event_id, "Running", 2)
    ran = run(place, "cancel", "빌드", "--timeout", "40")
    assert ran.returncode == 0, ran.stderr
    assert "succeeded" in ran.stderr
    assert "(2 cancelled)" in ran.stderr
    assert place.wait_event(event_id)["status"] == "cancelled"
    again = run(place, "cancel", "빌드", "--timeout", "40")
    assert again.returncode == 0
    assert "task 빌드 has no worker left to cancel; what was sent of it before" in again.stderr
    assert re.fullmatch(r"\d+-\d+\n", again.stdout), "the scale_down's id, and nothing else"


def test_cancel_may_spare_what_runs(place: Sandbox) -> None:
    place.start(OTTO_MAX_WORKERS=1)
    event_id = run(place, "send", "scale_up", "pod_count=2", "task_id=t", RUN_FOR_EVER).stdout.strip()
    place.wait_workers(event_id, "Running", 1)
    ran = run(place, "cancel", "t", "--keep-running", "--timeout", "40")
    assert ran.returncode == 0
    assert "(1 cancelled)" in ran.stderr
    assert len(place.kube.workers(event_id)) == 1


def test_results_tell_workers_events_and_dead_letters_of_one_task(place: Sandbox) -> None:
    place.start()
    run(place, "send", "scale_up", "pod_count=1", "task_id=t", QUICK, "--wait")
    run(place, "send", "scale_up", "pod_count=1", "task_id=other", QUICK, "--wait")
    run(place, "send", "scale_up", "pod_count=1", "task_id=t", "profile=nonesuch", "--wait")
    told = documents(run(place, "results", "--task", "t", "--json").stdout)
    assert [each["kind"] for each in told] == ["worker", "event", "dead_letter"]
    assert {each["task_id"] for each in told} == {"t"}
    lines = run(place, "results").stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("  t  worker 0  succeeded")
    assert "dead-lettered: profile:" in lines[-1]


def test_results_are_followed_until_a_signal(place: Sandbox) -> None:
    place.start()
    with subprocess.Popen(
        [sys.executable, "-m", "ottoscaler", "results", "--follow", "--json"],
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        event_id = place.scale_up()
        assert json.loads(following.stdout.readline())["event_id"] == event_id
        assert json.loads(following.stdout.readline())["kind"] == "event"
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
        assert following.stderr.read() == ""


def test_pause_and_resume_say_what_is(place: Sandbox) -> None:
    for words, told in (
        (("pause",), "paused; no worker is begun until"),
        (("pause",), "paused already, since 20"),
        (("status",), "PAUSED since"),
        (("resume",), "resumed"),
        (("resume",), "not paused"),
    ):
        ran = run(place, *words)
        assert ran.returncode == 0
        assert told in ran.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("send", "scale_up", "pod_count=none"),
        ("send", "scale_up", "pod_count"),
        ("send", "scale_sideways"),
        ("wait", "17"),
        ("cancel", ""),
        ("results", "--task", ""),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_sentence_and_nothing_is_sent(place: Sandbox, words: tuple[str, ...]) -> None:
    ran = run(place, *words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr
    assert "Traceback" not in ran.stderr
    assert place.redis.keys() == []


@pytest.mark.parametrize("words", [
    ("wait", "1-0"), ("results",), ("cancel", "t"), ("pause",), ("resume",), ("status",), ("dead", "list"),
    ("send", "scale_up", "pod_count=1"),
], ids=" ".join)  # fmt: skip
def test_a_redis_that_is_away_is_one_sentence(place: Sandbox, words: tuple[str, ...]) -> None:
    ran = run(place, *words, REDIS_URL="redis://:sekrit-4711@127.0.0.1:1/0")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert len(ran.stderr.splitlines()) == 1
    assert "Is it running, and is it reachable from here?" in ran.stderr
    assert "sekrit-4711" not in ran.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:strict", "utf-16"])
def test_no_encoding_ends_in_a_traceback(place: Sandbox, encoding: str) -> None:
    place.start()
    place.wait_event(place.scale_up(task_id="빌드-…"))
    place.scale_up(task_id="빌드-…", run_seconds="inf")
    every = "status", "status --json", "results", "results --json", "wait 빌드"
    for words in (each.split() for each in every):
        ran = subprocess.run(
            [sys.executable, "-m", "ottoscaler", *words],
            env=environment(place, PYTHONIOENCODING=encoding),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in ran.stderr
        assert ran.returncode == (2 if words[0] == "wait" else 0)


def watched(place: Sandbox, word: str, **more: str) -> str:
    """All that `status --watch` writes to a terminal. SIGTERM ends it once ``word`` was written twice."""
    master, slave = pty.openpty()
    try:
        words = [sys.executable, "-m", "ottoscaler", "status", "--watch", "0.2"]
        watching = subprocess.Popen(words, env=environment(place, **more), stdout=slave, stderr=slave)
        shown = ""

        def grow() -> bool:
            nonlocal shown
            shown += os.read(master, 65536).decode()
            return shown.count(word) > 1

        wait_for(grow, f"it wrote {word!r} twice")
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(30) == 143
        os.write(slave, b"\0")  # behind all that the command wrote
        while not shown.endswith("\0"):
            shown += os.read(master, 65536).decode()
        return shown.removesuffix("\0")
    finally:
        os.close(master)
        os.close(slave)


def test_a_watch_draws_on_the_alternate_screen_and_gives_the_terminal_back(place: Sandbox) -> None:
    place.start()
    shown = watched(place, "Replicas: 1 alive", TERM="xterm", COLUMNS="80", LINES="24")
    assert shown.startswith("\x1b[?1049h")
    assert shown.endswith("\x1b[?25h\x1b[?1049l")
    assert "\x1b[2J" not in shown
    assert "\x1b[3J" not in shown


@pytest.mark.parametrize("more", [{"TERM": "dumb"}, {"TERM": "xterm", "CI": "true"}])
def test_a_watch_prints_plain_lines_where_nobody_can_see_them_redrawn(
    place: Sandbox, more: dict[str, str]
) -> None:
    assert "\x1b" not in watched(place, "Events in flight", **more)


def test_check_tells_machines_what_it_tells_people(place: Sandbox) -> None:
    env = place.environment(OTTO_MAX_WORKERS=7, OTTO_MAX_WORKER=5)
    ran = preloaded.run(["check", "--json"], env)
    told = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr, told["schema_version"], told["counts"]["problem"]) == (0, "", 1, 0)
    assert {"name": "OTTO_MAX_WORKERS", "value": "7", "changed": True} in told["settings"]
    assert any(
        (each["level"], each["subject"]) == ("warning", "settings") and "OTTO_MAX_WORKER:" in each["text"]
        for each in told["findings"]
    )
    wrong = preloaded.run(["check", "--json"], {**env, "OTTO_MAX_WORKERS": "0"})
    assert wrong.returncode == 2
    (finding,) = json.loads(wrong.stdout)["findings"]
    assert finding["text"] + "\n" == wrong.stderr.removeprefix("ottoscaler: ")
