"""Last part of a worker's life: make its end durable, then delete the Pod, always in this order.

It also carries out an intent to cancel a worker, or to end one that is over its time limit: it deletes the
Pod with the Pod's own grace period, waits until the Pod has ended, and records the result.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

from ottoscaler.errors import PodGone
from ottoscaler.ledger.records import Intent, Reply, Word, millis, outcome_of, timestamp
from ottoscaler.model import Judgement, Outcome, Reason, Status, Verdict
from ottoscaler.pods.verdict import cut, vanished
from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.attempt import Attempt, Ended, Next, seconds_between
from ottoscaler.workers.cause import with_cause
from ottoscaler.workers.logs import Try, keep_log
from ottoscaler.workers.removal import delete, note_unseen, see_it_go
from ottoscaler.workers.run import longest_retry_delay

USUAL_GRACE_SECONDS = 30  # Kubernetes' default, until the Pod shows its own grace period
# How long after the grace period the node may take to report how the container ended. Then a worker over its
# time limit is recorded without that report, so that a lost node does not hold a slot for ever.
LAST_WORDS_SECONDS = 60.0
LONGEST_WHY = 200  # characters of a retry's reason that the ledger keeps for the status page


def settle(a: Attempt, found: Judgement) -> Ended:
    """Make the end durable, or plan a retry, then delete the Pod.

    Raises Fenced, Stopping, NotYet (only where the thread may not wait), RedisError and KubernetesError.
    """
    if found.reason is Reason.DEADLINE_EXCEEDED and _runs_on(a):
        return end_overtime(a)
    if found.verdict is Verdict.RETRY and a.intent is not None:
        return cancel(a, a.intent)  # also if Redis has lost the intent since: nobody wants it to run again
    found = with_cause(a, found)
    keep_log(a, found.status, Try.BEFORE_RESULT)
    retries = a.run.event.max_retries
    left = (a.deps.limits.default_retries if retries is None else retries) - a.task.attempt
    if found.verdict is Verdict.RETRY and left > 0:
        return _retry(a, found)
    return _record(a, _outcome(a, found))


def _runs_on(a: Attempt) -> bool:
    """Whether its container has started and is not known to have ended."""
    view = a.subscription.view
    return not a.subscription.gone and view is not None and view.started and view.exit_code is None


def _retry(a: Attempt, found: Judgement) -> Ended:
    deps = a.deps
    delay = longest_retry_delay(a.task.attempt) * random.uniform(0.5, 1.0)
    view = a.subscription.view
    avoid = view.node if found.avoid_node and view is not None else ""
    why = " ".join(f"{found.reason.value}: {found.message}".split())[:LONGEST_WHY]
    note_unseen(a)
    answer = deps.retrier.call(
        "planning a retry",
        lambda: deps.ledger.retry(a.worker, a.run.epoch, a.subscription.uid, delay, avoid, why),
    )
    if answer.word is Word.CANCELLING:
        return cancel(a, answer.intent)
    if answer.word is Word.OVERTIME:
        return end_overtime(a)
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
    note_unseen(a)
    answer = deps.retrier.call(
        "recording a result",
        lambda: deps.ledger.record(
            a.worker, a.run.epoch, a.subscription.uid, outcome, despite_intent=despite_intent
        ),
    )
    if answer.word is Word.CANCELLING:
        return cancel(a, answer.intent)
    if answer.word is Word.OVERTIME:
        return end_overtime(a)
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
    """Record a worker whose end nobody could see as failed, even despite an intent: its Pod has ended."""
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
    if view is not None:
        return outcome_of(found, view)
    pod = a.subscription.name if a.subscription.uid else ""
    return Outcome(found.status, found.reason, found.message, found.exit_code, pod, finished_at=timestamp())


def cancel_without_pod(a: Attempt, intent: Intent) -> Ended:
    """Cancel a worker of which no Pod was noted. A create may have made one all the same."""
    deps = a.deps
    try:
        view = deps.retrier.call("looking for a Pod", lambda: parse_pod(deps.pods.get(a.subscription.name)))
    except PodGone:
        if a.task.uid:
            deps.watcher.identify(a.subscription, a.task.uid)
        end = a.subscription.end
        outcome = _cancelled(intent) if end is None else _outcome(a, vanished(end))
        return _record(a, outcome, despite_intent=True)
    if not a.is_ours(view):
        return _record(a, _cancelled(intent), despite_intent=True)
    deps.watcher.identify(a.subscription, view.uid, view, looked_up=True)
    return cancel(a, intent)


def cancel(a: Attempt, intent: Intent) -> Ended:
    """Delete the Pod with its own grace period, wait until it has ended or gone, then record the worker.

    It is recorded as cancelled, unless it had ended before anybody deleted its Pod. The order in which the
    API server shows the two decides that, since the kubelet's clock, Redis's and ours may be hours apart.
    """
    subscription = a.subscription

    def over() -> bool:
        view = subscription.view
        # A finalizer may keep the Pod for ever, but nothing of it runs any more.
        return subscription.end is not None or (view is not None and view.terminal and view.deleting)

    see_it_go(a, over, Status.CANCELLED)
    if subscription.end is not None:
        return _record(a, _outcome(a, vanished(subscription.end)), despite_intent=True)
    code = subscription.view.exit_code if subscription.view is not None else None
    found = Judgement(Verdict.FINISHED, Status.CANCELLED, Reason.CANCELLED, intent.why, code)
    return _record(a, _outcome(a, found), despite_intent=True)


def end_overtime(a: Attempt) -> Ended:
    """End a worker that is over its time limit: make that intent durable, delete the Pod, record the result.

    The Pod has its own grace period. The worker is recorded when its container has ended, with the
    termination message, or without one if its node is lost. A worker that ended by itself before anybody
    deleted its Pod is recorded with that end.
    """
    deps, subscription = a.deps, a.subscription
    answer = deps.retrier.call(
        "intending to end a worker", lambda: deps.ledger.overtime(a.worker, a.run.epoch, subscription.uid)
    )
    if answer.word is Word.CANCELLING:
        return cancel(a, answer.intent)
    if answer.word is not Word.OK:
        return Ended(Next.DONE)
    since = time.monotonic() - int(answer.detail) / 1000

    def over() -> bool:
        return any(view.exit_code is not None for view in (subscription.end, subscription.view) if view)

    def left() -> float:
        view = subscription.view
        grace = view.grace_seconds if view is not None and view.deleting else USUAL_GRACE_SECONDS
        return since + grace + LAST_WORDS_SECONDS - time.monotonic()

    a.log.info("worker_overtime", "the worker is over its time limit; its Pod is asked to go")
    seen = see_it_go(a, over, Status.FAILED, left)
    end = subscription.end
    if end is not None and end.exit_code is not None:
        return _record(a, _outcome(a, vanished(end)), despite_intent=True)
    return _record(a, _overtime(a, seen=seen), despite_intent=True)


def _overtime(a: Attempt, *, seen: bool) -> Outcome:
    view = a.subscription.view
    words, code = (view.container_message.strip(), view.exit_code) if view is not None else ("", None)
    unseen = "" if seen else "; its end was not seen, its node may be lost"
    found = Judgement(
        Verdict.FINISHED,
        Status.FAILED,
        Reason.DEADLINE_EXCEEDED,
        cut(words or f"it ran for longer than its time limit{unseen}"),
        code,
    )
    return replace(_outcome(a, found), finished_at=millis(view.finished_at if view else "") or timestamp())


def _cancelled(intent: Intent) -> Outcome:
    return Outcome(Status.CANCELLED, Reason.CANCELLED, intent.why, finished_at=timestamp())
