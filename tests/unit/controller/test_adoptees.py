"""Which Pods that have ended are left to the reconciler: single calls, no threads."""

from __future__ import annotations

from ottoscaler.controller.adoptees import EndedPods
from ottoscaler.ledger.records import IndexStage, IndexState, Record
from ottoscaler.model import PodView
from ottoscaler.threads import Mailbox
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun
from tests.harness.fake_pods import FakePods
from tests.harness.pod_makers import planned, scale_up


def ended_pod(event_id: str) -> PodView:
    pods = FakePods()
    name = pods.create(planned(scale_up(event_id=event_id)).body(0, 0))["metadata"]["name"]
    pods.end(name)
    return pods.view(name)


def test_only_an_ended_pod_of_a_worker_without_a_slot_is_left_to_the_reconciler() -> None:
    registry, unclaimed = RunRegistry(0, InHand(16, 2)), Mailbox[PodView](2)
    states = {0: IndexState(IndexStage.BEGUN, 0, uid="u")}
    run = EventRun(scale_up(event_id="1-0"), None, Record("1-0", 1, 0, b"[]", indexes=states))
    assert registry.add(run)
    registry.admit(run)
    ended = EndedPods(registry, unclaimed)
    ended.note(ended_pod("2-0"))
    assert unclaimed.take() is None
    waited_for = ended_pod("1-0")
    ended.note(waited_for)
    assert unclaimed.take() is waited_for
