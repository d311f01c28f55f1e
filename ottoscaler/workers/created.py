"""What the answer to a create shows: the Pod as the API server made it, after its admission webhooks, or that
there is one already."""

from __future__ import annotations

from ottoscaler.errors import KubernetesUnavailable, PodGone
from ottoscaler.model import JsonObject, Judgement, PodView, Reason, Status, Verdict
from ottoscaler.pods.plan import PodPlan
from ottoscaler.pods.view import parse_pod
from ottoscaler.telemetry.logs import flood
from ottoscaler.workers.adopt import adopt_found, note_pod
from ottoscaler.workers.attempt import Attempt, Ended
from ottoscaler.workers.removal import delete
from ottoscaler.workers.settle import settle

ONCE = "Never"  # the restartPolicy of every worker's Pod


def judge_created(a: Attempt, plan: PodPlan, sent: JsonObject) -> Ended | None:
    """Note the created Pod in the ledger, or fail its worker where a webhook changed what it depends on.

    ``None`` if there is a Pod to monitor. Raises Stopping and Fenced. The worker's thread calls this.
    """
    _tell_changed_labels(a, plan, sent)
    view = parse_pod(sent)
    if plan.defaults.start_gate and not view.gated:
        _tell_missing_gate(a)
    if view.name != a.subscription.name:
        return _refuse_renamed(a, view)
    policy = (sent.get("spec") or {}).get("restartPolicy", ONCE)
    if policy != ONCE:
        a.deps.watcher.identify(a.subscription, view.uid, view, looked_up=not a.deps.watcher.shows(view))
        return _refuse(a, f"set its restartPolicy to {policy}: its command could run twice")
    return note_pod(a, view.uid, view)


def judge_taken(a: Attempt) -> Ended | None:
    """Look at the Pod because of which the API server refused a create: 409, the name is taken.

    ``None`` if there is a Pod to monitor. Raises Stopping, Fenced and KubernetesUnavailable. The worker's
    thread calls this.
    """
    a.created_at = 0.0  # our last create did not make it
    try:
        view = parse_pod(a.deps.pods.get(a.subscription.name))
    except PodGone:  # or a webhook renames our Pods, and that name is taken by one whose create had no answer
        seen = a.deps.watcher.look_at_events([a.worker.event_id], cached=False).values()
        renamed = next((view for view in seen if a.is_ours(view) and view.name != a.subscription.name), None)
        if renamed is None:
            raise KubernetesUnavailable("the Pod of that name has just gone") from None
        return _refuse_renamed(a, renamed)
    return adopt_found(a, view)


def _refuse_renamed(a: Attempt, view: PodView) -> Ended:
    ended = _refuse(a, f"renamed its Pod to {view.name}: Ottoscaler finds a Pod by its own name only")
    delete(a, view.uid, name=view.name)  # calls by the worker's name do not find it
    return ended


def _refuse(a: Attempt, what: str) -> Ended:
    a.under_way()
    message = f"an admission webhook {what}"
    return settle(a, Judgement(Verdict.FINISHED, Status.FAILED, Reason.REJECTED, message))


def _tell_changed_labels(a: Attempt, plan: PodPlan, sent: JsonObject) -> None:
    """Warn of labels that admission webhooks changed: a create's answer shows that first."""
    names = plan.changed_labels(a.task.index, a.task.attempt, sent)
    if names:
        flood.warning(
            "labels_changed",
            f"an admission webhook changed or took off {', '.join(names)} of a new Pod; where the watch "
            "selects by one of them, its worker looks at it itself, every 5 s",
            key=",".join(names),
            **a.about,
        )


def _tell_missing_gate(a: Attempt) -> None:
    """Warn that a Pod was created without the start gate: an old API server drops it without a word."""
    flood.warning(
        "gate_missing",
        "a new Pod has no start gate (OTTO_START_GATE): the API server is older than 1.27, or an admission "
        "webhook took it off; its command may start before Redis knows the Pod",
        key="gate",
        **a.about,
    )
