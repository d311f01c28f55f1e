"""What Redis keeps, for how long, and what may never go before its time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.cluster_state import ledger
from tests.harness.redis_fixture import counts_what_is_added
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, running
from tests.harness.waiting import stays, wait_for

STREAM = "otto:scale:events"
PREFIX = f"{STREAM}:ottoscaler:"
SHORT: dict[str, Any] = {"OTTO_RETENTION_SECONDS": 1, "OTTO_DEAD_RETENTION_SECONDS": 1}
GONE_SECONDS = 10.0


def keys(place: Sandbox) -> set[str]:
    return {str(key) for key in place.redis.scan_iter(f"{PREFIX}event:*")}


def succeeds(place: Sandbox, event_id: str) -> None:
    """Told by the log: its results may have expired by the time that one looks."""

    def ended() -> set[str]:
        lines = [
            line for each in place.replicas for line in each.lines(action="event_ended", event_id=event_id)
        ]
        return {line["message"] for line in lines}

    assert wait_for(ended, "it ends") == {"the event succeeded"}
    place.wait_no_pods()
    place.wait_nothing_pending()


def test_unfinished_event_keeps_itself_and_nothing_of_the_others(place: Sandbox) -> None:
    place.start(**SHORT)
    before = place.scale_up()
    busy = running(place)
    after = place.scale_up()
    wait_for(lambda: not ledger(place, before), "what is older expires", GONE_SECONDS)
    wait_for(lambda: not ledger(place, after), "and so does what is younger", GONE_SECONDS)

    def kept() -> bool:
        return [i for i, _ in place.redis.xrange(STREAM)] == [busy]

    wait_for(kept, "its entry alone is left", GONE_SECONDS)
    place.redis.xgroup_setid(STREAM, "ottoscaler", "0")
    stays(lambda: kept() and keys(place) == {f"{PREFIX}event:{busy}"}, "it stays; nothing runs again", 1.2)
    end_workers(place, busy)
    succeeds(place, busy)
    wait_for(lambda: not keys(place), "then all of it goes", GONE_SECONDS)


def test_entry_that_another_group_has_not_acknowledged_is_never_trimmed(place: Sandbox) -> None:
    place.redis.xgroup_create(STREAM, "auditors", id="0", mkstream=True)
    place.start(**SHORT)
    first, second = place.scale_up(), place.scale_up()
    place.redis.xreadgroup("auditors", "a", {STREAM: ">"}, count=1)
    wait_for(lambda: not keys(place), "our own ledgers expire", GONE_SECONDS)

    def ids() -> list[str]:
        return [str(i) for i, _ in place.redis.xrange(STREAM)]

    stays(lambda: ids() == [first, second], "pending and unread entries stay", 1.2)
    place.redis.xack(STREAM, "auditors", first)
    wait_for(lambda: ids() == [second], "what was acknowledged goes", GONE_SECONDS)
    place.redis.xreadgroup("auditors", "a", {STREAM: ">"}, count=1)
    place.redis.xack(STREAM, "auditors", second)
    wait_for(lambda: ids() == [], "the rest too", GONE_SECONDS)


def test_entries_that_a_producer_trims_before_they_are_read_are_told(place: Sandbox) -> None:
    """12 added behind a full replica, 8 gone, and once not a word. Its death and its stop change nothing."""
    if not counts_what_is_added(place.redis):
        pytest.skip("before Redis 7.0 it cannot be known: nobody had seen them, and newer ones are there")
    replica = place.start(OTTO_RETENTION_SECONDS=1, OTTO_MAX_WORKERS=1, OTTO_MAX_EVENTS_IN_HAND=1)
    busy = running(place)
    waiting = place.scale_up()
    wait_for(lambda: ledger(place, waiting), "the replica's hand is full", GONE_SECONDS)
    at_once = place.redis.pipeline(transaction=True)  # so that nobody looks in between
    for _ in range(12):
        at_once.xadd(STREAM, {"type": "scale_up", "pod_count": 1}, maxlen=4, approximate=False)
    at_once.execute()
    (letter,) = wait_for(place.dead, "it is told", GONE_SECONDS)
    assert letter["error"].startswith("8 entries between ")
    wait_for(lambda: replica.metric("ottoscaler_entries_lost_total") == 8, "it is counted")
    replica.kill()
    place.start(OTTO_RETENTION_SECONDS=1)
    end_workers(place, busy)
    succeeds(place, busy)
    wait_for(lambda: not place.redis.xlen(STREAM), "the four that were left have run and gone", GONE_SECONDS)
    assert len(place.dead()) == 1
