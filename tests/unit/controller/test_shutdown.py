"""How long a stop waits for threads: a Redis that hangs delays it as little as it must, and is no fault."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from ottoscaler.controller import shutdown
from ottoscaler.controller.handover import Handover
from ottoscaler.controller.shutdown import (
    JOIN_LOOK_SECONDS,
    OVERRUN_SECONDS,
    PARTS_SECONDS,
    THREADS_SECONDS,
    Phases,
    Shutdown,
)
from ottoscaler.ledger.heartbeats import LONGEST_BEAT_SECONDS
from ottoscaler.threads import Threads

GRACE = 2.0


class Place:
    """Threads that end at a time of their own, and a Redis whose silence is noticed at another."""

    def __init__(self, ends: dict[str, float], silence_noticed_at: float) -> None:
        self.now = 0.0
        self.ends = ends
        self.silence_noticed_at = silence_noticed_at  # by the heartbeat
        self.silent_from = math.inf  # who asks gets no answer
        self.asked = 0
        self.registered = threading.Event()
        self.registered.set()
        self.lease_left = False
        self.joined: set[str] = set()
        self.rest_taken = False  # what came after the dispatcher's thread had ended
        self.read_ends_at_try = 0  # the listener's read; 0: no try ends it
        self.tried_for = 0.0  # seconds for which a Redis that does not answer is tried
        self.phases = Phases()
        self.second_signal_at = math.inf
        self.stands_still = 0.0  # seconds that the machine stands still at each look at the threads

    def monotonic(self) -> float:
        return self.now

    # --- the threads

    def join(self, *names: str, seconds: float) -> list[str]:
        self.joined.update(names)
        self.now += self.stands_still
        last = max(self.ends.get(name, 0.0) for name in names)
        self.now = max(self.now, min(last, self.now + seconds))
        if self.now >= self.second_signal_at:
            self.phases.abandon.set()
        return [name for name in names if self.ends.get(name, 0.0) > self.now]

    def end_read(self) -> None:
        self.read_ends_at_try -= 1
        if self.read_ends_at_try == 0:
            self.ends["listener"] = 0.0

    # --- Redis

    @property
    def answering(self) -> bool:
        return self.now < self.silence_noticed_at

    def answers_now(self) -> bool:
        self.asked += 1
        return self.answering and self.now < self.silent_from

    def make(self, call: Callable[[], object]) -> None:
        call()

    # --- the lease

    def leave(self) -> None:
        self.lease_left = True


class HandoverOnly:
    """Hands over as long as Redis answers."""

    def __init__(self, calls: Place) -> None:
        self.calls = calls

    def while_workers_run(self, deadline: float) -> None:
        assert self.calls.rest_taken, "a worker in the inbox would hold its slot until the deadline"

    def everything(self, deadline: float) -> bool:
        self.calls.tried_for = deadline - self.calls.now
        return self.calls.answering


class Nothing:
    """The dispatcher's pool has no workers, and the watch is not cut."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def take_rest(self) -> None:
        assert "dispatcher" in self.place.joined
        self.place.rest_taken = True

    def join(self, seconds: float, grace_ends: float) -> bool:
        return True

    def wake_all(self) -> None:
        pass

    def interrupt(self) -> None:
        pass


def stop(monkeypatch: pytest.MonkeyPatch, place: Place, grace: float = GRACE) -> list[str]:
    monkeypatch.setattr(shutdown, "time", place)
    part: Any = Nothing(place)
    made = Shutdown(
        place.phases,
        cast("Threads", place),
        (),
        place.end_read,
        cast("Handover", HandoverOnly(place)),
        part,
        cast("Any", place),
        part,
    )
    made.begin()
    return made.hand_over(grace) + made.end(())


