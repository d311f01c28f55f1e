"""Last part: make the end durable, then delete the Pod. Evidence before deletion, always in this order.

Also what an intent to cancel asks for: delete with the Pod's own grace, wait until it is gone, record.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import replace

from ottoscaler.errors import KubernetesError, NotYet, PodGone, RedisError, Stopping
from ottoscaler.ledger.records import Intent, Reply, Word, millis, timestamp
from ottoscaler.model import JsonObject, Judgement, Outcome, PodView, Reason, Status, Verdict
from ottoscaler.pods.verdict import vanished
from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.attempt import Attempt, Ended, Next, seconds_between
from ottoscaler.workers.cause import with_cause
from ottoscaler.workers.logs import Try, keep_log
from ottoscaler.workers.monitor import LONGEST_WAIT_SECONDS, is_gone, until_next_look
from ottoscaler.workers.run import LONGEST_RETRY_SECONDS

FIRST_RETRY_SECONDS = 1.0  # doubled with each attempt, with jitter
LONGEST_WHY = 200  # characters of a retry's reason that the ledger keeps for the status page
DELETE_TRIES = 5  # then the reconciler sweeps the Pod; its result stands


def settle(a: Attempt, found: Judgement) -> Ended:
    """Make the end durable, then delete the Pod."""
    found = with_cause(a, found)
    keep_log(a, found.status, Try.BEFORE_RESULT)
    retries = a.run.event.max_retries
    left = (a.deps.limits.default_retries if retries is None else retries) - a.task.attempt
    if found.verdict is Verdict.RETRY and left > 0:
        return _retry(a, found)
    return _record(a, _outcome(a, found))


def _retry(a: Attempt, found: Judgement) -> Ended:
    deps = a.deps
    delay = min(FIRST_RETRY_SECONDS * 2**a.task.attempt, LONGEST_RETRY_SECONDS) * random.uniform(0.5, 1.0)
    view = a.subscription.view
    avoid = view.node if found.avoid_node and view is not None else ""
    why = " ".join(f"{found.reason.value}: {found.message}".split())[:LONGEST_WHY]
    _note_unseen(a)
    answer = deps.retrier.call(
        "planning a retry",
        lambda: deps.ledger.retry(a.worker, a.run.epoch, a.subscription.uid, delay, avoid, why),
    )
    if answer.word is Word.CANCELLING:
        return cancel(a, answer.intent)
    if answer.word is not Word.OK:
        return Ended(Next.DONE)
    due_ms = int((time.time() + delay) * 1000)
    a.run.note_waiting(a.task.index, a.task.attempt + 1, due_ms, avoid)
    deps.metrics.retries_total.inc(found.reason.value)
    a.log.warning(
        "worker_retries",
        f"trying again in {delay:.1f} s after an infrastructure failure: {found.message}",
        reason=found.reason.value,
    )
    keep_log(a, found.status, Try.LAST)
    delete(a, a.subscription.uid, kept_seconds=deps.limits.failed_pod_ttl)
    return Ended(Next.RETRY, delay, avoid)


def _record(a: Attempt, outcome: Outcome, *, despite_intent: bool = False) -> Ended:
    deps = a.deps
    _note_unseen(a)
    answer = deps.retrier.call(
        "recording a result",
        lambda: deps.ledger.record(
            a.worker, a.run.epoch, a.subscription.uid, outcome, despite_intent=despite_intent
        ),
    )
    if answer.word is Word.CANCELLING:
        return cancel(a, answer.intent)
    if answer.word is Word.STALE:
        return Ended(Next.DONE)
    if answer.word in (Word.OK, Word.ENDED):
        _tell(a, outcome, answer)
    a.run.note_done(a.task.index, a.task.attempt, outcome.status.value, a.subscription.uid)
    keep_log(a, outcome.status, Try.LAST)
    ttl = {Status.FAILED: deps.limits.failed_pod_ttl, Status.SUCCEEDED: deps.limits.succeeded_pod_ttl}
    delete(a, a.subscription.uid, kept_seconds=ttl.get(outcome.status, 0.0))
    return Ended(Next.DONE)


def out_of_sight(a: Attempt, why: str) -> Ended:
    """Record a worker whose end nobody could see, also against an intent: its Pod has ended by now."""
    outcome = Outcome(Status.FAILED, Reason.UNKNOWN, why, pod=a.subscription.name, finished_at=timestamp())
    return _record(a, outcome, despite_intent=True)


def _tell(a: Attempt, outcome: Outcome, answer: Reply) -> None:
    deps, event = a.deps, a.run.event
    deps.metrics.workers_total.inc(outcome.status.value, outcome.reason.value)
    if outcome.started_at and outcome.finished_at:
        ran = seconds_between(outcome.started_at, outcome.finished_at)
        deps.metrics.pod_run.observe(max(0.0, ran))
    failed = outcome.status is Status.FAILED
    a.log.info(
        "worker_recorded",
        f"the worker {outcome.status.words}" + (f": {outcome.reason.value}" if failed else ""),
        status=outcome.status.value,
        reason=outcome.reason.value,
        exit_code=outcome.exit_code,
    )
    if answer.word is Word.ENDED and answer.duration_ms is not None:
        deps.metrics.events_total.inc(event.type, answer.detail)
        deps.metrics.event_duration.observe(answer.duration_ms / 1000)
        a.log.info(
            "event_ended",
            f"the event {Status(answer.detail).words}",
            metadata=a.run.told_metadata,
            status=answer.detail,
            duration_ms=answer.duration_ms,
        )


def _outcome(a: Attempt, found: Judgement) -> Outcome:
    view = (a.subscription.end or a.subscription.view) if a.subscription.uid else None
    base = Outcome(found.status, found.reason, found.message, found.exit_code)
    if view is None:
        pod = a.subscription.name if a.subscription.uid else ""
        return replace(base, pod=pod, finished_at=timestamp())
    return replace(
        base,
        pod=view.name,
        node=view.node,
        created_at=millis(view.created_at),
        started_at=millis(view.started_at),
        finished_at=millis(view.finished_at) or timestamp(),
    )


def _note_unseen(a: Attempt) -> None:
    """Before the end is durable: let the sweep find the Pod by its name, where its labels do not show it,
    should this process not live to delete it."""
    uid = a.subscription.uid
    if not uid or a.noted_unseen or a.subscription.certain or a.deps.elsewhere or not a.may_be_lost:
        return
    unseen, name = a.deps.ledger.unseen, a.subscription.name
    a.deps.retrier.call("noting a Pod that the watch does not show", lambda: unseen.note(name, uid))
    a.noted_unseen = True


def _forget_unseen(a: Attempt) -> None:
    if a.noted_unseen:
        with suppress(RedisError):  # the sweep looks, and finds that it has gone
            a.deps.ledger.unseen.forget(a.subscription.name)


def delete(a: Attempt, uid: str, *, kept_seconds: float = 0.0) -> None:
    """Ask for the Pod to go, unless it is going, has gone, or is kept for a look at it."""
    deps, subscription = a.deps, a.subscription
    if not uid or subscription.certain:
        return
    view = subscription.view if subscription.view is not None and subscription.view.uid == uid else None
    if view is not None and view.deleting:
        return
    if kept_seconds > 0 and view is not None and view.terminal:  # the sweep deletes it when they are over
        return
    if view is not None and view.terminal:
        deps.metrics.pod_reaction.observe(time.monotonic() - subscription.seen_at)
    tries = None if subscription.looked_at else DELETE_TRIES  # the reconciler sees no more than the watch
    try:
        deps.retrier.call("deleting a Pod", lambda: deps.pods.delete(subscription.name, uid), tries=tries)
        a.log.debug("pod_deleted", "the Pod was deleted")
        _forget_unseen(a)
    except PodGone:
        subscription.lost()
        _forget_unseen(a)
    except (KubernetesError, Stopping) as error:
        a.log.warning("delete_failed", f"the Pod is left to the reconciler: {error}")


def cancel_unborn(a: Attempt, intent: Intent) -> Ended:
    """Cancelled before a Pod of ours was noted; a create may have got through all the same."""
    deps = a.deps
    try:
        view = deps.retrier.call("looking for a Pod", lambda: parse_pod(deps.pods.get(a.subscription.name)))
    except PodGone:
        return _record(a, _cancelled(intent), despite_intent=True)
    if not a.is_ours(view):
        return _record(a, _cancelled(intent), despite_intent=True)
    deps.watcher.identify(a.subscription, view.uid, view, looked_up=True)
    return cancel(a, intent)


def cancel(a: Attempt, intent: Intent) -> Ended:
    """Delete with the Pod's own grace, wait until it has ended or gone, then record it.

    Cancelled, unless the worker had ended before anybody asked its Pod to go: the order in which the API
    server shows the two tells that, since a kubelet's clock, Redis's and ours may be hours apart.
    """
    deps, subscription = a.deps, a.subscription
    asked = False
    while subscription.end is None:
        subscription.look()
        if is_gone(a, cancelled=True):
            break
        view = subscription.view
        # A finalizer may keep it for ever, but nothing of it runs any more.
        if subscription.end is not None or (view is not None and view.terminal and view.deleting):
            break
        if view is not None and view.deleting:
            keep_log(a, Status.CANCELLED, Try.WHILE_GOING)
        a.check_ownership()
        if deps.abandon.is_set() or a.run.leaving:
            raise Stopping("the cancelled worker is left to the next replica")
        if not asked and not (view is not None and view.deleting):
            asked = True
            _delete_for_cancel(a)
            continue
        if not a.waits:
            raise NotYet("the cancelled Pod is not gone yet")
        if not subscription.wait(until_next_look(a, LONGEST_WAIT_SECONDS)) and not subscription.looked_at:
            a.log.warning("cancel_waits", "the cancelled Pod is not gone yet; its node may be lost")
    keep_log(a, Status.CANCELLED, Try.BEFORE_RESULT)
    if subscription.end is not None:
        return _record(a, _outcome(a, vanished(subscription.end)), despite_intent=True)
    return _record(
        a,
        replace(_outcome(a, Judgement(Verdict.FINISHED)), **_as_cancelled(intent, subscription.view)),
        despite_intent=True,
    )


def _delete_for_cancel(a: Attempt) -> None:
    deps, subscription = a.deps, a.subscription
    try:
        reply = deps.retrier.call(
            "deleting a cancelled Pod",
            lambda: deps.pods.delete(subscription.name, subscription.uid, told=True),
        )
    except PodGone:
        subscription.lost()
    else:
        deps.watcher.asked_to_go(reply)


def _as_cancelled(intent: Intent, view: PodView | None) -> JsonObject:
    return {
        "status": Status.CANCELLED,
        "reason": Reason.CANCELLED,
        "message": intent.why,
        "exit_code": view.exit_code if view is not None else None,
    }


def _cancelled(intent: Intent) -> Outcome:
    return Outcome(Status.CANCELLED, Reason.CANCELLED, intent.why, finished_at=timestamp())
