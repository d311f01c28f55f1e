"""First part of a worker's life: create its Pod, or find it.

The ledger allows it, the lease is checked again, then the Pod is created. ``adopt`` notes the Pod in the
ledger, and recognises a Pod that a lost reply or a dead replica left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ottoscaler.errors import (
    BadEvent,
    Fenced,
    KubernetesUnavailable,
    NoRight,
    Paused,
    PodExists,
    PodGone,
    RedisError,
    Refused,
    RefusedForNow,
    Stopping,
    UnusableAnswer,
)
from ottoscaler.kube.pod_api import CreateTurn
from ottoscaler.ledger.records import Reply, Word
from ottoscaler.model import JsonObject, Judgement, Reason, Status, Verdict
from ottoscaler.pods.plan import PodPlan
from ottoscaler.pods.verdict import refused
from ottoscaler.pods.view import parse_pod
from ottoscaler.retry import Backoff
from ottoscaler.telemetry.logs import flood
from ottoscaler.workers.adopt import adopt_by_uid, adopt_found, adopt_or_skip, adopt_seen
from ottoscaler.workers.attempt import Attempt, Ended, Next, WorkerDeps
from ottoscaler.workers.created import judge_created, judge_taken
from ottoscaler.workers.head_start import SentCreate
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.settle import cancel_without_pod, end_overtime, settle

PREDECESSOR_LOOK_SECONDS = 1.0  # between two looks at the earlier attempt's Pod, which is being deleted
TURN_LOOK_SECONDS = 0.25  # between two checks of the lease while a create waits for its turn


def create(a: Attempt) -> Ended | None:
    """Create the attempt's Pod, or find it. Raises Stopping and Fenced.

    ``None`` if there is a Pod to monitor, otherwise how the task has ended.
    """
    try:
        if a.task.attempt and not a.task.adopt:
            _await_predecessor(a)
        return _create(a)
    except Stopping:
        if a.begun and not a.maybe_sent:
            _take_back(a)
        raise
    except Paused:
        return _put_back(a)


def _await_predecessor(a: Attempt) -> None:
    """Wait until the earlier attempt's Pod has ended or is gone, so that no two attempts run at one time.

    The earlier attempt may have been given up before its end, by a replica that died before it deleted the
    Pod.
    """
    deps, before = a.deps, replace(a.task, attempt=a.task.attempt - 1)
    pods = deps.pods_in(a.task.former, a.task)
    while True:
        try:
            view = deps.start_retrier.call(
                "looking for the earlier Pod", lambda: parse_pod(pods.get(deps.name(before)))
            )
        except (PodGone, NoRight):
            return
        if view.terminal or not a.is_of_ours(view):
            return
        a.under_way()
        a.check_ownership()
        if deps.stopping.wait(PREDECESSOR_LOOK_SECONDS):
            raise Stopping("nothing is created any more")


def _take_back(a: Attempt) -> Reply | None:
    """Take back in the ledger an attempt whose create was never sent, so that nobody has to skip it.

    ``None`` if Redis did not answer.
    """
    try:
        answer = a.deps.ledger.unstart(a.worker, a.run.epoch)
    except RedisError as error:
        a.log.debug("attempt_taken_back", f"the attempt could not be taken back: {error}")
        return None
    if answer.word is Word.OK:
        a.log.debug("attempt_taken_back", "no create was sent; the attempt is begun anew later")
    return answer


def _put_back(a: Attempt) -> Ended | None:
    """In a pause, begin nothing. If a create may have made a Pod already, go on with that Pod."""
    if a.maybe_sent:
        return adopt_or_skip(a)
    if a.begun:
        answer = _take_back(a)
        if answer is not None and answer.word is Word.CANCELLING:
            return cancel_without_pod(a, answer.intent)
        a.run.note_not_begun(a.task.index, a.task.attempt)
    return Ended(Next.NOT_BEGUN)


def _create(a: Attempt) -> Ended | None:
    deps, backoff = a.deps, Backoff()
    while True:
        try:
            if a.head_start is not None and a.head_start.sent is not None:
                return _hear(a, a.head_start.sent)
            return _post(a, deps.lease.grant(deps.stopping))
        except Refused as error:
            a.under_way()
            return settle(a, refused(error))
        except (Fenced, Stopping, Paused):
            raise
        except (KubernetesUnavailable, RedisError) as error:
            a.under_way()
            well = deps.pods.health.healthy
            flood.info("create_waits", f"Pods cannot be created for now: {error}", key=type(error).__name__)
            # A Retry-After of the API server holds the next turn back (throttle.py). A webhook's, which may
            # be an hour, must not keep a worker from learning that it is cancelled, overdue or let go.
            backoff.wait(deps.stopping)
            if isinstance(error, KubernetesUnavailable) and _is_overdue(a, error, well=well):
                try:
                    view = parse_pod(deps.pods.get(a.subscription.name))
                except PodGone:
                    if a.looked:
                        return settle(a, refused(error))
                    a.looked = True  # the server answers: one more create shows whose fault it is
                except KubernetesUnavailable:
                    a.refused_seconds, a.looked = 0.0, False  # the server is unavailable to everybody
                else:
                    return adopt_found(a, view)  # a create that got no answer has made it


def _is_overdue(a: Attempt, error: KubernetesUnavailable, *, well: bool) -> bool:
    """Whether the creates of this Pod alone have been refused or unanswered for the pending timeout.

    Time in which the API server as a whole is in trouble does not count, nor does an answer that shows such
    trouble. ``well``: the server was not in trouble when this create failed.
    """
    now, since = time.monotonic(), a.turn_at
    a.turn_at = 0.0
    own = isinstance(error, RefusedForNow) or not (error.status or isinstance(error, UnusableAnswer))
    if not (own and well and a.deps.pods.health.healthy):
        a.looked = False
        return False
    if since:
        a.refused_seconds += now - since
    return a.refused_seconds > a.deps.limits.pending_timeout


def _post(a: Attempt, grant: int) -> Ended | None:
    """Create the Pod, or find the one that a lost reply or a dead replica left behind."""
    seen = a.subscription.view
    if seen is not None and a.is_ours(seen):  # its create's reply was lost
        # Or a Redis that lost writes knows nothing of it: the ledger notes only the Pod of a begun attempt.
        refusal = None if a.begun else _begin(a, grant)
        return adopt_seen(a, seen) if refusal is None else _follow(a, refusal)
    try:
        plan = a.run.planned()
    except BadEvent as problem:
        _check(a, grant)
        refusal = _begin(a, grant)  # the ledger records only what was begun
        if refusal is not None:
            return _follow(a, refusal)
        return settle(a, Judgement(Verdict.FINISHED, Status.FAILED, Reason.REJECTED, str(problem)))
    return _carry_out(a, plan, lambda: _send(a, plan, grant))


def _hear(a: Attempt, sent: SentCreate) -> Ended | None:
    """Read the answer to the create that the listener has sent. It is heard once."""
    a.head_start = None
    a.turn_at = a.created_at = sent.at

    def answer() -> JsonObject:
        with sent.turn as turn:
            return _ask(a, turn)

    return _carry_out(a, sent.plan, answer)


def _carry_out(a: Attempt, plan: PodPlan, send: Callable[[], JsonObject | Reply]) -> Ended | None:
    """Send a create, or hear of one that was sent, and judge the answer."""
    try:
        sent = send()
    except PodExists:
        a.maybe_sent = True
        return judge_taken(a)
    except KubernetesUnavailable as error:
        a.maybe_sent = a.maybe_sent or not error.unsent
        raise
    if isinstance(sent, Reply):
        return _follow(a, sent)
    a.maybe_sent = True
    a.deps.metrics.pod_create.observe(time.monotonic() - a.created_at)
    a.log.info("pod_created", "the Pod was created")
    return judge_created(a, plan, sent)


def _send(a: Attempt, plan: PodPlan, grant: int) -> JsonObject | Reply:
    """Take a turn, begin the attempt in the ledger, create. Returns the created Pod, or the ledger's refusal.

    The ledger is asked directly before the request. If it were asked earlier, a kill would leave many
    attempts of which nobody knows whether a create was sent. The lease is checked last, after that wait.
    """
    with a.deps.pods.create_turn(*words(a.task, plan)) as turn:
        while not turn.ready(TURN_LOOK_SECONDS):
            _check(a, grant)  # the lease must hold all the time that it waits
        a.turn_at = time.monotonic()
        _check(a, grant)
        refusal = _begin(a, grant)
        if refusal is not None:
            return refusal
        a.created_at = time.monotonic()
        _check(a, grant)
        return _ask(a, turn)


def _ask(a: Attempt, turn: CreateTurn) -> JsonObject:
    """Send the create, if it was not sent at ``a.created_at``, and read the answer."""
    latency = _latency(a)
    try:
        return turn.send()
    finally:  # not before, since it would delay the create
        if latency is not None:
            # An id has at most 41 characters; OpenMetrics allows 128 with the label's name.
            a.deps.metrics.event_latency.observe(latency, {"event_id": a.worker.event_id})


def words(task: Task, plan: PodPlan) -> tuple[bytes, str, str]:
    """What a create's turn is made of: the Pod's JSON, its event and its profile."""
    body = plan.body(task.index, task.attempt, avoid_node=task.avoid_node)
    return body, task.run.event.event_id, task.run.event.profile


def check_allowed(
    deps: WorkerDeps, run: EventRun, grant: int, *, maybe_sent: bool = False, adopts: bool = False
) -> None:
    """Raises Stopping, Paused or KubernetesUnavailable if nothing may be created, or not under this grant."""
    if deps.stopping.is_set():
        raise Stopping("nothing more is created")
    # If a create may have been carried out, the next owner has to skip an attempt. Leave it only to a peer.
    if run.leaving and (deps.lease.peers or not maybe_sent):
        raise Stopping("the event is released to other replicas")
    if deps.pause.on and not adopts:  # of one to adopt, the ledger says whether it has begun
        raise Paused("the group is paused")
    if not deps.lease.holds(grant):
        raise KubernetesUnavailable("the lease has expired; trying again", unsent=True)


def _check(a: Attempt, grant: int) -> None:
    check_allowed(a.deps, a.run, grant, maybe_sent=a.maybe_sent, adopts=a.task.adopt)


def _begin(a: Attempt, grant: int) -> Reply | None:
    """Begin the attempt in the ledger. ``None`` if the ledger allows it, otherwise its answer."""
    head_start, a.head_start = a.head_start, None
    if head_start is None or not head_start.counts(grant, time.monotonic()):
        answer = a.deps.ledger.start(a.worker, a.run.epoch)
        if answer.word is Word.PAUSED:
            a.deps.pause.tell(True)
            raise Paused("the group is paused")
        ours = answer.word is Word.AGAIN and not a.task.adopt and not answer.detail  # our own reply was lost
        if answer.word is not Word.OK and not ours:
            return answer
    a.run.note_begun(a.task.index, a.task.attempt)
    a.begun = True
    return None


def _follow(a: Attempt, refusal: Reply) -> Ended | None:
    """Do what the ledger's answer asks for, after it did not allow the create."""
    a.under_way()
    if refusal.word in (Word.RECORDED, Word.FINISHED, Word.STALE):
        return Ended(Next.DONE)
    if refusal.word is Word.CANCELLING:
        return cancel_without_pod(a, refusal.intent)
    if not refusal.detail:
        return adopt_or_skip(a)
    adopted = adopt_by_uid(a, refusal.detail)
    return end_overtime(a) if adopted is None and refusal.word is Word.OVERTIME else adopted


def _latency(a: Attempt) -> float | None:
    """Seconds from the XADD to the event's first create. ``None`` for any other create."""
    run = a.run
    if run.told_latency:
        return None
    run.told_latency = True
    sent_ms = int(run.event.event_id.partition("-")[0])
    latency = time.time() - (time.monotonic() - a.created_at) - sent_ms / 1000
    return latency if 0 <= latency < 31 * 86_400 else None  # a producer may choose an id that is not a time
