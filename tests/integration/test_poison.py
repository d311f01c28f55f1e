"""An event that takes its owners with it is given up; what merely shared a process with it is not."""

from __future__ import annotations

from ottoscaler.ledger.ledger import OUTLIVED_MS
from tests.harness.cluster_state import ledger, local_only
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, running, uids
from tests.harness.waiting import wait_for

DEATHS = 5  # docs/reliability.md


def die(place: Sandbox, event_id: str, times: int) -> None:
    """So many owners die of the event."""
    while times:
        times -= dies(place, event_id)


def dies(place: Sandbox, event_id: str) -> bool:
    """An owner starts, tries to create the event's Pod, and is killed before it has one.

    Returns whether it was killed in time: on a machine that stands still it may have sent heartbeats for long
    enough after the try to have outlived it."""
    before = ledger(place, event_id).get("epoch", "0")
    replica = place.start("owner", ready=False, OTTO_HTTP_PORT=0)

    def tried() -> bool:
        held = ledger(place, event_id)
        return held.get("epoch", "0") != before and held.get("tried", "0") != "0"

    wait_for(tried, "it tries")
    replica.kill()
    seen = place.redis.hget("otto:scale:events:ottoscaler:replica:owner", "seen")
    return int(seen) - int(ledger(place, event_id)["tried"]) <= OUTLIVED_MS


@local_only
def test_event_whose_owners_die_five_times_is_dead_lettered_and_its_neighbours_live(place: Sandbox) -> None:
    assert place.cluster is not None
    first = place.start("owner")
    healthy, other = running(place), running(place)
    before = uids(place, healthy)
    first.kill()
    poison = place.scale_up(task_id="poison")
    place.cluster.faults.hang("create", times=None)
    die(place, poison, DEATHS)
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


@local_only
def test_hanging_creates_and_five_kills_poison_nobody(place: Sandbox) -> None:
    """The suspects take the blame in turn, so that none of five is struck five times."""
    assert place.cluster is not None
    events = [place.scale_up() for _ in range(5)]
    place.cluster.faults.hang("create", times=None)
    for _ in range(DEATHS):
        epochs = {each: ledger(place, each).get("epoch", "0") for each in events}
        replica = place.start("owner", ready=False, OTTO_HTTP_PORT=0)

        def tried(before: dict[str, str] = epochs) -> bool:
            held = [ledger(place, each) for each in events]
            taken = all(h.get("epoch", "0") != before[each] for h, each in zip(held, events, strict=True))
            return taken and any(h.get("tried", "0") != "0" for h in held)

        wait_for(tried, "one of them is tried", 10)
        replica.kill()
    assert max(int(ledger(place, each)["strikes"]) for each in events) < DEATHS
    place.cluster.faults.clear()
    place.start("owner")
    for event_id in events:
        assert place.wait_event(event_id)["status"] == "succeeded"
    assert place.dead() == []


@local_only
def test_suspect_that_waits_for_quota_stops_nobody_else(place: Sandbox) -> None:
    assert place.cluster is not None
    suspect = place.scale_up(cpu="4")
    place.cluster.faults.hang("create", times=None)
    die(place, suspect, 2)
    place.cluster.faults.clear()
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "little"},
        "spec": {"hard": {"requests.cpu": "3"}},
    }  # fmt: skip
    path = f"/api/v1/namespaces/{place.kube.namespace}/resourcequotas"
    assert place.kube.request("POST", path, quota)[0] == 201
    place.start("owner")
    wait_for(lambda: ledger(place, suspect)["strikes"] == "2", "it is a suspect")
    others = [place.scale_up() for _ in range(5)]
    for event_id in others:
        assert place.wait_event(event_id, 10)["status"] == "succeeded"
    assert place.results("event", suspect) == []
