"""Second part of a worker's life: sleep until its Pod has ended, or a limit is reached."""

from __future__ import annotations

import time

from ottoscaler.errors import PodGone, Stopping
from ottoscaler.model import Judgement, PodView, Reason, Status, Verdict
from ottoscaler.pods.failure_table import GRACE_SECONDS
from ottoscaler.pods.verdict import WAIT, judge, vanished
from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.attempt import Attempt, seconds_between, seconds_since
from ottoscaler.workers.gone_table import Gone, Presence, last_seen, look_up
from ottoscaler.workers.logs import keep_log_of_going

LONGEST_WAIT_SECONDS = 300.0  # a worker checks its Pod at least this often, even if nothing woke it
# Between two looks at a Pod whose grace is over and whose end is not due, or while the API server is away.
TROUBLE_LOOK_SECONDS = 1.0
CLOCK_LOOK_SECONDS = 1.0  # between two looks at an adopted Pod while the API server's time is unknown
UNSEEN_LOOK_SECONDS = 5.0  # between two looks at a Pod that lost a label, so that the watch does not show it

CANCELLED = Judgement(Verdict.FINISHED, Status.CANCELLED, Reason.CANCELLED)  # the ledger has the intent


def monitor(a: Attempt) -> Judgement:
    """Sleep until the Pod has ended, is gone, or has reached a limit. Returns the judgement on it.

    Raises Fenced, Stopping and KubernetesError.
    """
    deps, subscription = a.deps, a.subscription
    subscription.wakes_at_start = _run_limit(a) < deps.limits.pending_timeout
    unwoken = False  # for long. Then an intent is looked for, since the delete that followed it may be lost
    while True:
        subscription.look()
        # Before the look for an intent: Redis may be away until the Pod has gone.
        keep_log_of_going(a, lambda: _is_cancelled(a))
        view = subscription.view
        if view is not None and view.deleting and not a.looked_for_intent:
            _is_cancelled(a)
        is_gone(a)
        found = judgement(a)
        if not subscription.gone and (unwoken or deps.elsewhere) and _is_cancelled(a):
            return CANCELLED
        if found.verdict is not Verdict.WAIT:
            if is_gone(a) if subscription.gone else holds(a, found):
                return found
            continue
        a.check_ownership()
        if deps.abandon.is_set() or a.run.leaving:
            raise Stopping("the worker is left to the next replica")
        seconds = until_next_look(a, _time_left(a))
        unwoken = not subscription.wait(seconds) and seconds >= LONGEST_WAIT_SECONDS


def holds(a: Attempt, found: Judgement) -> bool:
    """Whether ``found`` still stands, of a Pod that is there. If a limit led to it, the API server is asked.

    Raises KubernetesError."""
    view = a.subscription.view
    if view is not None and not view.ended and _look_again(a) != view:
        return False
    # The watch may have shown more since, and the limit must be over by the newer time of that answer too.
    now = judgement(a)
    return (now.verdict, now.reason) == (found.verdict, found.reason)


def is_gone(a: Attempt, *, cancelled: bool = False) -> bool:
    """Whether the Pod is gone from the API, by the table of gone Pods. Asks the API server if that says so.

    ``cancelled``: the ledger has an intent, so no attempt follows this one.
    """
    deps, subscription = a.deps, a.subscription
    gone = look_up(_presence(a), last_seen(subscription.view)).gone
    if gone is Gone.NO:
        return False
    if gone is Gone.YES or (gone is Gone.IF_CANCELLED and (cancelled or _is_cancelled(a))):
        return True
    view = look_at_pod(a)
    if view is not None:
        if subscription.gone and not a.deps.elsewhere:
            a.log.warning("pod_unseen", "the Pod is still there but lost a label of the watch; it is polled")
        deps.watcher.found(subscription, view)
    return view is None


def _presence(a: Attempt) -> Presence:
    subscription = a.subscription
    if subscription.gone:
        return Presence.ANSWERED_GONE if subscription.certain else Presence.TOLD_DELETED
    if not subscription.looked_at:
        return Presence.SHOWN
    if time.monotonic() - subscription.looked_at < UNSEEN_LOOK_SECONDS:
        return Presence.UNSEEN_LATELY
    return Presence.UNSEEN if a.deps.watcher.health()[0] else Presence.UNSEEN_BY_NONE


def cancelled_elsewhere(a: Attempt) -> bool:
    """Whether the worker is cancelled, and its Pod in another namespace, where no scale_down deletes it."""
    return a.deps.elsewhere and _is_cancelled(a)


def _is_cancelled(a: Attempt) -> bool:
    worker = (a.worker.event_id, a.worker.index)
    states = a.deps.retrier.call("looking for an intent", lambda: a.deps.ledger.upkeep.states([worker]))
    a.intent = states[0][3] or a.intent
    view = a.subscription.view
    a.looked_for_intent = view is not None and view.deleting
    return a.intent is not None


def look_at_pod(a: Attempt) -> PodView | None:
    """The Pod by the API server's own word; ``None`` where that very Pod is gone."""
    deps, subscription = a.deps, a.subscription
    try:
        view = deps.retrier.call("looking at a Pod", lambda: parse_pod(deps.pods.get(subscription.name)))
        if view.uid == subscription.uid:
            return view
    except PodGone:
        pass
    subscription.lost()
    return None


