"""A create that is carried out when its attempt is over: its Pod goes within a second, and never counts."""

from __future__ import annotations

import math

import pytest

from ottoscaler.local.apiserver.audit import PodLife
from tests.harness.cluster_state import local_only
from tests.harness.invariants import lives
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

LEASE_SECONDS = "1"


def late_life(place: Sandbox, event_id: str) -> PodLife | None:
    """The first attempt's Pod, once it has come and gone."""
    found = lives(place).get((event_id, 0, 0), [])
    return found[0] if found and found[0].deleted is not None else None


@local_only
@pytest.mark.parametrize("how", ["its successor runs", "its event has ended"])
def test_late_pod_is_deleted_within_a_second(place: Sandbox, how: str) -> None:
    assert place.cluster is not None
    first = place.start("first", OTTO_LEASE_SECONDS=LEASE_SECONDS)
    faults = place.cluster.faults
    faults.deliver_late(math.inf)
    seconds: float | str = "inf" if how == "its successor runs" else 0.1
    event_id = place.scale_up(1, run_seconds=seconds)
    wait_for(lambda: not faults.active(), "its create is under way")
    first.kill()
    second = place.start("second", OTTO_LEASE_SECONDS=LEASE_SECONDS)
    if how == "its successor runs":
        wait_for(lambda: (event_id, 0, 1) in lives(place), "the next attempt has its Pod")
    else:
        assert place.wait_event(event_id)["status"] == "succeeded"
    faults.deliver_kept()
    life = wait_for(lambda: late_life(place, event_id), "the late Pod came and went")
    assert life is not None
    # Told so only as it arrives: the sweep, which would take seconds longer, says another word.
    wait_for(lambda: second.lines(action="pod_late", event_id=event_id), "it is told")
    for pod in place.kube.workers(event_id):
        place.kube.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert [worker["attempt"] for worker in place.workers(event_id)] == ["1"]
