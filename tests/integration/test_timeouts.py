"""Limits of time: from creation to running, from the container's start, and what the kubelet enforces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.harness.cluster_state import FOREVER, NEVER_STARTS, ended_container, local_only, set_phase
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import running, wait_started
from tests.harness.waiting import stays, wait_for


@pytest.fixture(scope="module")
def hasty() -> Iterator[Sandbox]:
    """A replica that gives a Pod a second and a half to start."""
    with sandbox(OTTO_PENDING_TIMEOUT_SECONDS="1.5") as made:
        made.start()
        yield made


def seconds(worker: dict[str, str], begin: str, end: str) -> float:
    return (datetime.fromisoformat(worker[end]) - datetime.fromisoformat(worker[begin])).total_seconds()


def test_a_pod_that_does_not_start_in_time_ends_its_worker(hasty: Sandbox) -> None:
    worker = hasty.only_worker(hasty.scale_up(1, env=NEVER_STARTS))
    assert (worker["status"], worker["reason"], worker["started_at"]) == ("failed", "PendingTimeout", "")
    assert seconds(worker, "created_at", "finished_at") >= 1


@pytest.fixture
def brisk() -> Iterator[Sandbox]:
    """A replica that gives a worker three seconds to run."""
    with sandbox(OTTO_PENDING_TIMEOUT_SECONDS="60", OTTO_WORKER_TIMEOUT_SECONDS="3") as made:
        made.start()
        yield made


def test_limits_end_what_takes_too_long_and_nothing_else(brisk: Sandbox) -> None:
    place = brisk
    too_long = place.scale_up(1, run_seconds=FOREVER)
    own_limit = place.scale_up(1, run_seconds=FOREVER, timeout_seconds="1")
    in_time = place.scale_up(1, run_seconds=2, timeout_seconds="60")
    longer = place.scale_up(1, run_seconds=4, timeout_seconds="60")
    deadline = {
        event_id: place.wait_workers(event_id, "Running", 1)[0]["spec"]["activeDeadlineSeconds"]
        for event_id in (too_long, own_limit, longer)
    }
    assert deadline == {too_long: 63, own_limit: 61, longer: 120}
    for event_id, limit in ((too_long, 3), (own_limit, 1)):
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"]) == ("failed", "DeadlineExceeded")
        assert (worker["attempt"], worker["exit_code"]) == ("0", "143")  # as its container ended
        assert worker["message"]
        # Counted from the container's start, whose time the API server tells in whole seconds. The Pod's own
        # deadline would come a minute later.
        assert limit - 1 <= seconds(worker, "started_at", "finished_at") <= limit + 40
    assert place.wait_event(in_time)["status"] == "succeeded"
    assert place.wait_event(longer)["status"] == "succeeded"
    place.wait_no_pods()


@local_only  # the real control plane here has a kubelet that runs nothing
def test_a_worker_over_its_limit_gets_its_grace_and_is_recorded_with_its_last_words() -> None:
    """It saves what it has when it is told to go; both its result and its kept log have what it says then."""
    script = "trap 'echo saved half of it; exit 3' TERM; echo begun; while :; do sleep 0.05; done"
    with sandbox(kubelet="process") as place:
        replica = place.start()
        event_id = place.send("scale_up", pod_count=1, timeout_seconds=1, command=["sh", "-c", script])
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"], worker["exit_code"]) == (
            "failed",
            "DeadlineExceeded",
            "3",
        )
        said = worker["message"].splitlines()  # between the two, the shell may tell of its sleep's end
        assert (said[0], said[-1]) == ("begun", "saved half of it")
        assert worker["finished_at"] >= worker["started_at"] > ""
        assert replica.lines(action="worker_overtime", event_id=event_id, index=0)
        kept = place.redis.keys(f"otto:scale:events:ottoscaler:log:{event_id}:0:0")
        assert len(kept) == 1
        place.wait_no_pods()


def test_a_worker_over_its_limit_keeps_its_reason_when_its_owner_dies_in_its_grace(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(TOO_BIG.replace(NOWHERE, "terminationGracePeriodSeconds: 20"))
    with sandbox(OTTO_LEASE_SECONDS="1", OTTO_TEMPLATES_DIR=str(tmp_path)) as place:
        replica = place.start()
        slow = {"SIM_TERM_SECONDS": "4"}
        event_id = place.scale_up(1, run_seconds=FOREVER, env=slow, timeout_seconds="1", profile="slow")
        key = f"otto:scale:events:ottoscaler:event:{event_id}"
        wait_for(
            lambda: [p for p in place.kube.workers(event_id) if p["metadata"].get("deletionTimestamp")],
            "its Pod is asked to go",
            30,
        )
        replica.kill()
        assert place.redis.hexists(key, "t:0")
        place.start()
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "DeadlineExceeded", "0")
        assert len(place.results("worker", event_id)) == 1


def test_a_start_that_fails_keeps_its_reason_where_the_pending_timeout_comes_before_the_grace(
    hasty: Sandbox,
) -> None:
    place = hasty
    reasons = {"ErrImagePull": "ImagePull", "CreateContainerConfigError": "ConfigError"}
    sent = {word: place.scale_up(1, env={"SIM_WAITING": word}) for word in reasons}
    for word, reason in reasons.items():
        worker = place.only_worker(sent[word])
        assert (worker["status"], worker["reason"]) == ("failed", reason)
        assert word in worker["message"]


NOWHERE = 'nodeSelector: {example.org/no-such-node: "1"}'
TOO_BIG = """\
apiVersion: v1
kind: Pod
metadata: {annotations: {ottoscaler.io/accepts: "*"}}
spec:
  nodeSelector: {example.org/no-such-node: "1"}
  containers: [{name: worker, image: "busybox:latest"}]
