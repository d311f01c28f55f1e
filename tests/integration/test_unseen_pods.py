"""A Pod that the watch no longer shows is not gone for that: somebody may have taken a label off it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import FOREVER, local_only
from tests.harness.observer import Json
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import LEASE, OFTEN, end_workers, ends_well, name_of, owner, running, uids
from tests.harness.waiting import stays, wait_for

INSTANCE_LABEL = "ottoscaler.io/instance"


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(bounds=OFTEN) as made:
        yield made


def relabel(place: Sandbox, name: str, label: str, value: str | None) -> None:
    """As a person would with kubectl label."""
    path = f"/api/v1/namespaces/{place.kube.namespace}/pods/{name}"

    def put() -> bool:
        code, pod = place.kube.request("GET", path)
        assert code == 200, pod
        labels: Json = pod["metadata"]["labels"]
        labels.pop(label, None)
        if value is not None:
            labels[label] = value
        return place.kube.request("PUT", path, pod)[0] == 200

    wait_for(put, f"{label} of {name} is written")


def unseen(place: Sandbox, replica: Replica, label: str = "managed-by") -> str:
    """An event with one running worker that lost a label; the replica has noticed."""
    event_id = running(place)
    relabel(place, name_of(event_id), label, None)
    wait_for(lambda: replica.lines(action="pod_unseen", event_id=event_id), "it is noticed")
    return event_id


def only_one_pod_ever(place: Sandbox, event_id: str) -> bool:
    assert place.cluster is not None
    return [life.name for life in place.cluster.audit.lives()] == [name_of(event_id)]


@local_only
@pytest.mark.parametrize("label", ["managed-by", INSTANCE_LABEL])
def test_worker_that_lost_a_label_runs_on_alone_and_is_deleted_at_its_end(place: Sandbox, label: str) -> None:
    assert place.cluster is not None
    replica = place.start()
    event_id = unseen(place, replica, label)
    place.cluster.faults.expire_watches()  # nor does a list show it
    stays(lambda: only_one_pod_ever(place, event_id), "no other attempt begins", 1.2)
    end_workers(place, event_id)
    ends_well(place, event_id)
    assert [w["attempt"] for w in place.workers(event_id)] == ["0"]
    assert only_one_pod_ever(place, event_id)


@local_only
def test_label_that_is_put_back_brings_the_worker_back_to_the_watch(place: Sandbox) -> None:
    """No look at it would notice its end in time."""
    place.bounds["workers.monitor.UNSEEN_LOOK_SECONDS"] = 600.0
    replica = place.start()
    event_id = unseen(place, replica)
    relabel(place, name_of(event_id), "managed-by", "ottoscaler")
    end_workers(place, event_id)
    ends_well(place, event_id)


@local_only
def test_unseen_worker_can_be_cancelled(place: Sandbox) -> None:
    replica = place.start()
    event_id = unseen(place, replica)
    down = place.send("scale_down", task_id=event_id)
    assert place.wait_event(down)["status"] == "succeeded"
    assert place.wait_event(event_id)["status"] == "cancelled"
    place.wait_no_pods()
    assert only_one_pod_ever(place, event_id)


@local_only
def test_unseen_worker_that_is_really_gone_later_is_tried_again(place: Sandbox) -> None:
    replica = place.start()
    event_id = unseen(place, replica)
    place.kube.delete_pod(name_of(event_id), grace=0)
    wait_for(lambda: uids(place, event_id), "the next attempt runs", 15)
    place.wait_workers(event_id, "Running", 1)
    end_workers(place, event_id)
    ends_well(place, event_id)
    assert [w["attempt"] for w in place.workers(event_id)] == ["1"]


@local_only
def test_next_owner_looks_after_an_unseen_worker_too(place: Sandbox) -> None:
    first = place.start("first", OTTO_LEASE_SECONDS=LEASE)
    event_id = unseen(place, first)
    place.start("second", OTTO_LEASE_SECONDS=LEASE)
    first.kill()
    wait_for(lambda: owner(place, event_id) == "second", "it is taken over", 3 * LEASE + 3)
    end_workers(place, event_id)
    ends_well(place, event_id)
    assert only_one_pod_ever(place, event_id)


@local_only
def test_only_what_others_took_is_looked_at(place: Sandbox) -> None:
    """Two requests a worker, whether it ends or is cancelled; a retry looks once for the earlier Pod, and one
    look more tells what became of a Pod that somebody deleted before it ended."""
    assert place.cluster is not None
    place.start()
    ends_well(place, place.scale_up(5), 5)
    victims = running(place, 3)
    pending = place.scale_up(2, env={"SIM_START_DELAY": "600"})
    place.wait_workers(pending, "Pending", 2)
    for event_id in (victims, pending):
        place.wait_event(place.send("scale_down", task_id=event_id))
        place.wait_event(event_id)
    place.wait_no_pods()
    counts = {
        verb: len(place.cluster.audit.requests(verb, "pods", code))
        for verb, code in (("create", 201), ("delete", 200))
    }
    # The look at the namespace is the test's own: LIST. Nobody here asks for one Pod.
    assert counts == {"create": 10, "delete": 10}
    assert place.cluster.audit.requests("get", "pods") == []
    taken = running(place)
    place.cluster.faults.delete_pod(place.kube.namespace, name_of(taken))
    wait_for(lambda: name_of(taken, 0, 1) in str(place.kube.workers(taken)), "it is tried again")
    assert len(place.cluster.audit.requests("get", "pods")) == 1, "it ended before it went"
    for phase, how in (
        ("Running", place.cluster.faults.vanish_pod),
        ("Pending", place.cluster.faults.delete_pod),
    ):
        env = {"SIM_START_DELAY": "600"} if phase == "Pending" else {}
        forced = place.scale_up(1, run_seconds=FOREVER, env=env)
        place.wait_workers(forced, phase, 1)
        before = len(place.cluster.audit.requests("get", "pods"))
        how(place.kube.namespace, name_of(forced))
        wait_for(lambda: name_of(forced, 0, 1) in str(place.kube.workers(forced)), "it is tried again")  # noqa: B023
        assert len(place.cluster.audit.requests("get", "pods")) == before + 2
