"""Second part: sleep until the shared watch, or a limit, says that there is something to do."""

from __future__ import annotations

import time

from ottoscaler.errors import PodGone, Stopping
from ottoscaler.model import Judgement, PodView, Reason, Status, Verdict
from ottoscaler.pods.failure_table import GRACE_SECONDS
from ottoscaler.pods.verdict import judge, vanished
from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.attempt import Attempt, seconds_between, seconds_since
from ottoscaler.workers.gone_table import Gone, Sight, last_seen, look_up
from ottoscaler.workers.logs import keep_log_of_going

LONGEST_WAIT_SECONDS = 300.0  # a worker looks up at least so often, though nothing woke it
TROUBLE_LOOK_SECONDS = 1.0  # between two looks at a Pod whose grace is over and whose end is not due
CLOCK_LOOK_SECONDS = 1.0  # between two looks at an adopted Pod while the API server's clock is not known
UNSEEN_LOOK_SECONDS = 5.0  # between two looks at a Pod that the watch does not show, as it lost a label

_WAIT = Judgement(Verdict.WAIT)
CANCELLED = Judgement(Verdict.FINISHED, Status.CANCELLED, Reason.CANCELLED)  # the ledger has the intent


def monitor(a: Attempt) -> Judgement:
    """Sleep until the shared watch, or a limit, says that there is something to do."""
    deps, subscription = a.deps, a.subscription
    subscription.wakes_at_start = _run_limit(a) < deps.limits.pending_timeout
    while True:
        subscription.look()
        keep_log_of_going(a, lambda: _is_cancelled(a))
        is_gone(a)
        found = judgement(a)
        view = subscription.view
        if not subscription.gone and cancelled_elsewhere(a):
            return CANCELLED
        if found.verdict is not Verdict.WAIT:
            if subscription.gone:
                if is_gone(a):
                    return found
            elif view is None or view.ended:
                return found
            elif _look_again(a) == view and judgement(a).verdict is found.verdict:
                return found  # that answer told the time again, too
            continue
        a.check_ownership()
        if deps.abandon.is_set() or a.run.leaving:
            raise Stopping("the worker is left to the next replica")
        subscription.wait(until_next_look(a, _time_left(a)))


def is_gone(a: Attempt, *, cancelled: bool = False) -> bool:
    """Whether the Pod is gone from the API, by the table of sights; asks the API server where that says so.

    ``cancelled``: an intent stands, so that no attempt follows it.
    """
    deps, subscription = a.deps, a.subscription
    gone = look_up(_sight(a), last_seen(subscription.view)).gone
    if gone is Gone.NO:
        return False
    if gone is Gone.YES or (gone is Gone.IF_CANCELLED and (cancelled or _is_cancelled(a))):
        return True
    view = _get(a)
    if view is not None:
        if subscription.gone and not a.deps.elsewhere:
            a.log.warning("pod_unseen", "the Pod is still there but lost a label of the watch; it is polled")
        deps.watcher.found(subscription, view)
    return view is None


def _sight(a: Attempt) -> Sight:
    subscription = a.subscription
    if subscription.gone:
        return Sight.ANSWERED_GONE if subscription.certain else Sight.TOLD_DELETED
    if not subscription.looked_at:
        return Sight.SHOWN
    if time.monotonic() - subscription.looked_at < UNSEEN_LOOK_SECONDS:
        return Sight.UNSEEN_LATELY
    return Sight.UNSEEN if a.deps.watcher.health()[0] else Sight.UNSEEN_BY_NONE


def cancelled_elsewhere(a: Attempt) -> bool:
    """Whether it is to be cancelled in another namespace, where a scale_down finds no Pod of it to delete."""
    return a.deps.elsewhere and _is_cancelled(a)


def _is_cancelled(a: Attempt) -> bool:
    worker = (a.worker.event_id, a.worker.index)
    states = a.deps.retrier.call("looking for an intent", lambda: a.deps.ledger.upkeep.states([worker]))
    return states[0][3]


def _get(a: Attempt) -> PodView | None:
    """The Pod by the API server's own word; ``None`` where that very Pod is gone."""
    deps, subscription = a.deps, a.subscription
    try:
        view = deps.retrier.call("looking at a Pod", lambda: parse_pod(deps.pods.get(subscription.name)))
    except PodGone:
        subscription.lost()
        return None
    if view.uid != subscription.uid:
        subscription.lost()
        return None
    return view


