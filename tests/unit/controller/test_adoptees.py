"""Adopted workers that wait for a slot, and which of their Pods the reconciler sees: single calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from ottoscaler.controller.adoptees import Adoptees, EndedPods
from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.leaving import Leaving
from ottoscaler.controller.waiting_workers import STEPS_BETWEEN_LIMITS, WaitingWorkers
from ottoscaler.errors import Fenced
from ottoscaler.ledger.records import EventState, IndexStage, IndexState, Record
from ottoscaler.model import Phase, PodView, WorkerId
from ottoscaler.threads import Mailbox
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun
from tests.harness.fake_pods import FakePods
from tests.harness.pod_makers import planned, scale_up, unplanned_run


def ended_pod(event_id: str) -> PodView:
    pods = FakePods()
    name = pods.create(planned(scale_up(event_id=event_id)).body(0, 0))["metadata"]["name"]
    pods.end(name)
    return pods.view(name)


def adopted(registry: RunRegistry, event_id: str) -> EventRun:
    """An event of which a worker had begun before it was taken over."""
    states = {0: IndexState(IndexStage.BEGUN, 0, uid="u")}
    run = unplanned_run(scale_up(event_id=event_id), Record(event_id, 1, 0, b"[]", indexes=states))
    assert registry.add(run)
    registry.admit(run)
    return run


def test_only_an_ended_pod_of_a_worker_without_a_slot_is_left_to_the_reconciler() -> None:
    registry, unclaimed = RunRegistry(0, InHand(16, 2)), Mailbox[PodView](2)
    adopted(registry, "1-0")
    ended = EndedPods(registry, unclaimed)
    ended.note(ended_pod("2-0"))
    assert unclaimed.take() is None
    waited_for = ended_pod("1-0")
    ended.note(waited_for)
    assert unclaimed.take() is waited_for


def test_event_that_another_replica_owns_by_now_is_left_when_its_worker_is_to_be_settled() -> None:
    """Tried again and again, it would be refused each time, and count as this replica's."""
    registry, woken = RunRegistry(0, InHand(16, 2)), []
    run = adopted(registry, "1-0")

    def refused(_task: Any) -> None:
        raise Fenced("another replica owns it")

    watch: Any = SimpleNamespace(wake_all=lambda: woken.append(True))
    inbox, workers = Inbox(), cast(Any, SimpleNamespace(settle_if_ended=refused))
    Adoptees(registry, workers, Leaving(registry, watch, inbox), inbox).end_if_over(WorkerId("1-0", 0, 0))
    assert registry.snapshot() == []
    assert (run.dropped, woken) == (True, [True])


def test_worker_whose_pod_has_ended_is_taken_out_of_the_wait_and_no_other_of_its_event() -> None:
    registry = RunRegistry(0, InHand(16, 2))
    states = {index: IndexState(IndexStage.BEGUN, 0, uid=f"u{index}") for index in range(3)}
    run = unplanned_run(scale_up(event_id="1-0"), Record("1-0", 1, 0, b"[]", indexes=states))
    assert registry.add(run)
    registry.admit(run)
    task = registry.claim_adoptee(WorkerId("1-0", 1, 0))
    assert task is not None
    assert task.uid == "u1"
    assert sorted(left.index for left in registry.adoptees()) == [0, 2]
    assert registry.claim_adoptee(WorkerId("1-0", 1, 0)) is None


class Watch:
    """The Pods that are shown, of one worker that runs, one that has ended and one without a Pod."""

    caught_up = True

    def __init__(self) -> None:
        self.shown = [ended_pod("2-0"), ended_pod("1-0")._replace(phase=Phase.RUNNING)]

    def views(self) -> list[PodView]:
        return self.shown


def test_worker_without_a_slot_is_settled_when_its_pod_is_seen_ended_or_not_seen_any_more() -> None:
    registry, watch, settled = RunRegistry(0, InHand(16, 2)), Watch(), []
    for event_id in ("1-0", "2-0", "3-0"):
        adopted(registry, event_id)
    going = (EventState.OPEN, "", None, None)
    waiting = WaitingWorkers(
        cast(Any, SimpleNamespace(upkeep=SimpleNamespace(states=lambda asked: [going] * len(asked)))),
        registry,
        cast(Any, watch),
        cast(Any, SimpleNamespace(end_if_over=lambda worker: settled.append(worker.event_id))),
        cast(Any, SimpleNamespace(call=lambda _, job: job())),
        cast(Any, SimpleNamespace(on=False)),
        Mailbox[PodView](2),
    )
    waiting.step()
    assert sorted(settled) == ["2-0", "3-0"]
    del settled[:]
    watch.caught_up = False  # the list that would show the third one's Pod is on its way
    waiting.step()
    assert settled == ["2-0"]
    del settled[:]
    for _ in range(STEPS_BETWEEN_LIMITS - 2):
        waiting.step()
    assert "1-0" in settled, "it may be over its time limit"
