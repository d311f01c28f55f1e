"""Entries that come again, go astray, or lose their group: finished work never runs again."""

from __future__ import annotations

import pytest

from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import LEASE, behind_proxy, end_workers, ends_well, running, uids
from tests.harness.waiting import stays, wait_for

STREAM, GROUP = "otto:scale:events", "ottoscaler"
COMMANDS = {
    "XGROUP SETID 0": ("XGROUP", "SETID", STREAM, GROUP, "0"),
    "XGROUP DESTROY": ("XGROUP", "DESTROY", STREAM, GROUP),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_runs_again_after(place: Sandbox, command: str) -> None:
    place.start()
    done = place.scale_up(2)
    ends_well(place, done, 2)
    busy = running(place)
    before = uids(place, busy)
    place.redis.execute_command(*COMMANDS[command])
    fresh = place.scale_up()
    assert place.wait_event(fresh)["status"] == "succeeded"
    stays(lambda: len(place.results("event", done)) == 1, "it does not run again", 1.0)
    assert len(place.workers(done)) == 2
    assert uids(place, busy) == before
    end_workers(place, busy)
    ends_well(place, busy)


def test_entry_that_a_stranger_read_and_forgot_is_run_after_a_lease(place: Sandbox) -> None:
    event_id = place.scale_up()
    place.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    assert place.redis.xreadgroup(GROUP, "stranger", {STREAM: ">"}, count=10)
    place.start(OTTO_LEASE_SECONDS=LEASE)
    ends_well(place, event_id, seconds=4 * LEASE + 3)


def test_event_whose_entry_was_trimmed_runs_on_from_the_ledger(place: Sandbox) -> None:
    """Producers may trim with XADD MAXLEN; after a broken connection the entry is met again, empty."""
    proxy, through = behind_proxy(place)
    replica = place.start(**through)
    event_id = running(place, 2)
    before = uids(place, event_id)
    place.redis.xtrim(STREAM, maxlen=0, approximate=False)
    reads = replica.metric("ottoscaler_redis_polls_total")
    proxy.cut_now()
    wait_for(lambda: replica.metric("ottoscaler_redis_polls_total") > reads + 1, "it reads again", 8)
    assert place.dead() == []
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    ends_well(place, event_id, 2)
    proxy.close()


def test_entry_deleted_before_it_was_ever_begun_is_dead_lettered_not_silent(place: Sandbox) -> None:
    event_id = place.scale_up()
    place.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    place.redis.xreadgroup(GROUP, "same", {STREAM: ">"}, count=10)
    place.redis.xdel(STREAM, event_id)
    place.start("same")
    assert "deleted from the stream" in place.wait_dead(event_id)["error"]
    place.wait_nothing_pending()
