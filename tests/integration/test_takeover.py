"""Whose event it is: taken over soon after a death, never from the living, handed over at a stop."""

from __future__ import annotations

import json

from tests.harness.cluster_state import ledger
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import LEASE, end_workers, ends_well, owner, running, uids, wait_owner
from tests.harness.waiting import stays, wait_for

SLACK_SECONDS = 1.5  # for a busy test machine, beyond what the design promises


def test_killed_replicas_event_is_taken_over_within_two_leases(place: Sandbox) -> None:
    first = place.start("first", OTTO_LEASE_SECONDS=LEASE)
    event_id = running(place, 2)
    place.start("second", OTTO_LEASE_SECONDS=LEASE)
    before = uids(place, event_id)
    first.kill()
    wait_owner(place, event_id, "second", 2 * LEASE + SLACK_SECONDS)
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    ends_well(place, event_id, 2)


def test_worker_that_ended_before_a_scale_down_keeps_its_end_though_its_owner_is_dead(place: Sandbox) -> None:
    """The replica that carries out the scale_down deletes the Pod, and takes the event over afterwards."""
    first = place.start("first", OTTO_LEASE_SECONDS=6)
    event_id = running(place)
    place.start("second", OTTO_LEASE_SECONDS=6)
    first.kill()
    end_workers(place, event_id)
    place.wait_workers(event_id, "Succeeded", 1)
    down = place.send("scale_down", task_id=event_id)
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert place.wait_event(down)["cancelled"] == "0"


def test_long_workers_are_never_taken_from_a_living_replica(place: Sandbox) -> None:
    place.start("first", OTTO_LEASE_SECONDS=LEASE)
    event_id = running(place)
    place.start("second", OTTO_LEASE_SECONDS=LEASE)
    stays(lambda: owner(place, event_id) == "first", "the living owner keeps its event", 2.2)
    assert ledger(place, event_id)["epoch"] == "1"


def test_outage_of_redis_longer_than_a_lease_costs_nobody_its_events(place: Sandbox) -> None:
    names = ("first", "second", "third")
    for name in names:
        place.start(name, OTTO_LEASE_SECONDS=LEASE)
    events = [running(place) for _ in range(4)]
    before = {e: owner(place, e) for e in events}
    place.redis_server.kill()
    time_away = LEASE * 1.5
    stays(lambda: all(r.process.poll() is None for r in place.replicas), "replicas wait", time_away)
    place.redis_server.start()
    wait_for(lambda: all(r.ready() for r in place.replicas), "all are ready again", 5 + SLACK_SECONDS)
    stays(lambda: {e: owner(place, e) for e in events} == before, "nobody took anything", LEASE)
    for event_id in events:
        end_workers(place, event_id)
    for event_id in events:
        ends_well(place, event_id)


def test_frozen_replica_does_no_harm_when_it_wakes(place: Sandbox) -> None:
    first = place.start("first", OTTO_LEASE_SECONDS=LEASE, OTTO_MAX_WORKERS=2)
    event_id = place.scale_up(3, run_seconds="inf")  # one waits for a slot
    place.wait_workers(event_id, "Running", 2)
    second = place.start("second", OTTO_LEASE_SECONDS=LEASE)
    first.freeze()
    wait_owner(place, event_id, "second", 2 * LEASE + SLACK_SECONDS)
    place.wait_workers(event_id, "Running", 3)
    first.thaw()
    free = lambda: first.metric("ottoscaler_workers") == 0  # noqa: E731
    wait_for(free, "it lets go of the slots of what is another's now", 5)
    end_workers(place, event_id)
    ends_well(place, event_id, 3)
    second.kill()
    ends_well(place, place.scale_up())


def test_stop_leaves_running_workers_to_the_next_replica_within_two_seconds(place: Sandbox) -> None:
    first = place.start("first", OTTO_LEASE_SECONDS=120, OTTO_SHUTDOWN_GRACE_SECONDS=0)
    event_id = running(place)
    before = uids(place, event_id)
    place.start("second", OTTO_LEASE_SECONDS=120)
    assert first.stop() == 0
    wait_owner(place, event_id, "second", 2 + SLACK_SECONDS)
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    ends_well(place, event_id)


def test_event_comes_back_to_a_replica_that_once_lost_it(place: Sandbox) -> None:
    """The first remembers the event from before it was frozen: by the ledger it is not its any more."""
    first = place.start("first", OTTO_LEASE_SECONDS=LEASE)
    event_id = running(place)
    second = place.start("second", OTTO_LEASE_SECONDS=LEASE, OTTO_SHUTDOWN_GRACE_SECONDS=0)
    first.freeze()
    wait_owner(place, event_id, "second", 2 * LEASE + SLACK_SECONDS)
    first.thaw()
    wait_for(first.ready, "it serves again", 5)
    assert second.stop() == 0
    wait_owner(place, event_id, "first", 2 + SLACK_SECONDS)
    end_workers(place, event_id)
    ends_well(place, event_id)


def test_restart_under_the_same_name_takes_its_own_back_at_once(place: Sandbox) -> None:
    """The lease of 120 s need not run out: the same machine shows that the old process is gone."""
    first = place.start("same", OTTO_LEASE_SECONDS=120)
    event_id = running(place)
    before, uid = ledger(place, event_id)["owner"], uids(place, event_id)
    first.kill()
    place.start("same", OTTO_LEASE_SECONDS=120)
    wait_for(lambda: ledger(place, event_id)["owner"] != before, "the new incarnation owns it", 3)
    assert uids(place, event_id) == uid
    end_workers(place, event_id)
    ends_well(place, event_id)


def test_restarted_container_of_the_same_pod_takes_its_own_back_at_once(place: Sandbox) -> None:
    """That both have one Pod's UID shows that the first is gone. Its process id means nothing here."""
    first = place.start("same", OTTO_LEASE_SECONDS=120, POD_UID="u-1")
    event_id = running(place)
    before = ledger(place, event_id)["owner"]
    first.kill()
    key = "otto:scale:events:ottoscaler:replica:same"
    info = json.loads(place.redis.hget(key, "info"))
    place.redis.hset(key, "info", json.dumps({**info, "machine": "the first container's"}))
    place.start("same", OTTO_LEASE_SECONDS=120, POD_UID="u-1")
    wait_for(lambda: ledger(place, event_id)["owner"] != before, "the new incarnation owns it", 3)
    end_workers(place, event_id)
    ends_well(place, event_id)


def test_dead_consumer_that_owns_nothing_leaves_the_group(place: Sandbox) -> None:
    first = place.start("first", OTTO_LEASE_SECONDS=LEASE)
    ends_well(place, place.scale_up())
    place.start("second", OTTO_LEASE_SECONDS=LEASE)
    first.kill()

    def names() -> list[str]:
        consumers = place.redis.execute_command("XINFO CONSUMERS", "otto:scale:events", "ottoscaler")
        return [c["name"] for c in consumers]

    wait_for(lambda: "first" not in names(), "the dead consumer is removed", 3 * LEASE + SLACK_SECONDS)
    assert not place.redis.sismember("otto:scale:events:ottoscaler:replicas", "first")
