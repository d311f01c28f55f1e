"""Whether a Pod had ended by itself before somebody wanted it gone."""

from __future__ import annotations

from dataclasses import replace

from ottoscaler.ledger.records import IndexState, Intent, Stage
from ottoscaler.model import Phase
from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.settle import ended_before

SECOND = 1_795_000_000


def at(seconds: float) -> Intent:
    return Intent(int(seconds * 1000), "1-0", "cancelled by 1-0")


def ended(moment: str, *, deleting: bool = False) -> bool:
    pod = replace(parse_pod({}), phase=Phase.SUCCEEDED, finished_at=moment, deleting=deleting)
    return ended_before(pod, at(SECOND + 0.5))


def test_pod_that_ended_in_an_earlier_second_ended_before() -> None:
    assert ended("2026-11-18T11:06:39Z", deleting=True)


def test_pod_that_ended_in_a_later_second_was_cancelled() -> None:
    assert not ended("2026-11-18T11:06:41Z")


def test_in_the_intents_own_second_only_an_undisturbed_pod_ended_by_itself() -> None:
    assert ended("2026-11-18T11:06:40Z")
    assert not ended("2026-11-18T11:06:40Z", deleting=True)


def test_states_are_read_as_the_scripts_write_them() -> None:
    assert IndexState.parse("s:2:uid-1") == IndexState(Stage.BEGUN, 2, uid="uid-1")
    assert IndexState.parse("w:3:1795:node-1") == IndexState(
        Stage.WAITING, 3, due_ms=1795, avoid_node="node-1"
    )
    assert IndexState.parse("d:0:failed:uid-2") == IndexState(Stage.DONE, 0, uid="uid-2", status="failed")


def test_intents_reason_may_hold_colons() -> None:
    assert Intent.parse("1795:17-0:because: so").why == "because: so"