"""


def test_a_pod_without_a_node_is_unschedulable_with_the_schedulers_sentence(tmp_path: Path) -> None:
    (tmp_path / "nowhere.yaml").write_text(TOO_BIG)
    with sandbox(OTTO_PENDING_TIMEOUT_SECONDS="2", OTTO_TEMPLATES_DIR=str(tmp_path)) as place:
        place.start()
        event_id = place.scale_up(1, profile="nowhere")
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "Unschedulable", "0")
        assert "nodes are available" in worker["message"]
        assert worker["node"] == ""
        place.wait_no_pods()


def test_the_pods_own_deadline_ends_it_while_every_replica_is_gone() -> None:
    with sandbox(OTTO_LEASE_SECONDS="1") as place:
        replica = place.start()
        event_id = running(place)
        (pod,) = place.kube.workers(event_id)
        assert pod["spec"]["activeDeadlineSeconds"]
        replica.kill()
        # What the kubelet writes then. To wait for it, the limit would have to be so short that on a machine
        # that stands still the replica itself may come to end the worker, before it is killed.
        why = {"reason": "DeadlineExceeded", "message": "Pod was active for too long"}
        set_phase(place, pod, "Failed", **why, containerStatuses=ended_container(pod, exitCode=137))
        stays(lambda: not place.workers(event_id), "nobody is there to tell it", 0.2)
        place.start()
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"]) == ("failed", "DeadlineExceeded")
        assert len(place.results("worker", event_id)) == 1


def test_a_worker_adopted_after_a_kill_keeps_its_limit() -> None:
    with sandbox(OTTO_PENDING_TIMEOUT_SECONDS="60", OTTO_LEASE_SECONDS="1") as place:
        replica = place.start()
        event_id = place.scale_up(1, run_seconds=FOREVER, timeout_seconds="3")
        wait_started(place, event_id)
        replica.kill()
        place.start()
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "DeadlineExceeded", "0")
        assert seconds(worker, "started_at", "finished_at") <= 40, "the Pod's own deadline is a minute later"
