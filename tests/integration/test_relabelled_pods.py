"""A mutating webhook rewrites our Pods: the create's reply tells, and the worker looks at its Pod itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import FOREVER, ended_container, local_only
from tests.harness.observer import Json
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import OFTEN, SWEPT_OFTEN, name_of
from tests.harness.waiting import stays, wait_for

PREFIX = "ottoscaler.io/"
ANY_POD = r"/pods/"
UNSEEN = "otto:scale:events:ottoscaler:unseen"


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(bounds=OFTEN) as made:
        yield made


def pods(place: Sandbox) -> list[Json]:
    """All Pods of the namespace, whatever labels they have."""
    return [p for p in place.kube.pods() if p["metadata"]["name"].startswith("otto-agent-")]


def names(place: Sandbox) -> list[str]:
    return [p["metadata"]["name"] for p in pods(place)]


def in_phase(place: Sandbox, phase: str) -> list[Json]:
    return [p for p in pods(place) if p["status"]["phase"] == phase]


def nothing_left(place: Sandbox) -> None:
    wait_for(lambda: not pods(place), "no Pod is left", 20.0)
    wait_for(lambda: not place.redis.exists(UNSEEN), "nothing is noted any more", 20.0)
    place.wait_nothing_pending()


@local_only
@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ({"managed-by": "helm", "app": None}, "app, managed-by"),
        (
            {PREFIX + "installation": "x", PREFIX + "event-id": "1-1", PREFIX + "index": "7"},
            f"{PREFIX}installation, {PREFIX}event-id, {PREFIX}index",
        ),
    ],
)
def test_worker_whose_labels_a_webhook_rewrote_ends_as_any_other(
    place: Sandbox, labels: dict[str, str | None], named: str
) -> None:
    assert place.cluster is not None
    replica = place.start()
    place.cluster.faults.relabel(labels)
    event_id = place.scale_up(2)
    assert place.wait_event(event_id, 12)["succeeded"] == "2", "long before the pending timeout"
    nothing_left(place)
    (line, *_) = replica.lines(action="labels_changed", event_id=event_id)
    assert f" {named} of " in line["message"]
    lives = [life.name for life in place.cluster.audit.lives()]  # two threads create them, in either order
    assert sorted(lives) == [name_of(event_id), name_of(event_id, 1)]


@local_only
def test_relabelled_worker_can_be_cancelled(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start()
    place.cluster.faults.relabel({"managed-by": "helm"})
    event_id = place.scale_up(1, run_seconds=FOREVER)
    wait_for(lambda: pods(place), "it is created")
    place.send("scale_down", task_id=event_id)
    assert place.wait_event(event_id)["status"] == "cancelled"
    nothing_left(place)


@local_only
@pytest.mark.parametrize(
    "labels",
    [
        {"managed-by": "helm", PREFIX + "instance": None, "app": None},
        {PREFIX + "installation": "another"},
    ],
    ids=["selected labels", "installation"],
)
def test_relabelled_pod_of_a_create_without_a_reply_is_adopted(
    place: Sandbox, labels: dict[str, str | None]
) -> None:
    """Once it was taken for a stranger's, where the webhook had written the installation's label anew."""
    assert place.cluster is not None
    place.start()
    place.cluster.faults.relabel(labels)
    place.cluster.faults.lose_create_replies()
    event_id = place.scale_up(1)
    assert place.wait_event(event_id, 12)["status"] == "succeeded"
    nothing_left(place)
    assert [w["attempt"] for w in place.workers(event_id)] == ["0"]


@local_only
def test_relabelled_pod_whose_owner_died_before_its_delete_is_swept(place: Sandbox) -> None:
    assert place.cluster is not None
    first = place.start("one")
    place.cluster.faults.relabel({PREFIX + "installation": "another"})
    place.cluster.faults.hang("delete", ANY_POD, times=None)
    event_id = place.scale_up(1)
    place.wait_event(event_id, 12)
    first.kill()
    assert place.redis.hgetall(UNSEEN) == {name_of(event_id): pods(place)[0]["metadata"]["uid"]}
    place.cluster.faults.clear()
    place.bounds.update(SWEPT_OFTEN)
    place.start("one")
    nothing_left(place)
    assert len(place.results("worker", event_id)) == 1


@local_only
def test_relabelled_pod_of_a_retry_whose_owner_died_is_swept_too(place: Sandbox) -> None:
    assert place.cluster is not None
    first = place.start("one")
    place.cluster.faults.relabel({"managed-by": "helm"}, times=1)
    event_id = place.scale_up(1, run_seconds=FOREVER)
    (pod,) = wait_for(lambda: in_phase(place, "Running"), "it runs")
    place.cluster.faults.hang("delete", ANY_POD, times=None)
    place.kube.set_status(pod["metadata"]["name"], {"phase": "Failed", "reason": "Evicted"})
    wait_for(lambda: first.lines(action="worker_retries"), "a retry is planned")
    first.kill()
    place.cluster.faults.clear()
    place.bounds.update(SWEPT_OFTEN)
    place.start("one")
    wait_for(lambda: names(place) == [name_of(event_id, 0, 1)], "only the next attempt is there")
    place.send("scale_down", task_id=event_id)
    place.wait_event(event_id)
    nothing_left(place)


@local_only
def test_next_attempt_waits_for_a_relabelled_one_that_still_runs(place: Sandbox) -> None:
    """Its replica gave the attempt up before the Pod's end, and died before it could see to that."""
    assert place.cluster is not None
    first = place.start("one")
    place.cluster.faults.relabel({PREFIX + "installation": "another"}, times=1)
    event_id = place.scale_up(1, run_seconds=FOREVER)
    wait_for(lambda: in_phase(place, "Running"), "it runs")
    first.kill()
    place.redis.hset(f"otto:scale:events:ottoscaler:event:{event_id}", "i:0", "w:1:0:")
    second = place.start("one")
    wait_for(lambda: second.lines(action="event_taken_over", event_id=event_id), "it is taken over")
    stays(lambda: names(place) == [name_of(event_id)], "no two attempts run beside each other", 1.0)
    place.kube.set_status(name_of(event_id), {"phase": "Succeeded"})
    wait_for(lambda: name_of(event_id, 0, 1) in names(place), "the next attempt has its Pod")
    place.send("scale_down", task_id=event_id)
    assert place.wait_event(event_id)["cancelled"] == "1"


