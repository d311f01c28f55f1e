"""Note an attempt's first Pod in the ledger and let it start, or adopt a Pod that is there already.

A Pod that a lost reply or a dead replica left behind is recognised by its name, its labels and its UID. Each
function returns ``None`` if there is a Pod to monitor, otherwise how the task has ended.
"""

from __future__ import annotations

import time

from ottoscaler.errors import KubernetesError, KubernetesUnavailable, PodGone, Stopping
from ottoscaler.ledger.records import Word
from ottoscaler.model import Judgement, PodView, Reason, Status, Verdict
from ottoscaler.pods.verdict import refused
from ottoscaler.pods.view import parse_pod
from ottoscaler.retry import Backoff
from ottoscaler.telemetry.logs import flood
from ottoscaler.workers.attempt import Attempt, Ended, Next
from ottoscaler.workers.monitor import look_at_pod
from ottoscaler.workers.removal import delete
from ottoscaler.workers.settle import cancel, cancel_without_pod, end_overtime, settle

ONE_LIST_SECONDS = 1.0  # for one list that shows all Pods of a dead owner; without it, each costs a GET


def adopt_or_skip(a: Attempt) -> Ended | None:
    """Adopt the Pod of an attempt whose create may have been sent, but whose Pod was never noted.

    If no Pod is there, somebody may have deleted it. So this attempt is skipped and the next one begins: one
    attempt never has two Pods to record.
    """
    deps, subscription = a.deps, a.subscription
    if subscription.view is not None and a.is_ours(subscription.view):
        return adopt_seen(a, subscription.view)
    try:
        view = deps.start_retrier.call(
            "looking for a Pod", lambda: parse_pod(deps.pods.get(subscription.name))
        )
    except PodGone:
        answer = deps.start_retrier.call(
            "skipping an attempt", lambda: deps.ledger.skip(a.worker, a.run.epoch)
        )
        if answer.word is Word.CANCELLING:
            return cancel_without_pod(a, answer.intent)
        if answer.word is not Word.OK:
            return Ended(Next.DONE)
        a.run.note_waiting(a.task.index, a.task.attempt + 1, 0, a.task.avoid_node)
        a.log.info("attempt_skipped", "no Pod is there, and whether there was one is unknown")
        return Ended(Next.RETRY, 0.0, a.task.avoid_node)
    return adopt_found(a, view)


def adopt_found(a: Attempt, view: PodView) -> Ended | None:
    """Adopt a Pod of our name if it is this very attempt's. Otherwise fail the worker."""
    if a.is_ours(view):
        a.deps.watcher.identify(a.subscription, view.uid, view, looked_up=True)
        return adopt_seen(a, view)
    message = f"a Pod named {a.subscription.name} exists that is {whose(view)}"
    return settle(a, Judgement(Verdict.FINISHED, Status.FAILED, Reason.REJECTED, message))


def whose(view: PodView) -> str:
    """Whose Pod it is that has a worker's name, and what to do. Another installation's may be running."""
    if view.installation or view.annotated:
        return (
            "another installation's: give each its own OTTO_INSTANCE (or Redis was emptied, and it will end)"
        )
    return "not this worker's; delete it or rename it"


def adopt_by_uid(a: Attempt, uid: str) -> Ended | None:
    """Adopt the Pod whose UID the ledger knows, and no other."""
    deps, subscription = a.deps, a.subscription
    deps.watcher.identify(subscription, uid)
    if subscription.view is None and not deps.elsewhere:
        deps.watcher.catch_up(ONE_LIST_SECONDS)
    if subscription.view is None and not subscription.gone and (view := look_at_pod(a)) is not None:
        deps.watcher.identify(subscription, uid, view, looked_up=True)
    a.run.note_begun(a.task.index, a.task.attempt, uid)
    if subscription.gone:
        return None
    a.log.info("pod_adopted", "the Pod is adopted")
    return _open_gate(a, uid, subscription.view)


def note_pod(a: Attempt, uid: str, view: PodView) -> Ended | None:
    """Note the attempt's first Pod in the ledger. Any other Pod is deleted at once and never recorded."""
    deps = a.deps
    a.under_way()
    deps.watcher.identify(a.subscription, uid, view, looked_up=not deps.watcher.shows(view))
    answer = deps.retrier.call("noting a Pod", lambda: deps.ledger.created(a.worker, a.run.epoch, uid))
    if answer.word is Word.DUPLICATE:
        a.log.warning("duplicate_pod", f"this attempt already has another Pod; {uid} is deleted")
        delete(a, uid)
        return adopt_by_uid(a, answer.detail)
    if answer.word is Word.STALE:
        return Ended(Next.DONE)
    a.run.note_begun(a.task.index, a.task.attempt, uid)
    if answer.word is Word.CANCELLING:
        return cancel(a, answer.intent)
    if answer.word is Word.OVERTIME:
        return end_overtime(a)
    return _open_gate(a, uid, view)


def _open_gate(a: Attempt, uid: str, view: PodView | None) -> Ended | None:
    """Let the Pod start, now that the ledger has it as the attempt's first.

    A stop leaves that to the next replica. If the gate cannot be opened for the pending timeout, the worker
    fails. Raises Stopping.
    """
    deps, backoff, since = a.deps, Backoff(), time.monotonic()
    while view is not None and view.gated:
        try:
            deps.pods.ungate(view.name, uid)
            return None
        except PodGone:
            a.subscription.lost()
            return None
        except KubernetesUnavailable as error:
            flood.info(
                "gate_waits", f"a start gate cannot be opened for now: {error}", key=type(error).__name__
            )
            over = time.monotonic() - since > deps.limits.pending_timeout
            if over and deps.pods.health.healthy:
                return settle(a, refused(error))
            if backoff.wait(deps.stopping):
                raise Stopping("no Pod is let start any more") from error
        except KubernetesError as error:
            return settle(a, refused(error))
    return None


def adopt_seen(a: Attempt, view: PodView) -> Ended | None:
    """Adopt a Pod that is certainly this very attempt's."""
    a.log.info("pod_adopted", "an existing Pod is adopted")
    return note_pod(a, view.uid, view)
