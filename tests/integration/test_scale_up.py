"""The main job, on a real Redis and over real HTTP."""

from __future__ import annotations

from tests.harness.sandbox import Sandbox


def test_scale_up_runs_its_workers_and_tells_their_results(place: Sandbox) -> None:
    place.start()
    event_id = place.scale_up(3, task_id="build-17", branch="main")
    entry = place.wait_event(event_id)
    assert (entry["status"], entry["pod_count"], entry["succeeded"]) == ("succeeded", "3", "3")
    assert [w["index"] for w in place.workers(event_id)] == ["0", "1", "2"]
    assert {w["metadata"] for w in place.workers(event_id)} == {'{"branch":"main"}'}
    place.wait_no_pods()
    assert place.pending() == 0


def test_failing_worker_disturbs_no_other_event(place: Sandbox) -> None:
    place.start()
    bad = place.scale_up(2, env={"SIM_EXIT_CODE": "3"})
    good = place.scale_up(2)
    assert place.wait_event(bad)["status"] == "failed"
    assert place.wait_event(good)["status"] == "succeeded"
    assert {(w["reason"], w["exit_code"]) for w in place.workers(bad)} == {("Error", "3")}
