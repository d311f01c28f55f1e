"""One attempt, on which one thread works: what the thread works with, and what is known so far.

The modules create, monitor and settle act on it, in that order. ``worker`` calls them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from ottoscaler.errors import Fenced
from ottoscaler.kube.pod_api import PodApi
from ottoscaler.kube.subscription import Subscription
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.records import Intent
from ottoscaler.model import KeepLogs, PodView
from ottoscaler.pods.labels import pod_name
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.workers.run import EventRun, Task

log = get_logger(__name__)


class Next(Enum):
    """What happens to a task when its function has returned."""

    DONE = "done"
    RETRY = "retry"
    DROPPED = "dropped"
    NOT_BEGUN = "not begun"  # the group is paused: the task waits again where it waited before


@dataclass(frozen=True, slots=True)
class Ended:
    """What a worker's function returns. With RETRY, the next attempt follows in ``delay`` seconds."""

    next: Next
    delay: float = 0.0
    avoid_node: str = ""

    def following(self, task: Task) -> Task | None:
        """The attempt that follows the task, if one does."""
        if self.next is not Next.RETRY:
            return None
        return Task(task.run, task.index, task.attempt + 1, avoid_node=self.avoid_node, former=task.namespace)


@dataclass(frozen=True, slots=True)
class LogRules:
    """The operator's settings for logs that are kept after their Pods."""

    keep: KeepLogs
    most_bytes: int  # of one worker, before compression
    total_bytes: int  # of all logs, after compression
    retention: float  # seconds


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """The operator's settings for every worker. Times are in seconds."""

    instance: str
    namespace: str
    pending_timeout: float
    default_timeout: float
    default_retries: int
    failed_pod_ttl: float
    succeeded_pod_ttl: float
    pull_grace: float
    logs: LogRules


@dataclass(frozen=True, slots=True)
class WorkerDeps:
    """What every worker of this process shares. All of it is thread-safe."""

    ledger: Ledger
    pods: PodApi
    watcher: PodWatcher
    lease: Lease
    pause: Pause  # while it is on, nothing more is created
    metrics: Metrics
    limits: WorkerLimits
    retrier: Retrier  # until ``abandon``
    start_retrier: Retrier  # of what leads to a create: until ``stopping``

    @property
    def stopping(self) -> threading.Event:
        """Once it is set, nothing more is created."""
        return self.start_retrier.stop

    @property
    def abandon(self) -> threading.Event:
        """Once it is set, nothing is waited for any more."""
        return self.retrier.stop

    @property
    def elsewhere(self) -> bool:
        """Whether the Pods are in another namespace than the watch's. Then only GETs show them."""
        return self.pods.namespace != self.limits.namespace

    def where(self, task: Task) -> WorkerDeps:
        """The same, for the namespace in which the task's Pod is.

        If NAMESPACE has changed since the Pod was created, the watch does not show the Pod. Then its worker
        looks at it, again and again, until it ends.
        """
        if task.namespace in ("", self.pods.namespace):
            return self
        flood.warning(
            "namespace_differs",
            f"workers of events taken over run in namespace {task.namespace}, not in {self.pods.namespace} "
            "(NAMESPACE): they are monitored there until they end, which needs the Role there",
            key=task.namespace,
        )
        return replace(self, pods=self.pods_in(task.namespace, task))

    def pods_in(self, namespace: str, task: Task) -> PodApi:
        """Access to Pods in the namespace of one of the task's attempts.

        If the Role is missing there, calls wait for it until the Pod must have ended by its own deadline
        (``activeDeadlineSeconds``).
        """
        if namespace in ("", self.pods.namespace):
            return self.pods
        limits, event = self.limits, task.run.event
        deadline = limits.pending_timeout + float(event.timeout_seconds or limits.default_timeout)
        return self.pods.in_namespace(namespace, deadline)

    def name(self, task: Task) -> str:
        """The name of the Pod that a task is about."""
        return pod_name(self.limits.instance, task.run.event.event_id, task.index, task.attempt)


class Once:
    """Calls ``act`` the first time it is called, and never again. For one thread."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def __call__(self) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()


class Attempt:
    """The state of one attempt. One thread at a time works on it."""

    def __init__(
        self,
        deps: WorkerDeps,
        task: Task,
        subscription: Subscription,
        *,
        waits: bool = True,
        under_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.under_way = under_way  # called when it has its Pod, or no longer waits for its turn
        self.waits = waits  # whether its thread may sleep until the Pod goes
        self.deps = deps
        self.task = task
        self.run: EventRun = task.run
        self.worker = task.worker
        self.subscription = subscription
        self.created_at = 0.0  # monotonic, of our own create; 0 for an adopted Pod
        self.head_start = task.head_start  # the ledger has begun it already
        self.begun = task.head_start is not None  # by us, in the ledger
        self.maybe_sent = False  # whether a create of it may have reached the server, though no answer came
        self.turn_at = 0.0  # monotonic, when the last create had its turn; 0 for none since the last failure
        self.refused_seconds = 0.0  # for how long its creates have failed while the API server was well
        self.log_of_going = False  # its log was read after its Pod was asked to go
        self.looked_for_intent = False  # since its Pod was asked to go
        self.intent: Intent | None = None  # to cancel it, as the ledger said at a look
        self.log_saved = False  # some of its log is kept
        self.log_done = False  # nothing more of it is to be kept
        self.looked = False  # past the pending timeout, the API server said that it has no Pod
        self.born_at = -math.inf  # monotonic, of an adopted Pod's creation, by the API server's clock
        self.running_at = 0.0  # monotonic, when first seen running
        self.noted_unseen = False  # in the ledger, as a Pod that the watch may not show to the sweep
        self.about = task.about | {"pod": subscription.name, "attempt": task.attempt}
        self.log = log.bind(**self.about)

    def check_ownership(self) -> None:
        """Raises Fenced if another replica owns the event now: that replica ends its Pod."""
        if self.run.dropped:
            raise Fenced(f"event {self.worker.event_id} is no longer owned by this replica")

    def is_ours(self, view: PodView) -> bool:
        """Whether a Pod of our name is this very attempt's: it has the random id of an installation we held.

        The name tells the event, index and attempt, since labels may have been rewritten at the create.
        """
        return view.worker == self.worker and self.is_of_ours(view)

    def is_of_ours(self, view: PodView) -> bool:
        """Whether a Pod of one of our names was created under an installation that we held."""
        held = self.deps.lease.held_installations
        return view.installation in held or view.annotated in held

    @property
    def may_be_lost(self) -> bool:
        """Whether the sweep would never see the Pod in the watch if this process ended now."""
        view = self.subscription.view
        foreign = view is not None and view.installation not in self.deps.lease.held_installations
        return bool(self.subscription.looked_at) or foreign


def seconds_between(first: str, then: str) -> float:
    """Seconds from one time to another of the same machine's clock. 0 if one is missing."""
    try:
        return (datetime.fromisoformat(then) - datetime.fromisoformat(first)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def seconds_since(moment: str, now: float) -> float:
    """Seconds since a time that the API server gave, by its clock (``PodApi.now``).

    0 if there is no time. Never negative.
    """
    try:
        return max(0.0, now - datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0.0