class Told(Nothing):
    """Notes what the parts are told, and which phases have begun by then."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.acts: list[tuple[str, list[bool]]] = []

    def note(self, act: str) -> None:
        phases = self.place.phases
        begun = (phases.stopping, phases.abandon, phases.ended)
        self.acts.append((act, [phase.is_set() for phase in begun]))

    def wake_all(self) -> None:
        self.note("workers are woken")

    def interrupt(self) -> None:
        self.note("the watch is cut")

    def join(self, seconds: float, grace_ends: float) -> bool:
        self.note("the pool's threads are waited for")
        return super().join(seconds, grace_ends)


class ToldHandover(HandoverOnly):
    def __init__(self, told: Told) -> None:
        super().__init__(told.place)
        self.told = told

    def while_workers_run(self, deadline: float) -> None:
        super().while_workers_run(deadline)
        self.told.note("running workers are waited for")

    def everything(self, deadline: float) -> bool:
        self.told.note("what is left is handed over")
        return super().everything(deadline)


def test_who_waits_is_woken_when_its_phase_has_begun_and_before_its_end_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Woken earlier, a thread would wait again; later, the stop would take as long as its wait."""
    place = Place({}, silence_noticed_at=100.0)
    monkeypatch.setattr(shutdown, "time", place)
    told = Told(place)
    part: Any = told
    made = Shutdown(
        place.phases,
        cast("Threads", place),
        (lambda: told.note("waits are ended"),),
        place.end_read,
        cast("Handover", ToldHandover(told)),
        part,
        cast("Any", place),
        part,
    )
    made.begin()
    assert made.hand_over(GRACE) == []
    assert place.phases.ended.is_set(), "else the heartbeat would register the name again"
    assert made.end((lambda: told.note("the deleter is closed"),)) == []
    assert told.acts == [
        ("waits are ended", [True, False, False]),
        ("running workers are waited for", [True, False, False]),
        ("workers are woken", [True, True, False]),
        ("the pool's threads are waited for", [True, True, False]),
        ("what is left is handed over", [True, True, False]),
        ("the watch is cut", [True, True, True]),
        ("the deleter is closed", [True, True, True]),
    ]


def test_silence_that_is_noticed_while_threads_are_waited_for_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({"listener": 60.0, "reconciler": 60.0, "lease": 60.0}, silence_noticed_at=3.5)
    assert stop(monkeypatch, place) == []
    assert place.now <= 3.5 + THREADS_SECONDS + 3 * JOIN_LOOK_SECONDS
    assert not place.lease_left


def test_silence_that_no_heartbeat_has_noticed_ends_the_wait_at_the_grace_period(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({"listener": 60.0, "reconciler": 60.0, "lease": 60.0}, silence_noticed_at=100.0)
    place.silent_from = 0.5
    assert stop(monkeypatch, place) == []
    assert place.asked
    assert place.now <= GRACE + OVERRUN_SECONDS


def test_second_signal_ends_the_wait_for_a_silent_redis_as_the_grace_periods_end_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({"listener": 60.0, "reconciler": 60.0, "lease": 60.0}, silence_noticed_at=100.0)
    place.silent_from, place.second_signal_at = 0.0, 5.0
    assert stop(monkeypatch, place, grace=600.0) == []
    assert place.now <= place.second_signal_at + OVERRUN_SECONDS
    assert place.tried_for == pytest.approx(LONGEST_BEAT_SECONDS), "the next heartbeat may find it well again"


def test_threads_that_wait_for_a_silent_redis_have_the_grace_period_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({"reconciler": 60.0}, silence_noticed_at=0.0)
    assert stop(monkeypatch, place) == []
    assert GRACE <= place.now <= GRACE + 2 * JOIN_LOOK_SECONDS


def test_replica_that_never_reached_redis_stops_without_a_try_to_hand_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({}, silence_noticed_at=0.0)
    place.registered.clear()
    assert stop(monkeypatch, place) == []
    assert place.tried_for == 0.0
    assert not place.lease_left
    assert place.phases.ended.is_set(), "else the heartbeat's thread would never end"


def test_silent_redis_is_tried_for_the_whole_grace_period_if_nobody_signals_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({}, silence_noticed_at=100.0)
    assert stop(monkeypatch, place, grace=600.0) == []
    assert place.tried_for == 600.0


def test_redis_that_falls_silent_between_the_handover_and_the_last_heartbeat_is_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({"lease": 60.0}, silence_noticed_at=1.0)
    assert stop(monkeypatch, place) == []
    assert place.now < PARTS_SECONDS


def test_thread_that_does_not_end_though_redis_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place({"templates": 60.0}, silence_noticed_at=100.0)
    assert stop(monkeypatch, place) == ["templates"]
    assert place.lease_left


def test_read_is_ended_by_a_later_try_though_the_machine_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place({"listener": 600.0}, silence_noticed_at=1000.0)
    place.read_ends_at_try, place.stands_still = 3, 5.0
    assert stop(monkeypatch, place) == []
