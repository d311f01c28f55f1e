"""What the reconciler's step runs, and how often."""

from __future__ import annotations

import threading
from unittest.mock import create_autospec

from ottoscaler.controller.arrivals import Arrivals
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.controller.reconciler import Reconciler
from ottoscaler.controller.sweep import Sweep
from ottoscaler.controller.unwatched import Unwatched
from ottoscaler.controller.waiting_workers import WaitingWorkers
from ottoscaler.model import PodView
from ottoscaler.threads import Control, Mailbox


def test_entries_removed_unread_are_looked_for_every_few_seconds_however_long_retention_is() -> None:
    unclaimed: Mailbox[PodView] = Mailbox(10)
    housekeeping = create_autospec(Housekeeping, instance=True)
    housekeeping.step.return_value = 30.0
    arrivals = create_autospec(Arrivals, instance=True)
    arrivals.take.return_value = []
    waiting_workers, sweep, unwatched = (
        create_autospec(part, instance=True) for part in (WaitingWorkers, Sweep, Unwatched)
    )
    control = Control(threading.Event(), lambda: None)
    reconciler = Reconciler(unclaimed, arrivals, waiting_workers, sweep, unwatched, housekeeping, control)
    for second in range(10):
        reconciler.step(float(second))
    assert housekeeping.look_for_lost.call_count == 4
    assert housekeeping.step.call_count == 1