@local_only
def test_common_workers_are_noted_nowhere(place: Sandbox) -> None:
    """Neither a note in Redis nor a look: two requests a worker."""
    assert place.cluster is not None
    place.start()
    place.redis.config_resetstat()
    assert place.wait_event(place.scale_up(3))["succeeded"] == "3"
    nothing_left(place)
    assert place.cluster.audit.requests("get", "pods") == []
    assert "cmdstat_hdel" not in str(place.redis.info("commandstats").get("cmdstat_hdel", ""))


@local_only
def test_restart_policy_that_a_webhook_changed_fails_the_worker(place: Sandbox) -> None:
    """It would run its command again and again, and never end."""
    assert place.cluster is not None
    place.start()
    place.cluster.faults.respec({"restartPolicy": "OnFailure"})
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_event(event_id, 10)
    (worker,) = place.workers(event_id)
    assert (worker["status"], worker["reason"]) == ("failed", "Rejected")
    assert "restartPolicy to OnFailure" in worker["message"]
    nothing_left(place)


@local_only
@pytest.mark.parametrize("answers_lost", [0, 1])
def test_pod_that_a_webhook_renamed_fails_its_worker_and_is_deleted(
    place: Sandbox, answers_lost: int
) -> None:
    """No call by the worker's name would find it: its end was waited for until the time limit. Without an
    answer to the create, creates were tried until the pending timeout, and its command ran meanwhile."""
    assert place.cluster is not None
    replica = place.start()
    place.cluster.faults.rename("x-")
    if answers_lost:
        place.cluster.faults.lose_create_replies(answers_lost)
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_event(event_id, 30)
    (worker,) = place.workers(event_id)
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "Rejected", "0")
    renamed = f"x-{name_of(event_id)}"
    assert f"an admission webhook renamed its Pod to {renamed}" in worker["message"]
    wait_for(lambda: not place.kube.pods(), "no Pod is left, whatever its name", 30)
    place.wait_nothing_pending()
    assert [life.name for life in place.cluster.audit.lives()] == [renamed]
    assert not replica.lines(level="ERROR")


@local_only
def test_sidecar_that_a_webhook_put_first_changes_no_result(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start()
    place.cluster.faults.respec({}, sidecar={"name": "proxy", "image": "busybox"})
    event_id = place.scale_up(1, run_seconds=FOREVER)
    (pod,) = place.wait_workers(event_id, "Running", 1)
    ended = ended_container(pod, exitCode=0, reason="Completed")
    place.kube.set_status(pod["metadata"]["name"], {"containerStatuses": ended})
    assert place.wait_event(event_id, 10)["status"] == "succeeded"
    nothing_left(place)


def test_label_taken_off_by_hand_costs_neither_result_nor_pod(place: Sandbox) -> None:
    """On the real cluster too."""
    replica = place.start()
    event_id = place.scale_up(1, run_seconds=FOREVER)
    (pod,) = place.wait_workers(event_id, "Running", 1)
    path = f"/api/v1/namespaces/{place.kube.namespace}/pods/{pod['metadata']['name']}"

    def unlabel() -> bool:
        code, now = place.kube.request("GET", path)
        assert code == 200, now
        for label in ("managed-by", PREFIX + "instance", "app"):
            now["metadata"]["labels"].pop(label, None)
        return place.kube.request("PUT", path, now)[0] == 200

    wait_for(unlabel, "its labels are off")
    wait_for(lambda: replica.lines(action="pod_unseen", event_id=event_id), "it is noticed")
    place.kube.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})
    assert place.wait_event(event_id, 20)["status"] == "succeeded"
    nothing_left(place)
    assert [w["attempt"] for w in place.workers(event_id)] == ["0"]
