"""``python -m ottoscaler.local``, and kubectl against it where there is one."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.waiting import wait_for

COMMAND = [sys.executable, "-m", "ottoscaler.local"]
SECONDS = 120
ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_command_runs_inside_and_its_code_comes_out() -> None:
    inside = 'test -f "$KUBECONFIG" && echo "$REDIS_URL"; exit 7'
    result = run("up", "--no-service", "--exec", "sh", "-c", inside)
    assert result.returncode == 7
    assert re.fullmatch(r"redis://127\.0\.0\.1:\d+/0\n", result.stdout)


def test_command_that_is_missing_is_127() -> None:
    assert run("up", "--no-redis", "--exec", "no-such-program").returncode == 127


def hang_up(action: signal.Handlers) -> Callable[[], object]:
    """For a child: how it treats SIGHUP from its start on, whatever these tests were started by."""
    return lambda: signal.signal(signal.SIGHUP, action)


def test_closed_terminal_ends_it_cleanly(tmp_path: Path) -> None:
    file = tmp_path / "env"
    words = [*COMMAND, "up", "--no-service", "--env-file", str(file)]
    with subprocess.Popen(words, preexec_fn=hang_up(signal.SIG_DFL)) as process:  # noqa: PLW1509
        wait_for(file.exists, "it is up", SECONDS)
        process.send_signal(signal.SIGHUP)
        assert process.wait(SECONDS) == 0
    assert not file.exists()


def test_nohup_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "env"
    words = [*COMMAND, "up", "--no-service", "--env-file", str(file)]
    with subprocess.Popen(words, preexec_fn=hang_up(signal.SIG_IGN)) as process:  # noqa: PLW1509
        wait_for(file.exists, "it is up", SECONDS)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_demo_that_is_ended_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    place, output = tmp_path / "place", tmp_path / "output"
    place.mkdir()
    words = [sys.executable, "-m", "ottoscaler", "demo", "--page"]
    with output.open("wb") as out:
        process = subprocess.Popen(
            words,
            env={**os.environ, "TMPDIR": str(place)},
            stdout=out,
            preexec_fn=hang_up(signal.SIG_DFL),  # noqa: PLW1509
        )
    try:
        wait_for(lambda: "are up" in output.read_text(), "the cluster is up", SECONDS)
        assert list(place.iterdir())
        process.send_signal(number)
        assert process.wait(SECONDS) == code
    finally:
        process.kill()
    assert not list(place.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [*COMMAND, "up", "--dir", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(
            rf"export KUBECONFIG={tmp_path}/kubeconfig REDIS_URL=redis://127\.0\.0\.1:\d+/0 "
            rf"PATH={tmp_path}/bin:{Path(sys.executable).parent}:\"\$PATH\"\n",
            line,
        )
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
    assert (tmp_path / "redis").is_dir()


SERVED = """
redis-cli XADD otto:scale:events '*' type scale_up pod_count 1 task_id hi
until redis-cli XRANGE otto:scale:results - + | grep -q kind; do sleep 0.1; done
redis-cli XRANGE otto:scale:results - +
"""


def test_service_runs_beside_it_with_the_settings_of_the_environment(tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "up", "--dir", str(tmp_path), "--exec", "sh", "-c", SERVED],
        env={**os.environ, "OTTO_INSTANCE": "mine", "REDIS_PASSWORD_FILE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "otto-agent-mine-" in result.stdout
    assert '"pod_created"' in (tmp_path / "service.log").read_text()  # no terminal: JSON


@pytest.mark.parametrize("words", [("--no-service",), ("--no-redis",)])
def test_service_is_left_out_on_demand(words: tuple[str, ...], tmp_path: Path) -> None:
    assert run("up", "--dir", str(tmp_path), *words, "--exec", "true").returncode == 0
    assert not (tmp_path / "service.log").exists()


def _up_with_a_wrong_setting(*words: str) -> list[str]:
    """What it says before it ends with 1."""
    result = subprocess.run(
        [*COMMAND, "up", *words],
        env={**os.environ, "OTTO_MAX_WORKERS": "many"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 1
    return result.stderr.splitlines()


def test_service_that_does_not_start_ends_it_and_says_why() -> None:
    first, second = _up_with_a_wrong_setting()
    assert first.startswith("ottoscaler: OTTO_MAX_WORKERS: invalid value 'many'")
    assert second == "python -m ottoscaler.local: the service ended with exit code 2"


def test_service_that_does_not_start_beside_a_command_says_why_though_its_log_goes_with_the_folder() -> None:
    first, second = _up_with_a_wrong_setting("--exec", "true")
    assert first == "python -m ottoscaler.local: the service ended with exit code 2; its log:"
    assert second.startswith("ottoscaler: OTTO_MAX_WORKERS: invalid value 'many'")


def test_service_that_dies_ends_it_and_is_told(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "up", "--dir", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Ctrl-C"):
            pass
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (service,) = [pid for pid in children if b"ottoscaler" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(service), signal.SIGKILL)
        assert process.wait(SECONDS) == 1
        assert process.stderr is not None
        last = process.stderr.read().splitlines()[-1]
    assert last == "python -m ottoscaler.local: the service ended with exit code -9"


def test_lines_on_a_terminal_are_text_and_the_setting_wins(tmp_path: Path) -> None:
    for number, (environ, mark) in enumerate((({}, b" INFO "), ({"OTTO_LOG_FORMAT": "json"}, b'"INFO"'))):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [*COMMAND, "up", "--dir", str(tmp_path / str(number))],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            assert process.stdout is not None
            while not process.stdout.readline().startswith(b"Ctrl-C"):
                pass
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 0
        assert mark in os.read(ours, 65536)
        os.close(ours)


@pytest.mark.parametrize(
    "arguments",
    [(), ("down",), ("up", "--port", "x"), ("up", "--nodes", "-1"), ("up", "--exec"), ("up", "x")],
)
def test_wrong_usage_is_2_and_one_sentence(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_port_that_is_taken_is_1_and_one_sentence_without_a_number_of_the_systems() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("up", "--no-redis", "--port", str(port))
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert str(port) in sentence
    assert "address already in use" in sentence
    assert "Errno" not in sentence


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


ANSWERS = {
    "kubectl auth can-i create pods": "yes",
    "kubectl auth can-i --list": "*.*",
    "kubectl exec a -- ls": "does not serve pods/exec: its containers are processes of this machine",
    "kubectl port-forward a 8080:80": "does not serve pods/portforward",
    f"kubectl apply -k {ROOT / 'manifests/base'}": "nothing in it would carry out a Deployment",
    f"kubectl apply -k {ROOT / 'manifests/monitoring'}": 'no matches for kind "PodMonitor"',
    "kubectl get deployments": "No resources found",
}


@pytest.mark.parametrize("kubectl", [path for path in [shutil.which("kubectl")] if path])
def test_kubectl_hears_what_the_local_cluster_leaves_out(kubectl: str) -> None:
    typed = f"{kubectl} run a --image=busybox --restart=Never -- sleep 60\n"
    typed += "".join(f"echo '$ {line}'; {line} 2>&1\n" for line in ANSWERS)
    result = run("up", "--no-redis", "--exec", "sh", "-c", typed)
    told = dict(part.split("\n", 1) for part in result.stdout.split("$ ")[1:])
    assert told.keys() == ANSWERS.keys()
    assert {line: said for line, said in told.items() if ANSWERS[line] not in said} == {}
    assert "Traceback" not in result.stderr
