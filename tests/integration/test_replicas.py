"""Several replicas on one group: each takes what it has room for, and passes on what it has not."""

from __future__ import annotations

from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import OFFERED_SOON, end_workers, ends_well, owner, running, wait_owner
from tests.harness.waiting import stays


def test_event_behind_a_full_replica_is_offered_and_taken(place: Sandbox) -> None:
    place.bounds.update(OFFERED_SOON)
    place.start("full", OTTO_MAX_WORKERS=1)
    busy = running(place)
    waiting = place.scale_up()
    wait_owner(place, waiting, "full", 5)
    place.start("free")
    ends_well_elsewhere(place, waiting)
    assert owner(place, busy) == "full"
    end_workers(place, busy)
    ends_well(place, busy)


def ends_well_elsewhere(place: Sandbox, event_id: str) -> None:
    assert place.wait_event(event_id, 9)["status"] == "succeeded"


def test_replica_with_no_room_leaves_events_unread(place: Sandbox) -> None:
    place.start("full", OTTO_MAX_WORKERS=1, OTTO_MAX_EVENTS_IN_HAND=2)
    running(place)
    for _ in range(5):
        place.scale_up()
    delivered = lambda: place.pending() <= 1 + 2  # noqa: E731 - the running one, and two in hand
    stays(delivered, "the rest is left for others", 1.0)
    place.start("free")
    last = place.redis.xrevrange("otto:scale:events", count=1)[0][0]
    ends_well_elsewhere(place, last)
