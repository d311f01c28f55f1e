"""The create of an event's first worker, which an idle replica's listener sends itself.

:mod:`.head_start` says why. The listener calls these. None of them waits, or raises.
"""

from __future__ import annotations

import time
from contextlib import suppress

from ottoscaler.workers.attempt import WorkerDeps
from ottoscaler.workers.create import check_allowed, words
from ottoscaler.workers.head_start import HeadStart, OpenCreate, SentCreate
from ottoscaler.workers.run import EventRun, Task


def open_create(deps: WorkerDeps, run: EventRun, head_start: HeadStart) -> None:
    """Send the create of the event's first worker but for its last byte, if that is possible at once."""
    with suppress(Exception):  # the worker's thread does it again, and reports what is wrong
        plan = run.planned()
        turn = deps.pods.open_turn(*words(Task(run, 0, 0), plan))
        head_start.opened = OpenCreate(plan, turn) if turn is not None else None


def complete(deps: WorkerDeps, run: EventRun, head_start: HeadStart) -> None:
    """Send the rest of an open create, if the create is allowed now and its turn has come. Else drop it.

    The subscription begins before the Pod can exist, so that it sees all that happens to the Pod.
    """
    opened, watcher = head_start.opened, deps.watcher
    if opened is None:
        return
    with suppress(Exception):  # the worker's thread finds the same, and acts on it
        check_allowed(deps, run, head_start.grant)
        now = time.monotonic()
        if head_start.fresh(now) and run.planned() is opened.plan:
            subscription = watcher.subscribe(deps.name(Task(run, 0, 0)))
            if opened.turn.complete():
                head_start.opened, head_start.sent = None, SentCreate(*opened, subscription, now)
                return
            watcher.unsubscribe(subscription)
    drop(head_start)


def drop(head_start: HeadStart) -> None:
    """Give up a create that was opened and not sent."""
    opened, head_start.opened = head_start.opened, None
    if opened is not None:
        opened.turn.leave()
