"""Retries and adoption: a Pod that others took, that was not told of, or that is not ours."""

from __future__ import annotations

from tests.harness.cluster_state import FOREVER, local_only
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, name_of, running
from tests.harness.waiting import wait_for


def taken_away(place: Sandbox, event_id: str, attempt: int) -> None:
    """Somebody deletes the attempt's running Pod, at once."""
    name = name_of(event_id, 0, attempt)
    look = lambda: any(p["metadata"]["name"] == name for p in place.wait_workers(event_id, "Running", 1))  # noqa: E731
    wait_for(look, f"{name} runs")
    place.kube.delete_pod(name, grace=0)


def test_deleted_pod_is_tried_again_and_holds_no_slot_meanwhile(place: Sandbox) -> None:
    place.start(OTTO_MAX_WORKERS=1)
    event_id = running(place, max_retries="2")
    other = place.scale_up(run_seconds=0)
    taken_away(place, event_id, 0)
    place.wait_event(other)
    (pod,) = place.wait_workers(event_id, "Running", 1)
    assert "affinity" not in pod["spec"], "its node was not at fault"
    end_workers(place, event_id)
    ends_well(place, event_id)
    (worker,) = place.workers(event_id)
    assert (worker["attempt"], worker["pod"]) == ("1", name_of(event_id, 0, 1))
    (told,) = place.workers(other)
    assert told["created_at"] <= worker["created_at"], "the slot was free during the wait"


@local_only
def test_pod_whose_create_reply_was_lost_is_adopted(place: Sandbox) -> None:
    assert place.cluster is not None
    replica = place.start()
    place.cluster.faults.lose_create_replies(2)
    event_id = place.scale_up(3)
    ends_well(place, event_id, 3)
    assert all(len(found) == 1 for found in place.cluster.audit.uids_by_name().values())
    assert len(replica.lines(action="pod_adopted", event_id=event_id)) == 2, replica.log()


def test_foreign_pod_with_our_name_is_an_error_for_that_worker_only(place: Sandbox) -> None:
    event_id = "1717171717171-5"
    foreign = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name_of(event_id, 1), "annotations": {"sim/run-seconds": FOREVER}},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    }
    uid = place.kube.create_pod(foreign)["metadata"]["uid"]
    place.start()
    fields = {"type": "scale_up", "pod_count": 3, "env": '{"SIM_RUN_SECONDS": "0.1"}'}
    place.redis.xadd("otto:scale:events", fields, id=event_id)
    assert place.wait_event(event_id)["status"] == "partial"
    got = [(w["status"], w["reason"]) for w in place.workers(event_id)]
    assert got == [("succeeded", "Completed"), ("failed", "Rejected"), ("succeeded", "Completed")]
    assert f"{name_of(event_id, 1)} exists that is not this worker's" in place.workers(event_id)[1]["message"]
    place.wait_no_pods()
    left = {p["metadata"]["name"]: p["metadata"]["uid"] for p in place.kube.pods()}
    assert left == {name_of(event_id, 1): uid}, "the foreign Pod is not touched"
