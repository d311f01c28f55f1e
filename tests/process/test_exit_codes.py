"""Exit codes (docs/cli.md): 2 for what the operator has to change, 1 for a part that died, else 0."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import certifi
import pytest

from tests.harness.cluster_state import FOREVER, ledger, phases
from tests.harness.sandbox import Sandbox

WRONG = {
    "REDIS_URL": "http://:sekrit-4711@localhost",
    "REDIS_PORT": "70000",
    "REDIS_DB": "-1",
    "REDIS_SENTINELS": "here,there",
    "REDIS_TLS_CA_FILE": "/nowhere/ca.crt",
    "REDIS_STREAM": "two words",
    "KUBECONFIG": "/nowhere/kubeconfig",
    "NAMESPACE": "Not_A_Namespace",
    "OTTO_INSTANCE": "-otto-",
    "OTTO_AGENT_IMAGE": "BusyBox:UP:DOWN",
    "OTTO_TEMPLATES_DIR": "/nowhere/templates",
    "OTTO_ALLOWED_IMAGES": "ok,[not",
    "OTTO_MAX_WORKERS": "0",
    "OTTO_MAX_PODS_PER_EVENT": "many",
    "OTTO_MAX_EVENT_BYTES": "0",
    "OTTO_MAX_EVENTS_IN_HAND": "-3",
    "OTTO_POLL_SECONDS": "nan",
    "OTTO_WORKER_TIMEOUT_SECONDS": "1.5.2",
    "OTTO_PENDING_TIMEOUT_SECONDS": "0",
    "OTTO_MAX_TIMEOUT_SECONDS": "-1",
    "OTTO_MAX_CPU": "a lot",
    "OTTO_MAX_MEMORY": "32Gigs",
    "OTTO_MAX_EVENT_RETRIES": "1e3",
    "OTTO_MAX_RETRIES": "two",
    "OTTO_FAILED_POD_TTL_SECONDS": "-5",
    "OTTO_LEASE_SECONDS": "0",
    "OTTO_SHUTDOWN_GRACE_SECONDS": "soon",
    "OTTO_RETENTION_SECONDS": "inf",
    "OTTO_RESULTS_MAXLEN": "0",
    "OTTO_DEAD_RETENTION_SECONDS": "0",
    "OTTO_KUBE_QPS": "0",
    "OTTO_KUBE_BURST": "0",
    "OTTO_HTTP_PORT": "http",
    "OTTO_LOG_LEVEL": "LOUD",
    "OTTO_LOG_FORMAT": "xml",
}


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ottoscaler", *arguments]
    base = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    return subprocess.run(
        command, env={**base, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def test_every_wrong_setting_has_its_line_and_the_code_is_2() -> None:
    ended = run(WRONG)
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    missing = [name for name in WRONG if not any(f"{name} " in line or f"{name}:" in line for line in lines)]
    assert missing == []
    # A line each: no value that is wrong by itself is also blamed by a second sentence.
    first_words = [line.split()[1].rstrip(":") for line in lines]
    assert sorted(first_words) == sorted(WRONG)
    assert all("; expected " in line for line in lines)
    assert "sekrit-4711" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [("walk",), ("run", "--fast"), ("--no-such-option",)])
def test_wrong_usage_is_code_2_with_a_sentence(arguments: tuple[str, ...]) -> None:
    ended = run({}, *arguments)
    assert ended.returncode == 2
    assert "usage:" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_malformed_kubeconfig_is_code_2(tmp_path: Path, command: str) -> None:
    (tmp_path / "kubeconfig").write_text("clusters: [\n")
    ended = run({"KUBECONFIG": f"{tmp_path}/kubeconfig"}, command)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert f"KUBECONFIG: invalid value '{tmp_path}/kubeconfig' (it is not valid YAML in line" in line


def test_a_broken_template_is_code_2_and_names_file_and_field(tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nspec:\n  restartPolicy: Always\n  containers:\n    - name: worker\n"
    (tmp_path / "gpu.yaml").write_text(pod)
    (tmp_path / "default.yaml").write_text("spec: [\n")
    ended = run({"OTTO_TEMPLATES_DIR": str(tmp_path)})
    assert ended.returncode == 2
    assert "gpu.yaml" in ended.stderr
    assert "spec.restartPolicy" in ended.stderr
    assert "default.yaml" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_http_port_in_use_is_code_2(place: Sandbox) -> None:
    first = place.start()
    second = place.start(ready=False, OTTO_HTTP_PORT=first.port)
    assert second.wait(10) == 2
    assert str(first.port) in second.log()
    assert "OTTO_HTTP_PORT" in second.log()
    assert "Traceback" not in second.log()
    assert first.ready()


def test_a_live_twin_under_the_same_consumer_name_is_code_2(place: Sandbox) -> None:
    first = place.start(OTTO_LEASE_SECONDS="2")
    event_id = place.scale_up(1, run_seconds=1.5)
    place.wait_workers(event_id, "Running", 1)
    twin = place.start("twin", ready=False, REDIS_CONSUMER="replica-0", OTTO_LEASE_SECONDS="2")
    assert twin.wait(15) == 2
    (line,) = twin.lines(action="live_twin")
    assert "REDIS_CONSUMER" in line["message"]
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert first.ready()
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"


# The real service, in which one step of one thread fails from the moment on that a file exists.
DYING = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM, signal.SIGINT}})
from ottoscaler.{module} import {kind}
step = {kind}.{method}
def dying(self, *args, **more):
    if os.path.exists(os.environ["DIE_WHEN"]):
        raise ZeroDivisionError("a bug")
    return step(self, *args, **more)
{kind}.{method} = dying
from ottoscaler.cli.main import run
run(["run"])
"""


