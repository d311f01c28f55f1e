"""Containers are real processes: environment, exit codes, logs, signals, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ottoscaler.local import LocalCluster
from tests.harness.waiting import wait_for

from ...conformance.client import SECONDS, Namespace, pod


def shell(script: str, **container: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **container}


def ended(status: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = status["containerStatuses"][0]["state"]["terminated"]
    return state


def wait_until(holds: Callable[[], object]) -> None:
    wait_for(holds, "the kubelet has done so", SECONDS)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_command_runs_with_its_environment_and_its_log_is_kept(namespace: Namespace) -> None:
    env = [{"name": "WHO", "value": "you"}, {"name": "TEXT", "value": "to $(WHO)"}]
    script = 'echo "hello $TEXT $(WHO) $0"; echo "$HOSTNAME"; cd "$HOME" && pwd; exit 3'
    namespace.create(pod(container={"command": ["sh", "-c", script, "$$x"], "env": env}))
    status = namespace.until_phase("a", "Failed")["status"]
    assert (ended(status)["exitCode"], ended(status)["reason"]) == (3, "Error")
    lines = namespace.get("a", "/log").body.splitlines()
    assert lines[:2] == ["hello to you you $x", "a"]
    assert lines[2].endswith("/home")
    assert namespace.get("a", "/log?tailLines=1").body.splitlines() == lines[2:]


def test_end_of_a_log_is_counted_in_lines_of_at_most_16_kib(namespace: Namespace) -> None:
    script = "head -c 40000 /dev/zero | tr '\\0' x; printf 'a\\rb\\nend\\n'"
    namespace.create(pod(container={"command": ["sh", "-c", script]}))
    namespace.until_phase("a", "Succeeded")
    assert namespace.get("a", "/log?tailLines=1").body == "end\n"
    assert namespace.get("a", "/log?tailLines=2").body == "x" * (40_000 - 2 * 16_384) + "a\rb\nend\n"
    assert len(namespace.get("a", "/log?tailLines=9").body) == 40_008


def test_nothing_of_the_machines_environment_leaks(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    namespace.create(pod(container={"command": ["env"]}))
    namespace.until_phase("a", "Succeeded")
    assert "SECRET_OF_THE_HOST" not in namespace.get("a", "/log").body


def test_empty_dir_is_a_home(namespace: Namespace) -> None:
    container = shell(
        'echo x > "$HOME/file" && cat "$HOME/file"', env=[{"name": "HOME", "value": "/home/otto"}]
    )
    container["volumeMounts"] = [{"name": "home", "mountPath": "/home/otto"}]
    namespace.create(pod(container=container, volumes=[{"name": "home", "emptyDir": {}}]))
    namespace.until_phase("a", "Succeeded")
    assert namespace.get("a", "/log").body == "x\n"


def test_failed_containers_last_words_are_its_message(namespace: Namespace) -> None:
    container = shell("echo fine; echo broken >&2; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    namespace.create(pod(container=container))
    assert ended(namespace.until_phase("a", "Failed")["status"])["message"] == "fine\nbroken\n"


def test_command_that_is_missing_is_a_start_error(namespace: Namespace) -> None:
    namespace.create(pod(container={"command": ["no-such-program"]}))
    state = ended(namespace.until_phase("a", "Failed")["status"])
    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert '"no-such-program": executable file not found in $PATH' in state["message"]


@pytest.mark.parametrize(
    ("image", "reason"),
    [("registry/does-not-exist:1", "ImagePullBackOff"), ("NOT AN IMAGE", "InvalidImageName")],
)
def test_image_that_cannot_be_had_keeps_the_pod_pending(
    namespace: Namespace, image: str, reason: str
) -> None:
    namespace.create(pod(container={"image": image}))

    def waits(reply: Any) -> bool:
        statuses = reply["status"].get("containerStatuses") or [{"state": {}}]
        return bool((statuses[0]["state"].get("waiting") or {}).get("reason") == reason)

    assert namespace.until("a", waits)["status"]["phase"] == "Pending"
    namespace.delete("a")
    namespace.until("a", lambda reply: reply.code == 404)


def test_deleted_pod_may_clean_up(namespace: Namespace, tmp_path: Path) -> None:
    """Its end is shown before it goes: its exit code, and the end of its log for a termination message."""
    script = f'trap "echo bye | tee {tmp_path}/bye; exit 3" TERM; echo up; while :; do sleep 0.05; done'
    words = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    version = namespace.create(pod(container={**shell(script), **words}))["metadata"]["resourceVersion"]
    namespace.until("a", lambda _: namespace.get("a", "/log").body == "up\n")
    namespace.delete("a")
    namespace.until("a", lambda reply: reply.code == 404)
    assert (tmp_path / "bye").read_text() == "bye\n"
    *_, last, gone = namespace.watch(resourceVersion=version)
    assert (last["type"], gone["type"]) == ("MODIFIED", "DELETED")
    for event in (last, gone):
        (shown,) = event["object"]["status"]["containerStatuses"]
        ended = shown["state"]["terminated"]
        assert ended["exitCode"] == 3
        assert ended["message"].startswith("up\n")
        assert ended["message"].endswith("bye\n")


def test_stubborn_process_is_killed_after_its_grace(namespace: Namespace) -> None:
    script = 'trap "" TERM; echo $$$$; while :; do sleep 0.05; done'
    namespace.create(pod(container=shell(script), terminationGracePeriodSeconds=1))
    namespace.until("a", lambda _: str(namespace.get("a", "/log").body).strip().isdigit())
    pid = int(namespace.get("a", "/log").body)
    began = time.monotonic()
    namespace.delete("a")
    assert alive(pid)
    namespace.until("a", lambda reply: reply.code == 404)
    assert time.monotonic() - began >= 0.9
    wait_until(lambda: not alive(pid))


def test_children_go_with_their_container(namespace: Namespace) -> None:
    namespace.create(pod(container=shell("sleep 300 & echo $!; exit 0")))
    namespace.until_phase("a", "Succeeded")
    pid = int(namespace.get("a", "/log").body)
    wait_until(lambda: not alive(pid))


def test_deadline_fails_the_pod_and_ends_its_process(namespace: Namespace) -> None:
    namespace.create(pod(container=shell("echo $$$$; exec sleep 300"), activeDeadlineSeconds=1))
    status = namespace.until_phase("a", "Failed")["status"]
    assert status["reason"] == "DeadlineExceeded"
    pid = int(namespace.get("a", "/log").body)
    wait_until(lambda: not alive(pid))


def test_init_containers_run_first_one_by_one(namespace: Namespace, tmp_path: Path) -> None:
    file = tmp_path / "order"
    init = [{"name": f"i{i}", "image": "x", **shell(f"echo i{i} >> {file}")} for i in (1, 2)]
    namespace.create(pod(container=shell(f"echo main >> {file}"), initContainers=init))
    namespace.until_phase("a", "Succeeded")
    assert file.read_text().split() == ["i1", "i2", "main"]


def test_failed_init_container_fails_the_pod(namespace: Namespace, tmp_path: Path) -> None:
    init = [{"name": "i", "image": "x", **shell("exit 4")}]
    namespace.create(pod(container=shell(f"touch {tmp_path}/ran"), initContainers=init))
    namespace.until_phase("a", "Failed")
    assert not (tmp_path / "ran").exists()


def test_log_can_be_followed_to_its_end(namespace: Namespace) -> None:
    namespace.create(pod(container=shell("echo one; sleep 0.3; echo two")))
    namespace.until_phase("a", "Running")
    with namespace.server.stream(f"{namespace.pods}/a/log?follow=true") as response:
        assert response.read() == b"one\ntwo\n"


_STARTS_AND_SAYS = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
from ottoscaler.local import LocalCluster
cluster = LocalCluster("process", redis=True).start()
print(cluster.kubeconfig_path, cluster.redis.pid, flush=True)
signal.sigwait({signal.SIGTERM})
"""


def test_nothing_outlives_a_cluster_that_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_SAYS], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        kubeconfig, redis_pid = parent.stdout.readline().split()
        from ...conformance.client import ApiServer

        namespace = Namespace(ApiServer(kubeconfig), "default")
        namespace.create(pod(container=shell("sleep 300 & echo $$$$ $!; wait")))
        namespace.until("a", lambda _: len(str(namespace.get("a", "/log").body).split()) == 2)
        pids = [int(word) for word in namespace.get("a", "/log").body.split()]
        parent.kill()
    wait_until(lambda: not any(alive(pid) for pid in (*pids, int(redis_pid))))


def test_stop_leaves_no_process_and_no_directory() -> None:
    from ...conformance.client import ApiServer

    with LocalCluster("process", redis=False) as cluster:
        namespace = Namespace(ApiServer(cluster.kubeconfig_path), "default")
        namespace.create(pod(container=shell('trap "" TERM; echo $$$$; while :; do sleep 0.1; done')))
        namespace.until("a", lambda _: str(namespace.get("a", "/log").body).strip().isdigit())
        pid = int(namespace.get("a", "/log").body)
        directory = cluster.directory
    assert not alive(pid)
    assert not os.path.exists(directory)
