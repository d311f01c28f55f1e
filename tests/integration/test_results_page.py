"""docs/results.md: its shell and Python examples follow an event to its end, as they stand there."""

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
