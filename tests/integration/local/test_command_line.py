"""``python -m ottoscaler.local``, and kubectl against it where there is one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "ottoscaler.local"]
SECONDS = 120


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_command_runs_inside_and_its_code_comes_out() -> None:
    result = run("up", "--exec", "sh", "-c", 'test -f "$KUBECONFIG" && echo "$REDIS_URL"; exit 7')
    assert result.returncode == 7
    assert re.fullmatch(r"redis://127\.0\.0\.1:\d+/0\n", result.stdout)


def test_command_that_is_missing_is_127() -> None:
    assert run("up", "--no-redis", "--exec", "no-such-program").returncode == 127


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [*COMMAND, "up", "--dir", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(
            rf"export KUBECONFIG={tmp_path}/kubeconfig REDIS_URL=redis://127\.0\.0\.1:\d+/0\n", line
        )
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
    assert (tmp_path / "redis").is_dir()


@pytest.mark.parametrize(
    "arguments",
    [(), ("down",), ("up", "--port", "x"), ("up", "--nodes", "-1"), ("up", "--exec"), ("up", "x")],
)
def test_wrong_usage_is_2_and_one_sentence(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_help_is_worth_reading() -> None:
    result = run("up", "--help")
    assert result.returncode == 0
    assert all(word in result.stdout for word in ("KUBECONFIG", "--simulated", "--exec", "kubectl"))


KUBECTL = """
set -e
kubectl get nodes | grep -q 'fake-0 .*Ready'
kubectl run a --image=busybox --restart=Never -l managed-by=ottoscaler -- \\
    sh -c 'echo hi; until test -e GO; do sleep 0.1; done; echo bye'
kubectl wait --for=jsonpath='{.status.phase}'=Running pod/a --timeout=60s
kubectl get pods -l managed-by=ottoscaler | grep -q '^a .*Running'
kubectl get pods -o name
touch GO
kubectl logs -f a
kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/a --timeout=60s
kubectl describe pod a | grep -q 'Reason: *Completed'
kubectl delete pod a
kubectl create -f - <<END
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},
 "spec":{"containers":[{"name":"c","image":"x"}]}}
END
kubectl label pod b x=y
kubectl delete pod b --now
"""


# Where there is no kubectl, there is nothing to hold it to.
@pytest.mark.parametrize("kubectl", [path for path in [shutil.which("kubectl")] if path])
def test_kubectl_feels_at_home(kubectl: str, tmp_path: Path) -> None:
    # The container ends when the script lets it, and the script waits for each state: kubectl may be slow.
    result = run(
        "up",
        "--no-redis",
        "--exec",
        "env",
        f"PATH={Path(kubectl).parent}:{os.environ['PATH']}",
        "sh",
        "-c",
        KUBECTL.replace("GO", str(tmp_path / "go")),
    )
    assert result.returncode == 0, result.stderr
    for line in ("pod/a created", "hi\nbye\n", 'pod "a" deleted', "pod/b created", "pod/b labeled"):
        assert line in result.stdout
