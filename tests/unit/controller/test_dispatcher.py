"""Whose turn it is, and that a slot is never taken twice. The step is called here, without its thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from ottoscaler.controller.dispatcher import LEAST_LOOKS, MOST_INTERNAL_ERRORS, Dispatcher
from ottoscaler.controller.inbox import Inbox
from ottoscaler.controller.leaving import Leaving
from ottoscaler.controller.offers import Offers
from ottoscaler.controller.reach import Reach
from ottoscaler.errors import Fenced
from ottoscaler.kube.throttle import CREATES
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.records import IndexStage, IndexState, Record
from ottoscaler.model import ScaleUp
from ottoscaler.threads import Control
from ottoscaler.workers.attempt import Ended, Next
from ottoscaler.workers.beginning import MORE
from ottoscaler.workers.head_start import HeadStart
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.worker import Workers
from tests.harness.pod_makers import unplanned_run
from tests.harness.waiting import wait_for

ALONE = (CREATES + MORE + 2) // 3  # tasks of the only event that may wait for their creates


class HeldWorkers:
    """Stands for the worker's function: each task waits until it is let go."""

    def __init__(self) -> None:
        self.begun: list[Task] = []
        self.gates: dict[tuple[str, int], threading.Event] = {}
        self.ends: dict[tuple[str, int], Ended] = {}
        self.lock = threading.Lock()
        self.creates_wait = False

    def work(self, task: Task, under_way: Callable[[], None]) -> Ended:
        key = (task.run.event.event_id, task.index)
        if not self.creates_wait:
            under_way()
        with self.lock:
            self.begun.append(task)
            gate = self.gates.setdefault(key, threading.Event())
        assert gate.wait(60)
        return self.ends.get(key, Ended(Next.DONE))

    def order(self) -> list[tuple[str, int]]:
        with self.lock:
            return [(t.run.event.event_id, t.index) for t in self.begun]


class Bench:
    def __init__(self, slots: int) -> None:
        self.in_hand = InHand(16, 500)
        self.registry = RunRegistry(slots, self.in_hand)
        self.workers = HeldWorkers()
        self.inbox = Inbox()
        self.cut_off = False
        self.left: list[EventRun] = []  # events that another replica owns now
        self.pause = Pause(lambda _: self.inbox.wake())
        self.dispatcher = Dispatcher(
            self.registry,
            self.inbox,
            cast(Workers, self.workers),
            cast(Offers, SimpleNamespace(step=lambda _: None)),
            cast(Reach, SimpleNamespace(cut_off=lambda _: self.cut_off)),
            self.pause,
            cast(Leaving, SimpleNamespace(leave=self.left.append)),
            Control(threading.Event(), lambda: None),
        )

    def add(self, event_id: str, count: int, priority: int = 0, **record: Any) -> EventRun:
        event = ScaleUp(event_id, event_id, count, priority=priority)
        run = unplanned_run(event, Record(event_id, 1, record.pop("strikes", 0), b"[]", **record))
        assert self.registry.add(run)
        self.inbox.put(run)
        return run

    def dispatch(self) -> None:
        self.inbox.wake()
        self.dispatcher.wait()
        self.dispatcher.step(time.monotonic())

    def step(self, begun: int) -> list[tuple[str, int]]:
        """Dispatch until so many tasks have begun."""

        def look() -> bool:
            self.dispatch()
            return len(self.workers.order()) >= begun

        wait_for(look, f"{begun} tasks have begun")
        return self.workers.order()

    def finish(self, event_id: str, index: int) -> None:
        self.workers.gates[(event_id, index)].set()
        wait_for(lambda: index not in self._active(event_id), "the task has ended")

    def _active(self, event_id: str) -> set[int]:
        return {i for run in self.registry.snapshot() if run.event.event_id == event_id for i in run.active}

    def close(self) -> None:
        for gate in self.workers.gates.values():
            gate.set()
        self.dispatcher.close()


def test_nothing_begins_while_kubernetes_is_out_of_reach() -> None:
    bench = Bench(2)
    bench.cut_off = True
    bench.add("1-0", 1)
    bench.dispatch()
    assert bench.registry.busy == 0
    bench.cut_off = False
    assert bench.step(1) == [("1-0", 0)]
    bench.close()


def test_worker_that_was_not_begun_waits_again_in_the_first_place() -> None:
    bench = Bench(1)
    bench.add("1-0", 2)
    bench.workers.ends["1-0", 0] = Ended(Next.NOT_BEGUN)
    assert bench.step(1) == [("1-0", 0)]
    bench.finish("1-0", 0)
    del bench.workers.ends["1-0", 0]
    assert bench.step(3) == [("1-0", 0), ("1-0", 0), ("1-0", 1)]
    bench.close()


def test_event_that_another_replica_owns_is_left_and_its_workers_slot_is_free() -> None:
    bench = Bench(1)
    bench.workers.work = Mock(side_effect=Fenced("taken over"))  # type: ignore[method-assign]
    run = bench.add("1-0", 1)
    bench.dispatch()
    wait_for(lambda: (bench.left, bench.registry.busy) == ([run], 0), "it is left")
    assert bench.registry.knows("1-0"), "that is for who drops it"
    bench.close()


def test_worker_whose_thread_cannot_be_started_gives_its_slot_back_and_its_event_is_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(1)
    bench.add("1-0", 1)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", Mock(side_effect=RuntimeError("no more threads")))
    with pytest.raises(RuntimeError):
        bench.dispatch()
    assert (bench.registry.busy, bench.registry.knows("1-0")) == (0, True), "a stop hands the event over"
    bench.close()


