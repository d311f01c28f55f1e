"""A stop that comes between an attempt's begin in the ledger and its create costs the attempt nothing."""

from __future__ import annotations

from tests.harness.cluster_state import local_only
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for


@local_only
def test_workers_whose_creates_were_never_sent_keep_their_attempt(place: Sandbox) -> None:
    assert place.cluster is not None
    first = place.start("first", OTTO_SHUTDOWN_GRACE_SECONDS="0")
    place.cluster.faults.answer(429, None, verb="create", path="/pods")
    event_id = place.scale_up(5)
    tried = lambda: first.metric("ottoscaler_kube_request_seconds_count", verb="create") >= 5  # noqa: E731
    wait_for(tried, "every worker's create was turned away")
    assert first.stop() == 0
    place.cluster.faults.clear()
    place.start("second")
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert {w["attempt"] for w in place.workers(event_id)} == {"0"}
