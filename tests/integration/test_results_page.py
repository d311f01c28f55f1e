"""docs/results.md: its examples in shell and Python do what it says, as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.harness.cluster_state import served
from tests.harness.sandbox import Sandbox

one_replica = served()

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def shell(place: Sandbox, last_line: str = "") -> subprocess.CompletedProcess[str]:
    text = example("sh").replace("redis-cli", f"redis-cli -p {place.redis_server.port}")
    if last_line:
        text = text.rstrip().rpartition("\n")[0] + "\n" + last_line
    return run("sh", "-euc", text)


def python(place: Sandbox, last_lines: str = "") -> subprocess.CompletedProcess[str]:
    text = example("python").replace("redis.Redis(", f"redis.Redis(port={place.redis_server.port}, ")
    if last_lines:
        text = text.partition("\nentry = run(")[0] + last_lines
    return run(sys.executable, "-c", text)


# The local cluster's own redis-cli is for single commands.
if shutil.which("redis-cli"):

    def test_shell_example_waits_for_the_end(one_replica: Sandbox) -> None:
        ran = shell(one_replica)
        assert ran.returncode == 0, ran.stderr
        assert re.fullmatch(r"\d+-\d+ succeeded\n", ran.stdout)

    def test_shell_example_tells_failures_and_dead_letters_among_those_of_others(
        one_replica: Sandbox,
    ) -> None:
        noise = [one_replica.scale_up(3, task_id='"kind","event"') for _ in range(3)]
        ran = shell(one_replica, """run pod_count 1 env '{"SIM_EXIT_CODE": "3"}'""")
        assert (ran.returncode, ran.stdout.split()[1]) == (1, "failed")
        ran = shell(one_replica, "run pod_count 1 replicas 2")
        assert ran.returncode == 1
        assert "did you mean pod_count?" in ran.stderr
        assert all(one_replica.wait_event(event_id)["status"] == "succeeded" for event_id in noise)


def test_python_example_waits_for_the_end(one_replica: Sandbox) -> None:
    ran = python(one_replica)
    assert ran.returncode == 0, ran.stderr
    assert sorted(ran.stdout.splitlines()) == [
        "0 succeeded Completed ",
        "1 succeeded Completed ",
        "succeeded",
    ]
    dead = python(one_replica, "\nprint(run(pod_count=0)['error'])")
    assert dead.stdout.startswith("pod_count: invalid value '0'"), dead.stderr


def test_python_reader_of_everything_gets_each_entry_and_again_what_it_had_not_finished(
    one_replica: Sandbox,
) -> None:
    """The first reader dies as it handles the first entry; the next one handles all, then stops."""
    event_id = one_replica.scale_up(1)
    one_replica.wait_event(event_id)
    bad = one_replica.send("scale_up", pod_count=0)
    one_replica.wait_dead(bad)
    text = example("py").replace("redis.Redis(", f"redis.Redis(port={one_replica.redis_server.port}, ")
    assert run(sys.executable, "-c", text + "\nread_all(lambda stream, entry: exit(7))").returncode == 7
    wanted = sum(one_replica.redis.xlen(f"otto:scale:{name}") for name in ("results", "dead"))
    last = f"""
seen = []

def handle(stream, entry):
    seen.append(entry["event_id"])
    if len(seen) == {wanted}:
        print(*seen)
        exit()

read_all(handle)
"""
    ran = run(sys.executable, "-c", text + last)
    told = ran.stdout.split()
    assert (told.count(event_id), told.count(bad), len(told)) == (2, 1, wanted), ran.stderr
    streams = ("otto:scale:results", "otto:scale:dead")
    groups = [group for stream in streams for group in one_replica.redis.xinfo_groups(stream)]
    assert sum(group["pending"] for group in groups) == 1  # the last one, in which the reader stopped
