"""The service beside keys that another program has overwritten: running workers, new events, scale_downs."""

from __future__ import annotations

from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, running
from tests.harness.waiting import wait_for

P = "otto:scale:events:ottoscaler:"
RESULTS, DEAD = "otto:scale:results", "otto:scale:dead"


def test_service_goes_on_beside_broken_keys_and_loses_nothing(place: Sandbox) -> None:
    replica = place.start()
    long, doomed = running(place), running(place, task_id="doomed")
    good = place.scale_up()
    place.wait_event(good)
    for key in (DEAD, RESULTS, f"{P}offers", f"{P}handed", f"{P}event:{long}"):
        place.redis.delete(key)
        place.redis.set(key, "a stranger's")
    bad = place.send(type="scale_up", pod_count="many")
    down = place.send(type="scale_down", task_id="doomed")
    wait_for(lambda: replica.lines(action="ledger_rewritten", event_id=long), "its ledger is rewritten")
    wait_for(lambda: not place.kube.workers(doomed), "the scale_down deletes its victim's Pod")
    end_workers(place, long)
    wait_for(lambda: replica.lines(action="event_waits", event_id=bad), "the bad event waits, and is told")
    broken = {line["message"].split(" is a ")[0] for line in replica.lines(action="key_broken")}
    assert {RESULTS, DEAD, f"{P}offers", f"{P}handed"} <= broken
    assert place.kube.workers(long), "no Pod is deleted before its result is durable"
    assert replica.ready()
    for key in (DEAD, RESULTS, f"{P}offers", f"{P}handed"):
        place.redis.delete(key)
    assert place.wait_event(long)["status"] == "succeeded"
    assert place.wait_event(doomed)["status"] == "cancelled"
    assert place.wait_event(down)["cancelled"] == "1"
    wait_for(lambda: [f["event_id"] for _, f in place.redis.xrange(DEAD)] == [bad], "the dead letter")
    ends_well(place, place.scale_up())
