"""One Pod's life: create, monitor, record, delete. One pool thread a worker, from creation to deletion.

The order is the promise: the ledger allows it, then the Pod is created; its result is durable, then the Pod
is deleted. Whatever dies in between, the next replica finds the ledger and the Pod and goes on from there.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from ottoscaler.errors import (
    Fenced,
    KubernetesError,
    KubernetesUnavailable,
    PodExists,
    PodGone,
    QuotaExceeded,
    Refused,
    Stopping,
)
from ottoscaler.failures import GRACE_SECONDS
from ottoscaler.flight import EventRun, Task
from ottoscaler.lease import Lease
from ottoscaler.ledger import Answer, Intent, Ledger, timestamp
from ottoscaler.model import JsonObject, Judgement, Outcome, PodView, Reason, Status, Verdict
from ottoscaler.patience import Patience
from ottoscaler.pods import Pods
from ottoscaler.podspec import pod_name
from ottoscaler.podview import observe
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.verdict import judge, vanished
from ottoscaler.watcher import PodWatcher, Ticket

log = get_logger(__name__)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0  # doubled with each attempt, with jitter
LONGEST_WAIT_SECONDS = 300.0  # a worker looks up at least so often, though nothing woke it
DELETE_TRIES = 5  # then the reconciler sweeps the Pod; its result stands
TROUBLE_LOOK_SECONDS = 1.0  # between two looks at a Pod whose grace is over and whose end is not due
CREATE_PAUSE_SECONDS = 0.2  # doubled up to the longest, with jitter, while a create is refused for now
LONGEST_CREATE_PAUSE_SECONDS = 3.0
# Answers that may pass but need not: past the pending timeout they are the worker's failure. No answer,
# 401, 429 and 502 to 504 are an API server that is away, for which no worker fails.
_LIMITED = (403, 404, 409, 500)
_WAIT = Judgement(Verdict.WAIT)


class Next(Enum):
    """What is to become of a task when its function returns."""

    DONE = "done"
    RETRY = "retry"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a worker's function returns: with RETRY, ``delay`` in seconds until the next attempt."""

    next: Next
    delay: float = 0.0
    avoid_node: str = ""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What the operator allows, in seconds."""

    instance: str
    pending_timeout: float
    default_timeout: float
    default_retries: int
    failed_pod_ttl: float


def seconds_since(moment: str) -> float:
    """Age of one of the API server's times; 0 for none. Never negative, though clocks differ."""
    try:
        return max(0.0, time.time() - datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0.0


class Workers:
    """The worker's function and what it needs. ``work`` runs in pool threads, ``settle_if_ended`` also in
    the reconciler's, for Pods that wait for a slot to be adopted."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        pods: Pods,
        watcher: PodWatcher,
        lease: Lease,
        metrics: Metrics,
        limits: WorkerLimits,
        stopping: threading.Event,
        abandon: threading.Event,
    ) -> None:
        self._ledger = ledger
        self._pods = pods
        self._watcher = watcher
        self._lease = lease
        self._metrics = metrics
        self._limits = limits
        self._stopping = stopping
        self._abandon = abandon
        self._patience = Patience(abandon)
        self._start_patience = Patience(stopping)

    def work(self, task: Task) -> Ended:
        """Run one attempt to its end. Raises Fenced (the event is another's), Stopping (left to the next)."""
        ticket = self._watcher.subscribe(self._name(task))
        try:
            return _Attempt(self, task, ticket).run()
        finally:
            self._watcher.unsubscribe(ticket)

    def settle_if_ended(self, task: Task, view: PodView) -> Ended | None:
        """End an adopted worker whose Pod needs no more waiting; ``None`` where it still runs."""
        ticket = self._watcher.subscribe(view.name)
        try:
            self._watcher.identify(ticket, task.uid or view.uid, view if not task.uid else None)
            if ticket.view is None:
                ticket.gone = True
            attempt = _Attempt(self, task, ticket)
            judgement = attempt.judgement()
            return attempt.settle(judgement) if judgement.verdict is not Verdict.WAIT else None
        finally:
            self._watcher.unsubscribe(ticket)

    def give_up(self, task: Task, why: str) -> Ended:
        """Record a worker as failed that Ottoscaler itself cannot carry on with, and delete its Pod."""
        ticket = self._watcher.subscribe(self._name(task))
        try:
            if ticket.view is not None:
                self._watcher.identify(ticket, ticket.view.uid)
            return _Attempt(self, task, ticket).settle(
                Judgement(Verdict.FINISHED, Status.FAILED, Reason.UNKNOWN, why)
            )
        finally:
            self._watcher.unsubscribe(ticket)

    def _name(self, task: Task) -> str:
        return pod_name(self._limits.instance, task.run.event.event_id, task.index, task.attempt)


class _Attempt:
    """One attempt in the hands of one thread."""

    def __init__(self, shop: Workers, task: Task, ticket: Ticket) -> None:
        self._shop = shop
        self._task = task
        self._run: EventRun = task.run
        self._worker = task.worker
        self._ticket = ticket
        self._created_at = 0.0  # monotonic, of our own create; 0 for an adopted Pod
        self._running_at = 0.0  # monotonic, when first seen running
        self._log = log.bind(
            event_id=task.run.event.event_id,
            task_id=task.run.event.task_id,
            index=task.index,
            pod=ticket.name,
        )

    def run(self) -> Ended:
        ended = self._create()
        if ended is not None:
            return ended
        return self.settle(self._monitor())

    # --- create

    def _create(self) -> Ended | None:
        """Have a Pod: made here, or found. Not ``None``: there is nothing to monitor."""
        shop, begun, pause = self._shop, time.monotonic(), CREATE_PAUSE_SECONDS
        while True:
            generation = shop._lease.grant(shop._stopping)
            answer = shop._start_patience.call(
                "asking the ledger to start a worker",
                lambda: shop._ledger.start(self._worker, self._run.epoch),
            )
            if answer.word in ("recorded", "finished", "stale"):
                return Ended(Next.DONE)
            if answer.word == "cancelling":
                return self._cancel_unborn(answer.intent)
            if answer.word == "ok":
                self._run.note_begun(self._task.index, self._task.attempt)
            elif answer.detail:
                return self._adopt(answer.detail)
            try:
                if shop._lease.holds(generation):
                    return self._post(answer.word == "again" and self._task.adopt)
            except (KubernetesUnavailable, QuotaExceeded) as error:
                waited = time.monotonic() - begun
                if waited > shop._limits.pending_timeout and _is_limited(error):
                    return self.settle(_refused(error))
                self._log.info("create_waits", f"the Pod cannot be created for now: {error}")
                least = error.retry_after if isinstance(error, KubernetesUnavailable) else 0.0
                shop._stopping.wait(max(least, pause * random.uniform(0.5, 1.0)))
                pause = min(pause * 2, LONGEST_CREATE_PAUSE_SECONDS)
            except Refused as error:
                return self.settle(_refused(error))

    def _post(self, look_first: bool) -> Ended | None:
        """Create the Pod, or find the one that a lost reply or a dead replica left."""
        shop = self._shop
        if look_first and self._ticket.view is not None and self._is_ours(self._ticket.view):
            return self._note(self._ticket.view.uid, self._ticket.view)
        if self._run.plan is None:
            return self.settle(
                Judgement(Verdict.FINISHED, Status.FAILED, Reason.REJECTED, "its Pod can no longer be built")
            )
        body = self._run.plan.body(self._task.index, self._task.attempt, avoid_node=self._task.avoid_node)
        self._tell_latency()
        sent = time.monotonic()
        try:
            obj = shop._pods.create(body)
        except PodExists:
            return self._find()
        self._created_at = sent
        shop._metrics.pod_create.observe(time.monotonic() - sent)
        self._log.info("pod_created", "the Pod was created", attempt=self._task.attempt)
        return self._note(obj["metadata"]["uid"], observe(obj))

    def _tell_latency(self) -> None:
        run = self._run
        if run.told_latency:
            return
        run.told_latency = True
        sent_ms = int(run.event.event_id.partition("-")[0])
        latency = time.time() - sent_ms / 1000
        if 0 <= latency < 31 * 86_400:  # a producer may choose an id that is no time
            self._shop._metrics.event_latency.observe(latency)

    def _find(self) -> Ended | None:
        """A Pod of our name is there: ours, if its labels say the very same attempt."""
        try:
            view = observe(self._shop._pods.get(self._ticket.name))
        except PodGone:
            raise KubernetesUnavailable("the Pod of that name has just gone") from None
        if self._is_ours(view):
            self._log.info(
                "pod_adopted", "the Pod was there already and is adopted", attempt=self._task.attempt
            )
            return self._note(view.uid, view)
        message = f"a Pod named {self._ticket.name} exists that is not this worker's; delete it or rename it"
        return self.settle(Judgement(Verdict.FINISHED, Status.FAILED, Reason.REJECTED, message))

    def _is_ours(self, view: PodView) -> bool:
        return (
            view.worker == self._worker
            and view.instance == self._shop._limits.instance
            and view.installation in self._shop._lease.held_installations
        )

    def _adopt(self, uid: str) -> Ended | None:
        """The ledger knows the Pod's UID: that Pod, or none."""
        shop, ticket = self._shop, self._ticket
        shop._watcher.identify(ticket, uid)
        if ticket.view is None and not ticket.gone:
            try:
                view = shop._patience.call("looking for a Pod", lambda: observe(shop._pods.get(ticket.name)))
                if view.uid == uid:
                    shop._watcher.identify(ticket, uid, view)
                else:
                    ticket.gone = True
            except PodGone:
                ticket.gone = True
        self._run.note_begun(self._task.index, self._task.attempt, uid)
        if not ticket.gone:
            self._log.info("pod_adopted", "the Pod is adopted", attempt=self._task.attempt)
        return None

    def _note(self, uid: str, view: PodView) -> Ended | None:
        """Make the attempt's first Pod durable. Any other is deleted on sight and never recorded."""
        shop = self._shop
        shop._watcher.identify(self._ticket, uid, view)
        answer = shop._patience.call(
            "noting a Pod", lambda: shop._ledger.created(self._worker, self._run.epoch, uid)
        )
        if answer.word == "duplicate":
            self._log.warning("duplicate_pod", f"another Pod of this attempt came first; {uid} is deleted")
            self._delete(uid)
            return self._adopt(answer.detail)
        if answer.word == "stale":
            return Ended(Next.DONE)
        self._run.note_begun(self._task.index, self._task.attempt, uid)
        if answer.word == "cancelling":
            return self._cancel(answer.intent)
        return None

    # --- monitor

    def _monitor(self) -> Judgement:
        """Sleep until the shared watch, or a limit, says that there is something to do."""
        shop, ticket = self._shop, self._ticket
        while True:
            judgement = self.judgement()
            view = ticket.view
            if judgement.verdict is not Verdict.WAIT:
                if ticket.gone or view is None or view.terminal or self._look_again() == view:
                    return judgement
                continue
            if shop._abandon.is_set():
                raise Stopping("the worker is left to the next replica")
            ticket.wait(self._time_left())

    def judgement(self) -> Judgement:
        """What the Pod, as last seen, asks for. Never WAIT for one that is gone."""
        view, limits = self._ticket.view, self._shop._limits
        if self._ticket.gone:
            return vanished(view)
        if view is None:
            return _WAIT
        if view.started and not self._running_at:
            self._saw_running(view)
        return judge(
            view,
            age_seconds=self._age(view),
            waiting_seconds=self._ticket.trouble_seconds(),
            pending_timeout_seconds=limits.pending_timeout,
            running_seconds=time.monotonic() - self._running_at if self._running_at else 0.0,
            run_timeout_seconds=self._run_limit,
        )

    def _age(self, view: PodView) -> float:
        return time.monotonic() - self._created_at if self._created_at else seconds_since(view.created_at)

    def _saw_running(self, view: PodView) -> None:
        now = time.monotonic()
        if self._created_at:
            self._running_at = now
            self._shop._metrics.pod_start.observe(now - self._created_at)
            self._log.debug("pod_running", "the worker runs", node=view.node)
        else:
            self._running_at = now - seconds_since(view.started_at)

    @property
    def _run_limit(self) -> float:
        return float(self._run.event.timeout_seconds or self._shop._limits.default_timeout)

    def _time_left(self) -> float:
        """Seconds until a limit has to be looked at, though nothing woke the worker."""
        view, ticket = self._ticket.view, self._ticket
        if view is None or view.deleting:
            return LONGEST_WAIT_SECONDS
        if self._running_at:
            left = self._run_limit - (time.monotonic() - self._running_at)
        else:
            left = self._shop._limits.pending_timeout - self._age(view)
        if ticket.trouble_seconds():
            left = min(left, max(GRACE_SECONDS - ticket.trouble_seconds(), TROUBLE_LOOK_SECONDS))
        return min(max(left, 0.01), LONGEST_WAIT_SECONDS)

    def _look_again(self) -> PodView | None:
        """Before a limit of ours ends a worker: ask the API server itself, as the watch may be behind."""
        shop, ticket = self._shop, self._ticket
        before = ticket.view
        try:
            view = shop._patience.call("looking at a Pod", lambda: observe(shop._pods.get(ticket.name)))
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

    # --- record, then delete

    def settle(self, judgement: Judgement) -> Ended:
        """Make the end durable, then delete the Pod."""
        retries = self._run.event.max_retries
        left = (self._shop._limits.default_retries if retries is None else retries) - self._task.attempt
        if judgement.verdict is Verdict.RETRY and left > 0:
            return self._retry(judgement)
        return self._record(self._outcome(judgement))

    def _retry(self, judgement: Judgement) -> Ended:
        shop = self._shop
        delay = min(FIRST_RETRY_SECONDS * 2**self._task.attempt, LONGEST_RETRY_SECONDS) * random.uniform(
            0.5, 1.0
        )
        view = self._ticket.view
        avoid = view.node if judgement.avoid_node and view is not None else ""
        answer = shop._patience.call(
            "planning a retry",
            lambda: shop._ledger.retry(self._worker, self._run.epoch, self._ticket.uid, delay, avoid),
        )
        if answer.word == "cancelling":
            return self._cancel(answer.intent)
        if answer.word != "ok":
            return Ended(Next.DONE)
        due_ms = int((time.time() + delay) * 1000)
        self._run.note_waiting(self._task.index, self._task.attempt + 1, due_ms, avoid)
        shop._metrics.retries_total.inc(judgement.reason.value)
        self._log.warning(
            "worker_retries",
            f"tried again in {delay:.1f} s, as it was the infrastructure: {judgement.message}",
            attempt=self._task.attempt,
            reason=judgement.reason.value,
        )
        self._delete(self._ticket.uid, failed=True)
        return Ended(Next.RETRY, delay, avoid)

    def _record(self, outcome: Outcome, *, despite_intent: bool = False) -> Ended:
        shop = self._shop
        answer = shop._patience.call(
            "recording a result",
            lambda: shop._ledger.record(
                self._worker, self._run.epoch, self._ticket.uid, outcome, despite_intent=despite_intent
            ),
        )
        if answer.word == "cancelling":
            return self._cancel(answer.intent)
        if answer.word == "stale":
            return Ended(Next.DONE)
        if answer.word in ("ok", "ended"):
            self._tell(outcome, answer)
        self._run.note_done(self._task.index, self._task.attempt, outcome.status.value, self._ticket.uid)
        self._delete(self._ticket.uid, failed=outcome.status is Status.FAILED)
        return Ended(Next.DONE)

    def _tell(self, outcome: Outcome, answer: Answer) -> None:
        shop, event = self._shop, self._run.event
        shop._metrics.workers_total.inc(outcome.status.value, outcome.reason.value)
        if outcome.started_at and outcome.finished_at:
            ran = seconds_since(outcome.started_at) - seconds_since(outcome.finished_at)
            shop._metrics.pod_run.observe(max(0.0, ran))
        self._log.info(
            "worker_recorded",
            f"the worker {outcome.status.value}: {outcome.reason.value}",
            attempt=self._task.attempt,
            status=outcome.status.value,
            reason=outcome.reason.value,
            exit_code=outcome.exit_code,
        )
        if answer.word == "ended" and answer.duration_ms is not None:
            shop._metrics.events_total.inc(event.type, answer.detail)
            shop._metrics.event_duration.observe(answer.duration_ms / 1000)
            self._log.info(
                "event_ended",
                f"the event {answer.detail}",
                status=answer.detail,
                duration_ms=answer.duration_ms,
            )

    def _outcome(self, judgement: Judgement) -> Outcome:
        view = self._ticket.view if self._ticket.uid else None
        base = Outcome(judgement.status, judgement.reason, judgement.message, judgement.exit_code)
        if view is None:
            pod = self._ticket.name if self._ticket.uid else ""
            return replace(base, pod=pod, finished_at=timestamp())
        return replace(
            base,
            pod=view.name,
            node=view.node,
            created_at=_millis(view.created_at),
            started_at=_millis(view.started_at),
            finished_at=_millis(view.finished_at) or timestamp(),
        )

    def _delete(self, uid: str, *, failed: bool = False) -> None:
        """Ask for the Pod to go, unless it is going, has gone, or is kept for a look at it."""
        shop, ticket = self._shop, self._ticket
        if not uid or ticket.gone:
            return
        view = ticket.view if ticket.view is not None and ticket.view.uid == uid else None
        if view is not None and view.deleting:
            return
        if failed and shop._limits.failed_pod_ttl > 0 and view is not None and view.terminal:
            return
        if view is not None and view.terminal:
            shop._metrics.pod_reaction.observe(time.monotonic() - ticket.seen_at)
        try:
            shop._patience.call(
                "deleting a Pod", lambda: shop._pods.delete(ticket.name, uid), tries=DELETE_TRIES
            )
            self._log.debug("pod_deleted", "the Pod was deleted")
        except PodGone:
            ticket.gone = True
        except (KubernetesError, Stopping) as error:
            self._log.warning("delete_failed", f"the Pod is left to the reconciler: {error}")

    # --- an intent to cancel stands

    def _cancel_unborn(self, intent: Intent) -> Ended:
        """Cancelled before a Pod of ours was noted; a create may have got through all the same."""
        shop = self._shop
        try:
            view = shop._patience.call(
                "looking for a Pod", lambda: observe(shop._pods.get(self._ticket.name))
            )
        except PodGone:
            return self._record(_cancelled(intent), despite_intent=True)
        if not self._is_ours(view):
            return self._record(_cancelled(intent), despite_intent=True)
        shop._watcher.identify(self._ticket, view.uid, view)
        return self._cancel(intent)

    def _cancel(self, intent: Intent) -> Ended:
        """Delete with the Pod's own grace, wait until it is gone, then record it."""
        shop, ticket = self._shop, self._ticket
        view = ticket.view
        if view is not None and view.terminal and ended_before(view, intent):
            judgement = self.judgement()
            return self._record(self._outcome(judgement), despite_intent=True)
        asked = False
        while not ticket.gone:
            if shop._abandon.is_set():
                raise Stopping("the cancelled worker is left to the next replica")
            if not asked and not (ticket.view is not None and ticket.view.deleting):
                asked = True
                self._delete_patiently()
                continue
            if not ticket.wait(LONGEST_WAIT_SECONDS):
                self._log.warning("cancel_waits", "the cancelled Pod has not gone yet; its node may be lost")
        return self._record(
            replace(self._outcome(Judgement(Verdict.FINISHED)), **_as_cancelled(intent, ticket.view)),
            despite_intent=True,
        )

    def _delete_patiently(self) -> None:
        shop, ticket = self._shop, self._ticket
        try:
            shop._patience.call(
                "deleting a cancelled Pod", lambda: shop._pods.delete(ticket.name, ticket.uid)
            )
        except PodGone:
            ticket.gone = True


def ended_before(view: PodView, intent: Intent) -> bool:
    """Whether a terminal Pod had ended by itself before the intent. The kubelet tells whole seconds; in the
    intent's own second, a Pod that nobody had asked to go yet ended by itself."""
    try:
        finished = int(datetime.fromisoformat(view.finished_at).timestamp())
    except ValueError:
        return not view.deleting
    second = intent.at_ms // 1000
    return finished < second or (finished == second and not view.deleting)


def _as_cancelled(intent: Intent, view: PodView | None) -> JsonObject:
    return {
        "status": Status.CANCELLED,
        "reason": Reason.CANCELLED,
        "message": intent.why,
        "exit_code": view.exit_code if view is not None else None,
    }


def _cancelled(intent: Intent) -> Outcome:
    return Outcome(Status.CANCELLED, Reason.CANCELLED, intent.why, finished_at=timestamp())


def _is_limited(error: KubernetesError) -> bool:
    return isinstance(error, QuotaExceeded) or error.status in _LIMITED


def _refused(error: KubernetesError) -> Judgement:
    reason = Reason.QUOTA if isinstance(error, QuotaExceeded) else Reason.REJECTED
    return Judgement(Verdict.FINISHED, Status.FAILED, reason, str(error)[:4000])


def _millis(moment: str) -> str:
    """The API server's times have whole seconds; the results stream promises milliseconds."""
    if not moment:
        return ""
    try:
        return timestamp(datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return ""


__all__ = ["Ended", "Fenced", "Next", "WorkerLimits", "Workers", "ended_before", "seconds_since"]
