"""``logs``: what is kept after the Pods, and a running worker's log from Kubernetes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness import preloaded
from tests.harness.sandbox import REAL, Sandbox, sandbox
from tests.harness.terminal import ends_without_its_reader

FAIL = 'echo "this is worker $OTTO_WORKER_INDEX"; exit 3'

pytestmark = pytest.mark.skipif(bool(REAL), reason="its kubelet runs no commands")


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(kubelet="process") as made:
        made.start()
        yield made


def environment(place: Sandbox, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "REDIS_URL": place.redis_server.url, "HOME": "/nowhere", **more}


def start(place: Sandbox, *words: str, **more: str) -> subprocess.Popen[str]:
    env = environment(place, **more)
    command = [sys.executable, "-m", "ottoscaler", "logs", *words]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(place: Sandbox, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(["logs", *words], environment(place, **more))


def test_all_that_is_kept_is_printed_each_under_its_heading(place: Sandbox) -> None:
    event_id = place.send(pod_count=2, command=FAIL)
    place.wait_event(event_id)
    ran = run(place, event_id)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "==> worker 0, attempt 0 <==",
        "this is worker 0",
        "==> worker 1, attempt 0 <==",
        "this is worker 1",
    ]
    one = run(place, event_id, "1")
    assert one.stdout.splitlines() == ["==> worker 1, attempt 0 <==", "this is worker 1"]


def test_where_nothing_is_kept_it_says_so(place: Sandbox) -> None:
    event_id = place.send(pod_count=1, command="echo fine")
    place.wait_event(event_id)
    for words in ((event_id,), (event_id, "0"), ("1717-0",)):
        ran = run(place, *words)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr.startswith("ottoscaler: no log is kept of ")


def test_a_running_workers_log_is_followed_to_its_end(place: Sandbox) -> None:
    where = {"KUBECONFIG": place.kube.kubeconfig, "NAMESPACE": place.kube.namespace}
    go = place.directory / "go"
    script = f"echo begin $OTTO_WORKER_INDEX; while ! test -e {go}; do sleep 0.05; done; echo end; exit 3"
    event_id = place.send(pod_count=2, command=script)
    place.wait_workers(event_id, "Running", 2)
    several = run(place, event_id, "--follow", **where)
    assert (several.returncode, several.stderr) == (1, "ottoscaler: 2 workers run; say which one: 0, 1\n")
    nowhere = run(place, event_id, "0", "--follow")
    assert nowhere.returncode == 1
    assert "the log cannot be followed" in nowhere.stderr
    assert "set KUBECONFIG and NAMESPACE" in nowhere.stderr
    with start(place, event_id, "1", "--follow", **where) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "begin 1\n"
        go.touch()
        assert following.communicate(timeout=60) == ("end\n", "")
    assert following.returncode == 0
    place.wait_event(event_id)
    ended = run(place, event_id, "1", "--follow", **where)
    assert ended.stdout == "==> worker 1, attempt 0 <==\nbegin 1\nend\n"


def test_a_follower_without_a_reader_ends_though_the_worker_is_silent(place: Sandbox) -> None:
    where = {"KUBECONFIG": place.kube.kubeconfig, "NAMESPACE": place.kube.namespace}
    event_id = place.send(pod_count=1, command="echo begin; sleep 600")
    place.wait_workers(event_id, "Running", 1)
    with start(place, event_id, "--follow", **where) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "begin\n"
        ends_without_its_reader(following)
