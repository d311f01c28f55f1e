"""The API server is away or unwilling: workers wait, and none fails for it."""

from __future__ import annotations

import pytest

from tests.harness.cluster_state import local_only
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import SHORT_WATCHES, end_workers, ends_well, running, uids, warnings
from tests.harness.waiting import stays, wait_for

AWAY_SECONDS = 1.5  # short; nothing in the service counts an outage's seconds
RECOVERY_SECONDS = 6.0
FEW_LINES = 20


@local_only
@pytest.mark.parametrize("how", ["refused", "hanging"])
def test_outage_delays_workers_and_fails_none(place: Sandbox, how: str) -> None:
    assert place.cluster is not None
    replica = place.start()
    busy = running(place, 2)
    ending = place.scale_up(1, run_seconds=1.0)
    place.wait_workers(ending, "Running", 1)
    place.cluster.faults.go_away(how)
    during = place.scale_up(2)
    stays(lambda: replica.process.poll() is None, "it waits", AWAY_SECONDS)
    assert replica.get("/healthz")[0] == 200
    assert not place.results("event")
    place.cluster.faults.come_back()
    for event_id in (ending, during):
        assert place.wait_event(event_id, RECOVERY_SECONDS + 6)["status"] == "succeeded"
    end_workers(place, busy)
    ends_well(place, busy, 2)
    assert warnings(replica) <= FEW_LINES, replica.log()


@local_only
def test_retry_after_of_a_429_is_honoured(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start()
    place.cluster.faults.answer(429, 1, "create", r"/pods(\?|$)", retry_after=2)
    ends_well(place, place.scale_up())
    creates = [r for r in place.cluster.audit.requests("create", "pods") if r.code in (201, 429)]
    assert [r.code for r in creates] == [429, 201]
    assert creates[1].time - creates[0].time >= 1.9


@local_only
def test_errors_of_the_server_are_tried_again(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start()
    for status in (401, 500, 504):
        for verb in ("create", "delete", "watch", "list"):
            place.cluster.faults.answer(status, 1, verb, r"/pods")
    place.cluster.faults.cut_watches()
    event_id = place.scale_up(2)
    ends_well(place, event_id, 2, seconds=20)
    assert all(len(found) == 1 for found in place.cluster.audit.uids_by_name().values())


@local_only
@pytest.mark.parametrize("fault", ["cut_watches", "end_watches", "expire_watches", "silence_watches"])
def test_watch_that_breaks_in_mid_flight_costs_no_result(place: Sandbox, fault: str) -> None:
    assert place.cluster is not None
    if fault == "silence_watches":  # noticed only at the watch's end
        place.bounds.update(SHORT_WATCHES)
    place.start()
    event_id = running(place, 2)
    getattr(place.cluster.faults, fault)()
    end_workers(place, event_id)
    assert place.wait_event(event_id, 15)["status"] == "succeeded"
    ends_well(place, event_id, 2)


@local_only
def test_pods_that_vanish_while_the_server_is_away_are_noticed(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start()
    event_id = running(place, max_retries="1")
    before = uids(place, event_id)
    place.cluster.faults.go_away("refused")
    stays(lambda: not place.results("event"), "nothing is made up", 1.0)
    place.cluster.faults.expire_watches()
    for life in place.cluster.audit.lives():
        place.cluster.faults.vanish_pod(life.namespace, life.name)
    place.cluster.faults.come_back()
    wait_for(lambda: uids(place, event_id) not in (set(), before), "the next attempt runs", RECOVERY_SECONDS)
    place.wait_workers(event_id, "Running", 1)
    end_workers(place, event_id)
    ends_well(place, event_id)
    assert [w["attempt"] for w in place.workers(event_id)] == ["1"]
