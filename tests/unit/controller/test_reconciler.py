"""What the reconciler's step runs, and how often."""

from __future__ import annotations

import threading
from unittest.mock import create_autospec

import pytest

from ottoscaler.controller.arrivals import ARRIVALS_AT_ONCE, Arrivals
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.controller.reconciler import Reconciler
from ottoscaler.controller.sweep import Sweep
from ottoscaler.controller.unwatched import Unwatched
from ottoscaler.controller.visible_pods import VisiblePods
from ottoscaler.controller.waiting_workers import WaitingWorkers
from ottoscaler.errors import RedisUnavailable
from ottoscaler.model import PodView
from ottoscaler.pods.view import parse_pod
from ottoscaler.threads import Control, Mailbox
from ottoscaler.workers.registry import RunRegistry


class Bench:
    """A reconciler whose parts only note that they were called."""

    def __init__(self) -> None:
        registry = create_autospec(RunRegistry, instance=True)
        self.arrivals = Arrivals(registry, lambda: None)
        self.waiting_workers, self.visible_pods, self.sweep, self.unwatched, self.housekeeping = (
            create_autospec(part, instance=True)
            for part in (WaitingWorkers, VisiblePods, Sweep, Unwatched, Housekeeping)
        )
        self.housekeeping.step.return_value = 30.0
        unclaimed: Mailbox[PodView] = Mailbox(10)
        self.reconciler = Reconciler(
            unclaimed,
            self.arrivals,
            self.waiting_workers,
            self.visible_pods,
            self.sweep,
            self.unwatched,
            self.housekeeping,
            Control(threading.Event(), lambda: None),
        )


def test_entries_removed_unread_are_looked_for_every_few_seconds_however_long_retention_is() -> None:
    bench = Bench()
    for second in range(10):
        bench.reconciler.step(float(second))
    assert bench.housekeeping.look_for_lost.call_count == 4
    assert bench.housekeeping.step.call_count == 1


def test_sweep_judges_nothing_while_the_watch_is_not_well() -> None:
    bench = Bench()
    bench.visible_pods.reliable.return_value = False
    bench.reconciler.step(0.0)
    bench.sweep.step.assert_not_called()
    bench.visible_pods.reliable.return_value = True
    bench.reconciler.step(10.0)
    bench.sweep.step.assert_called_once_with(bench.visible_pods.views.return_value)


def test_pods_that_came_late_while_redis_was_away_are_looked_at_again() -> None:
    bench = Bench()
    first, second = (arrival(number) for number in range(2))
    bench.arrivals.note(first)
    bench.sweep.look_at_arrivals.side_effect = RedisUnavailable("away")
    with pytest.raises(RedisUnavailable):
        bench.reconciler.step(0.0)
    bench.arrivals.note(second)
    bench.sweep.look_at_arrivals.side_effect = None
    bench.reconciler.step(1.0)
    bench.sweep.look_at_arrivals.assert_called_with([first, second])


def test_of_too_many_pods_that_came_late_the_oldest_are_left_to_the_sweep() -> None:
    arrivals = Bench().arrivals
    views = [arrival(number) for number in range(ARRIVALS_AT_ONCE + 3)]
    for view in views:
        arrivals.note(view)
    assert arrivals.take() == views[3:]


def arrival(number: int) -> PodView:
    return parse_pod({"metadata": {"name": f"otto-agent-x-7-0-{number}-0", "uid": f"uid-{number}"}})