def until_next_look(a: Attempt, seconds: float) -> float:
    """How many seconds to sleep at most. Fewer if the watch will not wake the worker."""
    return min(seconds, UNSEEN_LOOK_SECONDS) if a.subscription.looked_at else seconds


def judgement(a: Attempt) -> Judgement:
    """The judgement on the end that the worker came to by itself, or else on the Pod as last seen.

    It is never WAIT for a Pod that is gone.
    """
    view, limits = a.subscription.end or a.subscription.view, a.deps.limits
    if view is not None and view.started:
        _saw_running(a, view)
    if a.subscription.gone:
        return vanished(view)
    if view is None:
        return WAIT
    return judge(
        view,
        age_seconds=_pending_seconds(a, view),
        waiting_seconds=_waiting_seconds(a),
        pending_timeout_seconds=limits.pending_timeout,
        running_seconds=time.monotonic() - a.running_at if a.running_at and _tells_time(a) else 0.0,
        run_timeout_seconds=_run_limit(a),
        pull_grace_seconds=limits.pull_grace,
    )


def _tells_time(a: Attempt) -> bool:
    """Whether this Pod's times can be compared now. An adopted Pod's need the API server's clock."""
    return bool(a.created_at) or a.deps.pods.now() is not None


def _age(a: Attempt, view: PodView) -> float:
    if a.created_at:
        return time.monotonic() - a.created_at
    now = a.deps.pods.now()
    if now is None:
        return 0.0
    # If the API server's clock steps, or an answer has a wrong time, the Pod may seem younger, never older.
    a.born_at = max(a.born_at, time.monotonic() - seconds_since(view.created_at, now))
    return time.monotonic() - a.born_at


def _pending_seconds(a: Attempt, view: PodView) -> float:
    """Its age, without the time in which the API server was in trouble as a whole: in that time neither the
    scheduler nor a kubelet can start a Pod."""
    return _known_well(a, _age(a, view))


def _waiting_seconds(a: Attempt) -> float:
    """For how long its container has failed to start, likewise: a node that has pulled its image since could
    not tell."""
    return _known_well(a, a.subscription.trouble_seconds())


def _known_well(a: Attempt, seconds: float) -> float:
    """The last ``seconds`` without the API server's trouble."""
    troubled: float = a.deps.pods.health.troubled_seconds(since=time.monotonic() - seconds)
    return max(0.0, seconds - troubled)


def _saw_running(a: Attempt, view: PodView) -> None:
    if a.created_at:
        if not a.running_at:
            a.running_at = a.subscription.started_at or time.monotonic()
            a.deps.metrics.pod_start.observe(max(0.0, a.running_at - a.created_at))
    elif (now := a.deps.pods.now()) is not None:
        since = time.monotonic() - _ran_before_adoption(a, view, now)
        a.running_at = max(a.running_at, since) if a.running_at else since  # as in _age


def _ran_before_adoption(a: Attempt, view: PodView, now: float) -> float:
    """For how many seconds an adopted worker has run, without comparing the clocks of two machines.

    It is the time since the Pod was bound, by the API server's clock, less the time from the Pod's acceptance
    to the worker's start, by the node's clock.
    """
    if not view.bound_at or not view.accepted_at:  # then the least time that it must have run
        return max(0.0, _age(a, view) - a.deps.limits.pending_timeout)
    return max(0.0, seconds_since(view.bound_at, now) - seconds_between(view.accepted_at, view.started_at))


def _run_limit(a: Attempt) -> float:
    return float(a.run.event.timeout_seconds or a.deps.limits.default_timeout)


def _time_left(a: Attempt) -> float:
    """Seconds until a limit must be checked, even if nothing wakes the worker."""
    view, subscription = a.subscription.view, a.subscription
    if view is None or view.deleting:
        return LONGEST_WAIT_SECONDS
    if a.running_at:
        left = _run_limit(a) - (time.monotonic() - a.running_at)
    else:
        left = a.deps.limits.pending_timeout - _pending_seconds(a, view)
    if not _tells_time(a):
        left = min(left, CLOCK_LOOK_SECONDS)
    if not a.deps.pods.health.healthy:
        left = max(left, TROUBLE_LOOK_SECONDS)  # meanwhile a pending Pod's limit comes no nearer
    if subscription.trouble:
        pulls = subscription.trouble == Reason.IMAGE_PULL
        grace = a.deps.limits.pull_grace if pulls else GRACE_SECONDS
        left = min(left, max(grace - _waiting_seconds(a), TROUBLE_LOOK_SECONDS))
    return min(max(left, 0.01), LONGEST_WAIT_SECONDS)


def _look_again(a: Attempt) -> PodView | None:
    """Ask the API server for the Pod before a limit ends the worker, as the watch may be behind."""
    subscription = a.subscription
    before, view = subscription.view, look_at_pod(a)
    if view is None:
        return None
    if view.terminal or view.deleting or (before is not None and view.started != before.started):
        if subscription.view is before:  # else the watch has shown a view meanwhile, which may be newer
            subscription.see(view)
        return view
    return subscription.view
