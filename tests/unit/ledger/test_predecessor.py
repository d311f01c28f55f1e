"""Who is registered under this replica's name, judged by what each try to register shows."""

from __future__ import annotations

import json

import pytest

from ottoscaler.errors import LiveTwin
from ottoscaler.ledger.identity import identity
from ottoscaler.ledger.predecessor import Predecessor
from ottoscaler.ledger.replicas import Registration

LEASE = 30.0
ELSEWHERE = json.dumps({"pod_uid": "another", "machine": "another"})


def found(beat: int, incarnation: str = "old", info: str = ELSEWHERE) -> Registration:
    return Registration(False, incarnation, str(beat), info)


def predecessor() -> Predecessor:
    return Predecessor("a", identity("me"), LEASE)


def test_process_that_provably_ended_is_followed_at_once() -> None:
    old = predecessor()
    info = json.dumps({"pod_uid": "me", "machine": "before the container's restart"})
    assert old.has_ended(found(7, info=info), 0.0)
    assert (old.ended, old.last_beat) == ("old", "")


def test_heartbeat_that_stands_still_for_a_whole_lease_has_ended() -> None:
    old = predecessor()
    assert not old.has_ended(found(7), 0.0)
    assert not old.has_ended(found(7), LEASE)
    assert old.ended == ""
    assert old.has_ended(found(7), LEASE + 1)
    assert (old.ended, old.last_beat) == ("old", "7")


def test_heartbeat_that_moves_is_a_live_twin() -> None:
    old = predecessor()
    assert not old.has_ended(found(7), 0.0)
    with pytest.raises(LiveTwin, match="'a'"):
        old.has_ended(found(8), 1.0)


def test_another_successor_is_observed_for_a_lease_of_its_own() -> None:
    old = predecessor()
    assert not old.has_ended(found(7), 0.0)
    assert not old.has_ended(found(1, "younger"), LEASE)
    assert not old.has_ended(found(1, "younger"), LEASE + 1)
    assert old.has_ended(found(1, "younger"), 2 * LEASE + 1)


def test_time_without_an_answer_from_redis_proves_nothing() -> None:
    old = predecessor()
    assert not old.has_ended(found(7), 0.0)
    old.lose_sight()
    assert not old.has_ended(found(8), LEASE + 1)
    assert not old.has_ended(found(8), LEASE + 2)