def test_no_more_tasks_than_slots() -> None:
    bench = Bench(2)
    bench.add("1-0", 10)
    bench.step(2)
    bench.dispatch()
    assert (bench.registry.busy, len(bench.workers.order())) == (2, 2)
    bench.finish("1-0", 0)
    assert bench.step(3)[-1] == ("1-0", 2)
    bench.close()


def test_adoption_comes_before_new_work() -> None:
    bench = Bench(1)
    bench.add("1-0", 1, priority=100)
    bench.add("2-0", 2, indexes={1: IndexState(IndexStage.BEGUN, 0, uid="u")})
    assert bench.step(1) == [("2-0", 1)]
    bench.close()


def test_retry_holds_no_slot_until_it_is_due() -> None:
    bench = Bench(1)
    bench.workers.ends[("1-0", 0)] = Ended(Next.RETRY, 600)
    bench.add("1-0", 1)
    bench.add("2-0", 1)
    bench.step(1)
    bench.finish("1-0", 0)
    assert bench.step(2)[-1] == ("2-0", 0)
    bench.finish("2-0", 0)
    bench.dispatcher.step(time.monotonic() + 601)
    wait_for(lambda: len(bench.workers.order()) == 3, "the retry has begun")
    again = bench.workers.begun[-1]
    assert (again.run.event.event_id, again.attempt) == ("1-0", 1)
    bench.close()


def test_no_more_wait_for_their_turn_to_be_created_than_keeps_the_creates_busy() -> None:
    bench = Bench(500)
    bench.workers.creates_wait = True
    bench.add("1-0", 500)
    assert len(bench.step(ALONE)) == ALONE
    bench.dispatch()
    assert bench.registry.busy == ALONE
    for index in range(MORE):
        bench.finish("1-0", index)
    assert len(bench.step(ALONE + MORE)) == ALONE + MORE
    bench.close()


def begin(bench: Bench, event_id: str) -> Task:
    """What the intake does with the first worker of an event that Redis has begun when it took the event."""
    run = unplanned_run(ScaleUp(event_id, event_id, 2), Record(event_id, 1, 0, b"[]"))
    task = bench.registry.begin(run, HeadStart(3, 0.0), 0.0)
    assert task is not None
    bench.inbox.put(task)
    return task


def test_worker_with_a_head_start_begins_before_the_others_of_its_event() -> None:
    bench = Bench(4)
    task = begin(bench, "1-0")
    assert bench.step(1) == [("1-0", 0)]
    bench.inbox.put(task.run)
    assert bench.step(2) == [("1-0", 0), ("1-0", 1)]
    bench.close()


def test_worker_with_a_head_start_that_came_after_the_dispatchers_end_is_started_by_the_stop() -> None:
    """Otherwise it would hold its slot, and the stop would wait for it until the end of the grace period."""
    bench = Bench(4)
    begin(bench, "1-0")
    bench.dispatcher.take_rest()
    wait_for(lambda: bench.workers.order() == [("1-0", 0)], "it has begun")
    bench.close()


def given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, bugs: int = 0) -> tuple[list[Task], list[str]]:
    """Fail on each worker until one is given up, and on that so often too. Returns the tries, and why each
    was given up."""
    monkeypatch.setattr("ottoscaler.controller.dispatcher.ERROR_PAUSE_SECONDS", 0.0)
    tried: list[Task] = []
    reasons: list[str] = []

    def fail(task: Task, under_way: Callable[[], None]) -> Ended:
        tried.append(task)
        raise ValueError("a bug")

    def give_up(task: Task, why: str) -> Ended:
        reasons.append(why)
        if len(reasons) <= bugs:
            raise ValueError("another bug")
        return Ended(Next.DONE)

    bench.workers.work = fail  # type: ignore[method-assign]
    bench.workers.give_up = give_up  # type: ignore[attr-defined]

    def look() -> bool:
        bench.dispatch()
        return len(reasons) > bugs

    wait_for(look, "it is given up in the end")
    wait_for(lambda: bench.registry.busy == 0, "the slot is free")
    bench.close()
    return tried, reasons


def test_worker_that_ottoscaler_failed_on_looks_for_its_pod_and_is_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(1)
    bench.add("1-0", 1)
    tried, reasons = given_up(bench, monkeypatch)
    assert reasons == [f"Ottoscaler failed on it {MOST_INTERNAL_ERRORS} times: a bug"]
    # A create may have been sent, so each later try adopts what is there instead of creating another.
    assert [task.adopt for task in tried] == [False, *[True] * (MOST_INTERNAL_ERRORS - 1)]


def test_worker_that_cannot_even_be_given_up_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, it was forgotten: nobody worked on it until a takeover."""
    bench = Bench(1)
    bench.add("1-0", 1)
    _, reasons = given_up(bench, monkeypatch, bugs=1)
    assert len(reasons) == 2


def test_stop_on_a_machine_that_stands_still_looks_again_before_it_abandons_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(1)
    bench.add("1-0", 1)
    bench.step(1)
    looks: list[float] = []
    clock = iter(range(0, 10_000, 10))  # each look comes ten seconds after the one before

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == LEAST_LOOKS - 1:
            bench.finish("1-0", 0)

    stalled = SimpleNamespace(monotonic=lambda: next(clock), sleep=look)
    monkeypatch.setattr("ottoscaler.controller.dispatcher.time", stalled)
    assert bench.dispatcher.join(1000.0, 0.0)
    bench.close()


def test_each_thread_of_the_pool_wakes_without_preempting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_OTHER)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: asked.append(threading.current_thread().name))
    bench = Bench(3)
    bench.add("1-0", 3)
    bench.step(3)
    assert sorted(asked) == ["worker_0", "worker_1", "worker_2"]
    bench.close()
