"""Each replica watches its own Pods and those of owners that it took over from, by one list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import FOREVER, ledger, local_only
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import (
    LEASE,
    OFFERED_SOON,
    SWEPT_OFTEN,
    end_workers,
    ends_well,
    running,
    uids,
    wait_owner,
)
from tests.harness.waiting import wait_for

OWNER = "ottoscaler.io/owner"
PREFIX = "otto:scale:events:ottoscaler:"


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(OTTO_LEASE_SECONDS=str(LEASE)) as made:
        yield made


def incarnation(place: Sandbox, name: str) -> str:
    return str(place.redis.hget(f"{PREFIX}replica:{name}", "incarnation"))


def watches(place: Sandbox, name: str) -> set[str]:
    """The owners whose Pods a replica says that it watches."""
    return set((place.redis.hget(f"{PREFIX}replica:{name}", "watches") or "").split())


def owners(place: Sandbox, event_id: str) -> set[str | None]:
    return {pod["metadata"]["labels"].get(OWNER) for pod in place.kube.workers(event_id)}


def looks(replica: Replica) -> float:
    return replica.metric("ottoscaler_kube_request_seconds_count", verb="get", code="200")


def unlabel(place: Sandbox, event_id: str) -> None:
    """Take the owner's label off by hand."""
    for pod in place.kube.workers(event_id):
        path = f"/api/v1/namespaces/{place.kube.namespace}/pods/{pod['metadata']['name']}"

        def put(path: str = path) -> bool:
            code, now = place.kube.request("GET", path)
            assert code == 200, now
            now["metadata"]["labels"].pop(OWNER, None)
            return place.kube.request("PUT", path, now)[0] == 200

        wait_for(put, "its label is off")


def test_pods_bear_the_incarnation_that_created_them_and_each_replica_watches_its_own(place: Sandbox) -> None:
    place.start("first")
    place.start("second")
    event_id = running(place, 2)
    name = ledger(place, event_id)["owner"].partition("/")[0]
    assert owners(place, event_id) == {incarnation(place, name)}
    expected = [{incarnation(place, each)} for each in ("first", "second")]
    wait_for(lambda: [watches(place, each) for each in ("first", "second")] == expected, "each its own")
    end_workers(place, event_id)
    ends_well(place, event_id, 2)


def test_killed_replicas_pods_are_adopted_by_one_list_and_no_look(place: Sandbox) -> None:
    first = place.start("first")
    event_id = running(place, 5)
    dead, before = incarnation(place, "first"), uids(place, event_id)
    second = place.start("second")
    first.kill()
    wait_owner(place, event_id, "second", 20)
    wait_for(lambda: watches(place, "second") == {dead, incarnation(place, "second")}, "it watches both")
    wait_for(lambda: len(second.lines(action="pod_adopted", event_id=event_id)) == 5, "all are adopted")
    assert looks(second) == 0
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    ends_well(place, event_id, 5)


def test_pods_of_owners_before_the_last_are_adopted_too(place: Sandbox) -> None:
    place.settings["OTTO_SHUTDOWN_GRACE_SECONDS"] = "0.5"
    first = place.start("first")
    event_id = running(place, 1)
    for name in ("second", "third"):
        last, first = first, place.start(name)
        last.stop()
        wait_owner(place, event_id, name, 20)
    assert len(ledger(place, event_id)["before"].split()) == 2
    end_workers(place, event_id)
    ends_well(place, event_id)


def test_nonsense_among_the_owners_before_costs_no_watch(place: Sandbox) -> None:
    """Before, the API server refused the lists of each replica that took the event over, and its watch never
    came back."""
    first = place.start("first")
    event_id = running(place, 1)
    place.redis.hset(f"{PREFIX}event:{event_id}", "before", "no (label)")
    second = place.start("second")
    first.kill()
    wait_owner(place, event_id, "second", 20)
    wait_for(lambda: watches(place, "second") == {"*"}, "it watches the whole instance")
    end_workers(place, event_id)
    ends_well(place, event_id)
    assert second.ready()


@pytest.mark.parametrize("field", ["never set", "set before a downgrade"])
def test_upgrade_adopts_what_runs_without_the_label(place: Sandbox, field: str) -> None:
    """As a version leaves it that knows neither the label nor the field of earlier owners."""
    first = place.start("first")
    event_id = running(place, 3)
    before = uids(place, event_id)
    first.kill()
    unlabel(place, event_id)
    if field == "never set":
        place.redis.hdel(f"{PREFIX}event:{event_id}", "before")
    place.start("second")
    wait_owner(place, event_id, "second", 20)
    wait_for(lambda: watches(place, "second") == {"*"}, "it watches the whole instance")
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    ends_well(place, event_id, 3)


@local_only
@pytest.mark.parametrize("label", [None, "somebody-else"])
def test_label_that_a_webhook_changes_costs_no_result(place: Sandbox, label: str | None) -> None:
    assert place.cluster is not None
    place.start("first")
    place.cluster.faults.relabel({OWNER: label}, times=2)
    event_id = place.scale_up(2, run_seconds=0.5)
    ends_well(place, event_id, 2)
    assert {w["attempt"] for w in place.workers(event_id)} == {"0"}


def test_label_that_is_lost_before_the_owner_dies_costs_neither_result_nor_pod(place: Sandbox) -> None:
    first = place.start("first")
    event_id = running(place, 2)
    before = uids(place, event_id)
    unlabel(place, event_id)
    wait_for(lambda: first.lines(action="pod_unseen", event_id=event_id), "it is noticed")
    first.kill()
    place.start("second")
    wait_owner(place, event_id, "second", 20)
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    ends_well(place, event_id, 2)


def test_scale_down_spares_the_running_workers_of_other_replicas(place: Sandbox) -> None:
    """Its replica's watch does not show them."""
    place.settings["OTTO_MAX_WORKERS"] = "2"
    place.bounds.update(OFFERED_SOON)
    place.start("first")
    busy = running(place, 2, task_id="t")
    place.start("second")
    other = running(place, 2, task_id="t")
    assert ledger(place, busy)["owner"] != ledger(place, other)["owner"]
    down = place.send("scale_down", task_id="t", running="keep")
    assert place.wait_event(down)["cancelled"] == "0"
    place.send("scale_down", task_id="t")
    for event_id in (busy, other):
        assert place.wait_event(event_id)["status"] == "cancelled"
    place.wait_no_pods()


@local_only
def test_leftover_of_a_replica_that_left_no_event_is_found_by_the_others(place: Sandbox) -> None:
    """Its result stands, and it died before the delete: nothing is left to be taken over."""
    assert place.cluster is not None
    place.bounds.update(SWEPT_OFTEN)
    first = place.start("first")
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_workers(event_id, "Running", 1)
    place.start("second")
    place.cluster.faults.hang("delete", r"/pods/", times=None)
    end_workers(place, event_id)
    place.wait_event(event_id)
    first.kill()
    place.cluster.faults.clear()
    place.wait_no_pods(60)
    assert len(place.workers(event_id)) == 1
