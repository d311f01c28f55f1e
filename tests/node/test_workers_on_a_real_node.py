"""What a real kubelet tells of workers, and what the service makes of it."""

from __future__ import annotations

from typing import Any

from tests.harness.sandbox import Sandbox
from tests.node.real_node import RealNode


def _sent(service: Sandbox, command: str, **fields: Any) -> str:
    return service.send(pod_count=1, command=command, **fields)


def _running(service: Sandbox, event_id: str) -> str:
    """The name of the event's one Pod, once it runs."""
    return str(service.wait_workers(event_id, "Running", 1, 60)[0]["metadata"]["name"])


def test_workers_run_as_nobody_with_a_home_and_tell_their_exit_codes(service: Sandbox) -> None:
    event_id = service.send(
        pod_count=2, command='id -u; touch "$HOME/x" && test $OTTO_WORKER_INDEX = 0 || exit 3'
    )
    entry = service.wait_event(event_id, 60)
    assert (entry["status"], entry["succeeded"], entry["failed"]) == ("partial", "1", "1")
    good, bad = service.workers(event_id)
    assert (good["status"], bad["reason"], bad["exit_code"]) == ("succeeded", "Error", "3")
    assert "65532" in bad["message"]
    service.wait_no_pods()


def test_worker_above_its_memory_limit_is_told(service: Sandbox) -> None:
    event_id = _sent(service, "x=a; while true; do x=$x$x; done", memory="20Mi")
    assert service.only_worker(event_id)["reason"] == "OOMKilled"


def test_command_that_does_not_exist_is_told_in_the_runtime_s_words(service: Sandbox) -> None:
    worker = service.only_worker(_sent(service, '["/no/such"]'))
    assert worker["reason"] == "StartError"
    assert "no such file" in worker["message"]


def test_scale_down_lets_the_worker_end_by_itself(service: Sandbox) -> None:
    event_id = _sent(service, 'trap "echo bye; exit 0" TERM; sleep 300 & wait', task_id="build-17")
    _running(service, event_id)
    service.send("scale_down", task_id="build-17")
    assert service.only_worker(event_id)["status"] == "cancelled"


def test_run_limit_ends_a_worker_that_ignores_its_end(service: Sandbox) -> None:
    worker = service.only_worker(_sent(service, 'trap "exit 9" TERM; sleep 300 & wait', timeout_seconds=2))
    assert (worker["reason"], worker["exit_code"]) == ("DeadlineExceeded", "9")


def test_worker_whose_pod_somebody_deleted_runs_again(service: Sandbox) -> None:
    event_id = _sent(service, "trap 'exit 143' TERM; sleep 5 & wait")
    service.kube.delete_pod(_running(service, event_id))
    worker = service.only_worker(event_id)
    assert (worker["status"], worker["attempt"]) == ("succeeded", "1")


def test_worker_that_ended_while_no_kubelet_ran_is_told_once_one_does(
    service: Sandbox, node: RealNode
) -> None:
    event_id = _sent(service, "sleep 2; exit 7")
    _running(service, event_id)
    node.stop_kubelet()
    node.kubelet()
    assert service.only_worker(event_id)["exit_code"] == "7"


def test_worker_whose_node_crashed_runs_again(service: Sandbox, node: RealNode) -> None:
    event_id = _sent(service, "sleep 8")
    _running(service, event_id)
    node.crash()
    node.boot()
    service.wait_event(event_id, 120)
    (worker,) = service.workers(event_id)
    assert (worker["status"], worker["attempt"]) == ("succeeded", "1")
