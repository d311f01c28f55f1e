"""Pods that only the ledger knows: how many are looked at between two sweeps, and which."""

from __future__ import annotations

from unittest.mock import create_autospec

from ottoscaler.controller.visible_pods import LOOKS_AT_ONCE, VisiblePods
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.unseen import UnseenNotes
from tests.harness.fake_pods import FakePods

MANY = 2 * LOOKS_AT_ONCE


def test_many_unseen_pods_are_looked_at_in_turn_a_few_at_a_time() -> None:
    pods = FakePods()
    notes = {f"otto-agent-x-7-0-{index}-0": f"uid-{index}" for index in range(MANY)}
    for name, uid in notes.items():
        pods.pods[name] = {"metadata": {"name": name, "uid": uid}}
    ledger = create_autospec(Ledger, instance=True, unseen=create_autospec(UnseenNotes), installation="inst")
    ledger.unseen.some.return_value = notes
    watcher = create_autospec(PodWatcher, instance=True)
    watcher.claimed.return_value, watcher.views.return_value = False, []
    deleter = create_autospec(PodDeleter, instance=True)
    deleter.call.side_effect = lambda _event, job: job()
    visible = VisiblePods(ledger, watcher, pods, deleter, instance="x")
    looks, shown = [], []
    for _ in range(4):
        shown.append(len(visible.views()))
        looks.append(pods.asked("get"))
        pods.calls.clear()
    assert [len(names) for names in looks] == [LOOKS_AT_ONCE] * 4
    assert set(looks[0] + looks[1]) == set(looks[2] + looks[3]) == set(notes), "each in its turn"
    assert shown == [0, LOOKS_AT_ONCE, MANY, MANY]