def until_next_look(a: Attempt, seconds: float) -> float:
    """How long to sleep at most: less where nothing will wake the worker."""
    return min(seconds, UNSEEN_LOOK_SECONDS) if a.subscription.looked_at else seconds


def judgement(a: Attempt) -> Judgement:
    """What the worker's own end asks for or, without one, the Pod as last seen. Never WAIT for one that is
    gone."""
    view, limits = a.subscription.end or a.subscription.view, a.deps.limits
    if a.subscription.gone:
        return vanished(view)
    if view is None:
        return _WAIT
    if view.started:
        _saw_running(a, view)
    return judge(
        view,
        age_seconds=_age(a, view),
        waiting_seconds=a.subscription.trouble_seconds(),
        pending_timeout_seconds=limits.pending_timeout,
        running_seconds=time.monotonic() - a.running_at if a.running_at and _tells_time(a) else 0.0,
        run_timeout_seconds=_run_limit(a),
        pull_grace_seconds=limits.pull_grace,
    )


def _tells_time(a: Attempt) -> bool:
    """Whether times of this Pod can be compared now: an adopted one's only by the API server's clock."""
    return bool(a.created_at) or a.deps.pods.now() is not None


def _age(a: Attempt, view: PodView) -> float:
    if a.created_at:
        return time.monotonic() - a.created_at
    now = a.deps.pods.now()
    if now is None:
        return 0.0
    # A step of the API server's clock, or an answer by a wrong one, may make it younger and never older.
    a.born_at = max(a.born_at, time.monotonic() - seconds_since(view.created_at, now))
    return time.monotonic() - a.born_at


def _saw_running(a: Attempt, view: PodView) -> None:
    if a.created_at:
        if not a.running_at:
            a.running_at = a.subscription.started_at or time.monotonic()
            a.deps.metrics.pod_start.observe(max(0.0, a.running_at - a.created_at))
    elif (now := a.deps.pods.now()) is not None:
        since = time.monotonic() - _ran_before_adoption(a, view, now)
        a.running_at = max(a.running_at, since) if a.running_at else since  # as in _age


def _ran_before_adoption(a: Attempt, view: PodView, now: float) -> float:
    """For how long an adopted worker has run, without comparing two machines' clocks: the API server's time
    since the Pod was bound, less the node's own time from accepting the Pod to the worker's start."""
    if not view.bound_at or not view.accepted_at:  # then for as long as it has run at least
        return max(0.0, _age(a, view) - a.deps.limits.pending_timeout)
    return max(0.0, seconds_since(view.bound_at, now) - seconds_between(view.accepted_at, view.started_at))


def _run_limit(a: Attempt) -> float:
    return float(a.run.event.timeout_seconds or a.deps.limits.default_timeout)


def _time_left(a: Attempt) -> float:
    """Seconds until a limit has to be looked at, though nothing woke the worker."""
    view, subscription = a.subscription.view, a.subscription
    if view is None or view.deleting:
        return LONGEST_WAIT_SECONDS
    if a.running_at:
        left = _run_limit(a) - (time.monotonic() - a.running_at)
    else:
        left = a.deps.limits.pending_timeout - _age(a, view)
    if not _tells_time(a):
        left = min(left, CLOCK_LOOK_SECONDS)
    if subscription.trouble_seconds():
        pulls = subscription.trouble == Reason.IMAGE_PULL
        grace = a.deps.limits.pull_grace if pulls else GRACE_SECONDS
        left = min(left, max(grace - subscription.trouble_seconds(), TROUBLE_LOOK_SECONDS))
    return min(max(left, 0.01), LONGEST_WAIT_SECONDS)


def _look_again(a: Attempt) -> PodView | None:
    """Before a limit of ours ends a worker: ask the API server itself, as the watch may be behind."""
    subscription = a.subscription
    before, view = subscription.view, _get(a)
    if view is None:
        return None
    if before is not None and view.resource_version == before.resource_version:
        return before
    if view.terminal or view.deleting or (before is not None and view.started != before.started):
        subscription.see(view)
        return view
    return subscription.view
