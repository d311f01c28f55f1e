"""Which victims of a scale_down are cancelled together."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from ottoscaler.controller.victims import EVENTS_A_SCRIPT, VICTIMS_A_SCRIPT, VictimChoice, batches
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.model import Phase, PodView, WorkerId
from ottoscaler.pods.labels import pod_name
from ottoscaler.pods.view import parse_pod
from ottoscaler.retry import Retrier


def test_workers_of_one_event_are_cancelled_a_hundred_at_a_time() -> None:
    order = [("1-0", index) for index in range(2 * VICTIMS_A_SCRIPT + 1)]
    assert [len(batch) for batch in batches(order)] == [VICTIMS_A_SCRIPT, VICTIMS_A_SCRIPT, 1]
    assert [victim for batch in batches(order) for victim in batch] == order


def test_few_events_at_a_time_end_so_that_no_script_tells_the_metadata_of_many() -> None:
    order = [(f"{event}-0", index) for event in range(EVENTS_A_SCRIPT + 2) for index in range(2)]
    assert [len(batch) for batch in batches(order)] == [2 * EVENTS_A_SCRIPT, 4]
    assert [victim for batch in batches(order) for victim in batch] == order


def test_no_victims_make_no_batch() -> None:
    assert list(batches([])) == []


WORKER = WorkerId("1-0", 0, 0)
NAME = pod_name("test", "1-0", 0, 0)


class Shown:
    """Stands for the watch and the ledger: one Pod, and the installation's id."""

    installation = "mine"

    def __init__(self, shown: PodView) -> None:
        self._shown = shown

    def view(self, name: str) -> PodView | None:
        return self._shown if name == NAME else None


def pod(phase: Phase, uid: str = "u", installation: str = "mine") -> PodView:
    return parse_pod({})._replace(name=NAME, uid=uid, phase=phase, installation=installation)


def choice(watched: PodView) -> VictimChoice:
    shown = Shown(watched)
    return VictimChoice(
        cast(Ledger, shown), cast(PodWatcher, shown), Retrier(threading.Event()), instance="test"
    )


@pytest.mark.parametrize("newer", [Phase.RUNNING, Phase.SUCCEEDED])
def test_of_watch_and_list_the_one_that_shows_a_pod_farther_along_holds(newer: Phase) -> None:
    early, late = pod(Phase.PENDING), pod(newer)
    assert choice(early).view(WORKER, "u", {NAME: late}) == late
    assert choice(late).view(WORKER, "u", {NAME: early}) == late


def test_another_pod_of_the_name_says_nothing_of_the_worker() -> None:
    pending = pod(Phase.PENDING)
    assert choice(pending).view(WORKER, "u", {NAME: pod(Phase.RUNNING, "another")}) == pending
    assert choice(pending).view(WORKER, "", {NAME: pod(Phase.RUNNING, "x", "theirs")}) == pending
    assert choice(pod(Phase.RUNNING, "another")).view(WORKER, "u") is None
