"""Second part: sleep until the shared watch, or a limit, says that there is something to do."""

from __future__ import annotations

import time

from ottoscaler.attempt import Attempt, seconds_since
from ottoscaler.errors import PodGone, Stopping
from ottoscaler.failures import GRACE_SECONDS
from ottoscaler.model import Judgement, PodView, Verdict
from ottoscaler.podview import observe
from ottoscaler.verdict import judge, vanished

LONGEST_WAIT_SECONDS = 300.0  # a worker looks up at least so often, though nothing woke it
TROUBLE_LOOK_SECONDS = 1.0  # between two looks at a Pod whose grace is over and whose end is not due

_WAIT = Judgement(Verdict.WAIT)


def monitor(a: Attempt) -> Judgement:
    """Sleep until the shared watch, or a limit, says that there is something to do."""
    shop, ticket = a.shop, a.ticket
    ticket.hurried = _run_limit(a) < shop.limits.pending_timeout
    while True:
        ticket.look()
        found = judgement(a)
        view = ticket.view
        if found.verdict is not Verdict.WAIT:
            if ticket.gone or view is None or view.terminal or _look_again(a) == view:
                return found
            continue
        a.check_ownership()
        if shop.abandon.is_set() or a.run.leaving:
            raise Stopping("the worker is left to the next replica")
        ticket.wait(_time_left(a))


def judgement(a: Attempt) -> Judgement:
    """What the Pod, as last seen, asks for. Never WAIT for one that is gone."""
    view, limits = a.ticket.view, a.shop.limits
    if a.ticket.gone:
        return vanished(view)
    if view is None:
        return _WAIT
    if view.started and not a.running_at:
        _saw_running(a, view)
    return judge(
        view,
        age_seconds=_age(a, view),
        waiting_seconds=a.ticket.trouble_seconds(),
        pending_timeout_seconds=limits.pending_timeout,
        running_seconds=time.monotonic() - a.running_at if a.running_at else 0.0,
        run_timeout_seconds=_run_limit(a),
    )


def _age(a: Attempt, view: PodView) -> float:
    return (
        time.monotonic() - a.created_at if a.created_at else seconds_since(view.created_at, a.shop.pods.now())
    )


def _saw_running(a: Attempt, view: PodView) -> None:
    if a.created_at:
        a.running_at = a.ticket.started_at or time.monotonic()
        a.shop.metrics.pod_start.observe(max(0.0, a.running_at - a.created_at))
    else:
        a.running_at = time.monotonic() - seconds_since(view.started_at, a.shop.pods.now())


def _run_limit(a: Attempt) -> float:
    return float(a.run.event.timeout_seconds or a.shop.limits.default_timeout)


def _time_left(a: Attempt) -> float:
    """Seconds until a limit has to be looked at, though nothing woke the worker."""
    view, ticket = a.ticket.view, a.ticket
    if view is None or view.deleting:
        return LONGEST_WAIT_SECONDS
    if a.running_at:
        left = _run_limit(a) - (time.monotonic() - a.running_at)
    else:
        left = a.shop.limits.pending_timeout - _age(a, view)
    if ticket.trouble_seconds():
        left = min(left, max(GRACE_SECONDS - ticket.trouble_seconds(), TROUBLE_LOOK_SECONDS))
    return min(max(left, 0.01), LONGEST_WAIT_SECONDS)


def _look_again(a: Attempt) -> PodView | None:
    """Before a limit of ours ends a worker: ask the API server itself, as the watch may be behind."""
    shop, ticket = a.shop, a.ticket
    before = ticket.view
    try:
        view = shop.patience.call("looking at a Pod", lambda: observe(shop.pods.get(ticket.name)))
    except PodGone:
        ticket.gone = True
        return None
    if view.uid != ticket.uid:
        ticket.gone = True
        return None
    if before is not None and view.resource_version == before.resource_version:
        return before
    if view.terminal or view.deleting or (before is not None and view.started != before.started):
        ticket.view = view
        return view
    return ticket.view
