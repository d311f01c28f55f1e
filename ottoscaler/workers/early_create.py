"""The create of an event's first worker, which an idle replica's listener sends itself.

:mod:`.head_start` says why.
"""

from __future__ import annotations

import time
from contextlib import suppress

from ottoscaler.workers.attempt import WorkerDeps
from ottoscaler.workers.create import check_allowed, words
from ottoscaler.workers.head_start import HeadStart, OpenCreate, SentCreate
from ottoscaler.workers.run import EventRun, Task


class EarlyCreates:
    """The listener calls these. They neither wait nor raise."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    def open(self, run: EventRun, head_start: HeadStart) -> None:
        """Send the create of the event's first worker but for its last byte, if that is possible at once.

        ``complete`` or ``HeadStart.drop`` must follow. It does nothing if the create is open already.
        """
        if head_start.opened is not None:
            return
        with suppress(Exception):  # the worker's thread does it again, and reports what is wrong
            plan = run.planned()
            turn = self._deps.pods.open_turn(*words(Task(run, 0, 0), plan))
            head_start.opened = OpenCreate(plan, turn) if turn is not None else None

    def complete(self, run: EventRun, head_start: HeadStart) -> None:
        """Send the rest of an open create, if the create is allowed now and its turn has come. Else drop it.

        The subscription begins before the Pod can exist, so that it sees all that happens to the Pod.
        """
        opened, watcher = head_start.opened, self._deps.watcher
        if opened is None:
            return
        with suppress(Exception):  # the worker's thread finds the same, and acts on it
            check_allowed(self._deps, run, head_start.grant)
            now = time.monotonic()
            if head_start.fresh(now) and run.planned() is opened.plan:
                subscription = watcher.subscribe(self._deps.name(Task(run, 0, 0)))
                if opened.turn.complete():
                    head_start.opened, head_start.sent = None, SentCreate(*opened, subscription, now)
                    return
                watcher.unsubscribe(subscription)
        head_start.drop()
