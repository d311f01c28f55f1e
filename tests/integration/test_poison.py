"""An event that takes its owners with it is given up; what merely shared a process with it is not."""

from __future__ import annotations

from tests.harness.cluster_state import ledger, local_only
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, running, uids
from tests.harness.waiting import wait_for

DEATHS = 5  # DESIGN.md section 5


def dies(place: Sandbox, event_id: str) -> None:
    """An owner starts, tries to create the event's Pod, and is killed before it has one."""
    before = ledger(place, event_id).get("epoch", "0")
    replica = place.start("owner", ready=False, OTTO_HTTP_PORT=0)

    def tried() -> bool:
        held = ledger(place, event_id)
        return held.get("epoch", "0") != before and held.get("tried") == "1"

    wait_for(tried, "it tries", 10)
    replica.kill()


@local_only
def test_event_whose_owners_die_five_times_is_dead_lettered_and_its_neighbours_live(place: Sandbox) -> None:
    assert place.cluster is not None
    first = place.start("owner")
    healthy, other = running(place), running(place)
    before = uids(place, healthy)
    first.kill()
    poison = place.scale_up(task_id="poison")
    place.cluster.faults.hang("create", times=None)
    for _ in range(DEATHS):
        dies(place, poison)
    for event_id in (healthy, other):
        assert ledger(place, event_id)["strikes"] == "0", event_id
    place.start("owner")
    dead = place.wait_dead(poison)
    assert "died 5 times without progress" in dead["error"]
    assert dead["error"].count("owner died without progress") == DEATHS
    assert (dead["field:task_id"], dead["field:type"]) == ("poison", "scale_up")
    place.cluster.faults.clear()
    assert place.wait_event(poison)["status"] == "cancelled"
    assert [w["status"] for w in place.workers(poison)] == ["cancelled"]
    assert uids(place, healthy) == before
    for event_id in (healthy, other):
        end_workers(place, event_id)
    for event_id in (healthy, other):
        ends_well(place, event_id)
    assert len(place.dead()) == 1


def test_restarts_never_count_against_a_healthy_long_event(place: Sandbox) -> None:
    replica = place.start("owner")
    event_id = running(place)
    for _ in range(DEATHS + 1):
        before = ledger(place, event_id)["epoch"]
        replica.kill()
        replica = place.start("owner", ready=False)
        wait_for(lambda epoch=before: ledger(place, event_id)["epoch"] != epoch, "taken over", 10)  # type: ignore[misc]
    assert ledger(place, event_id)["strikes"] == "0"
    end_workers(place, event_id)
    ends_well(place, event_id)
    assert place.dead() == []
