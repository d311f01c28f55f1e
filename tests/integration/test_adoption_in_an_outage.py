"""A dead owner's half-begun worker is taken over while the API server is away: it waits and does not fail."""

from __future__ import annotations

from tests.harness.cluster_state import ledger, local_only
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for


@local_only
def test_half_begun_worker_waits_for_the_api_server_to_be_looked_for(place: Sandbox) -> None:
    assert place.cluster is not None
    faults = place.cluster.faults
    first = place.start("first", OTTO_LEASE_SECONDS="1")
    faults.hang(verb="create", path="/pods", times=None)
    event_id = place.scale_up(1)
    wait_for(lambda: ledger(place, event_id).get("i:0") == "s:0:", "its create is on its way")
    first.kill()
    faults.clear()
    faults.answer(503, None, verb="get", path="/pods/")
    second = place.start("second", OTTO_LEASE_SECONDS="1")
    wait_for(lambda: second.lines(action="trying_again"), "the new owner looks for the Pod in vain")
    assert second.lines(action="worker_error") == []
    faults.clear()
    assert place.wait_event(event_id)["status"] == "succeeded"