@pytest.mark.parametrize(
    ("thread", "module", "kind", "method"),
    [
        ("listener", "controller.listener", "Listener", "step"),
        ("dispatcher", "controller.dispatcher", "Dispatcher", "step"),
        ("takeover", "controller.takeover", "Takeover", "step"),
        ("reconciler", "controller.reconciler", "Reconciler", "step"),
        ("lease", "ledger.lease", "Lease", "step"),
        ("watch", "kube.watcher", "PodWatcher", "apply"),
    ],
)
def test_a_thread_that_dies_ends_the_process_with_1_and_leaves_its_workers(
    place: Sandbox, tmp_path: Path, thread: str, module: str, kind: str, method: str
) -> None:
    program = ("-c", DYING.format(module=module, kind=kind, method=method))
    replica = place.start(
        program=program, DIE_WHEN=tmp_path / "now", OTTO_SHUTDOWN_GRACE_SECONDS="600", OTTO_POLL_SECONDS="0.2"
    )
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_workers(event_id, "Running", 1)
    (tmp_path / "now").touch()
    if thread == "watch":  # it has to see something
        place.scale_up(1, run_seconds=FOREVER)
    assert replica.wait(15) == 1
    (line,) = replica.lines(action="thread_died")
    assert thread in line["message"]
    assert "a bug" in line["message"]
    assert phases(place, event_id) == {0: "Running"}
    assert ledger(place, event_id)["owner"] == ""


def test_health_and_metrics_may_be_off(place: Sandbox) -> None:
    replica = place.start(ready=False, OTTO_HTTP_PORT="0")
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"
    assert replica.stop() == 0


@pytest.mark.parametrize(
    ("shell", "code", "told"),
    [
        ("--version 2>&-", 0, "ottoscaler "),
        ("completion bash 2>&1 >/dev/full", 1, "the output cannot be written: No space left on device"),
    ],
)
def test_a_stream_that_is_closed_or_full_ends_in_no_traceback(shell: str, code: int, told: str) -> None:
    words = ["sh", "-c", f'exec "$0" -m ottoscaler {shell}', sys.executable]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, told in ran.stdout, "Traceback" in ran.stdout) == (code, True, False)


ENCRYPTED_KEY = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhzUjzZFfExaAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEITe4eV/aOmomum9iXtZvUkEQAoB
GzpDEk4gwG8yppXq6N4SXWowB1C9VrVZ7v08IKw1VcIOHWqplbnZlv6Uf9eCVnOM
6NCbXjviLicX3svE/BM=
-----END ENCRYPTED PRIVATE KEY-----
"""


def test_an_encrypted_key_for_redis_is_told_and_its_password_is_not_asked_for(tmp_path: Path) -> None:
    """OpenSSL asks whoever is at the terminal, or at standard input, and waits."""
    key = tmp_path / "key.pem"
    key.write_text(ENCRYPTED_KEY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": "/nowhere",
            "REDIS_URL": f"rediss://127.0.0.1:{server.getsockname()[1]}",
            "REDIS_TLS_CERT_FILE": certifi.where(),
            "REDIS_TLS_KEY_FILE": str(key),
        }
        command = [sys.executable, "-m", "ottoscaler", "status"]
        with subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,  # never written to, and never closed
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # without a terminal of its own, such as the one that runs the tests
        ) as asked:
            try:
                assert asked.wait(60) == 1
            finally:
                asked.kill()
            assert asked.stderr is not None
            said = asked.stderr.read()
    assert "REDIS_TLS_KEY_FILE its key, without a password" in said
    assert "pass phrase" not in said
