"""The data that the stages hand to each other. All of it is frozen, and nothing here does input or output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

# --- what producers ask for (docs/events.md)


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """Run ``pod_count`` workers. A field that is ``None`` is not in the event, so the default holds."""

    event_id: str
    task_id: str
    pod_count: int
    image: str | None = None
    # These three may hold secrets, so they are kept out of tracebacks.
    command: tuple[str, ...] | None = field(default=None, repr=False)
    args: tuple[str, ...] | None = field(default=None, repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cpu: str | None = None
    memory: str | None = None
    profile: str = "default"
    timeout_seconds: int | None = None
    max_retries: int | None = None
    priority: int = 0
    expires_at: float | None = None
    dedup_key: str | None = None
    logs: KeepLogs | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> Literal["scale_up"]:
        return "scale_up"


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """Cancel workers: all of ``task_id``, or ``pod_count`` of any task, or ``pod_count`` of ``task_id``."""

    event_id: str
    task_id: str | None = None
    pod_count: int | None = None
    keep_running: bool = False
    expires_at: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> Literal["scale_down"]:
        return "scale_down"


Event = ScaleUp | ScaleDown

MOST_WORKERS = 100_000  # of one event: the highest that OTTO_MAX_PODS_PER_EVENT can be
MOST_TAKEN_AWAY = 1_000_000  # workers, by one scale_down: more than any installation runs

_ENTRY_ID = re.compile(r"(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})")
_MOST = 2**64 - 1


def is_entry_id(text: str) -> bool:
    """Whether ``text`` is the id of a stream's entry in the form that Redis writes: two numbers of 64 bits.

    Redis takes 007-0 for 7-0, but no result bears the first form, so who waits for it would wait for ever."""
    found = _ENTRY_ID.fullmatch(text)
    return found is not None and all(int(number) <= _MOST for number in found.groups())


@dataclass(frozen=True, slots=True)
class WorkerId:
    """One attempt of one worker of one event. Indexes and attempts count from 0."""

    event_id: str
    index: int
    attempt: int


# --- what the API server shows


class Phase(StrEnum):
    """A Pod's phase, as Kubernetes names it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class PodView(NamedTuple):
    """What Ottoscaler keeps of a Pod: a few fields, instead of the 5 kB that the API server sends.

    Each worker's Pod is read some seven times, and a frozen dataclass takes three times as long to make.

    Times are the strings that the API server sends, empty if there is none. ``worker`` is ``None`` for a Pod
    of which neither name nor labels tell an event, an index and an attempt.
    """

    name: str
    uid: str
    resource_version: str
    created_at: str  # by the API server's clock
    deleting: bool  # it has a deletionTimestamp
    grace_seconds: int  # of its delete: 0 if it had ended by then, or is not being deleted
    node: str
    worker: WorkerId | None
    gated: bool  # it was created with our scheduling gate, and still has one
    instance: str
    installation: str
    owner: str  # the incarnation that created it, by its label
    managed: bool  # its labels say that it is ours, so our watch shows it
    task_id: str
    metadata: str  # the annotation: a JSON object; only its length if it is long
    annotated: str  # its installation again, in an annotation: labels may be rewritten
    phase: Phase
    accepted_at: str  # by its kubelet; this time and the next two are by the node's clock
    started_at: str  # the worker container's start, or empty
    finished_at: str
    exit_code: int | None
    pod_reason: str  # status.reason, such as Evicted, DeadlineExceeded, NodeLost
    pod_message: str
    container_reason: str  # the terminated state's, such as OOMKilled, Error, Completed
    container_message: str  # the termination message
    waiting_reason: str  # such as ImagePullBackOff, from the worker or any other container that waits
    waiting_message: str
    bound_at: str  # to its node, by the API server's clock
    unschedulable: str  # the scheduler's message, or empty
    disruption: str  # the DisruptionTarget condition's reason, or empty
    disruption_message: str

    @property
    def terminal(self) -> bool:
        """Whether none of its containers will ever run again."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)

    @property
    def given_grace(self) -> bool:
        """Whether it had not ended when its delete was asked for."""
        return self.grace_seconds > 0

    @property
    def ended(self) -> bool:
        """Whether the worker's container will never run again, even if other containers of the Pod do."""
        return self.terminal or self.exit_code is not None

    @property
    def ended_by_itself(self) -> bool:
        """Whether it has ended, and neither a delete nor a disruption of the running Pod can be the cause."""
        return not self.deleting and (self.terminal or (self.exit_code is not None and not self.disruption))

    @property
    def started(self) -> bool:
        return bool(self.started_at)

    @property
    def running(self) -> bool:
        """Whether its worker runs. The phase is not enough: it stays Pending while a sidecar cannot start."""
        return not self.ended and (self.started or self.phase is Phase.RUNNING)

    @property
    def about(self) -> JsonObject:
        """The fields by which log lines name it."""
        known = self.worker
        return {
            "event_id": known.event_id if known else None,
            "task_id": self.task_id or None,
            "index": known.index if known else None,
            "pod": self.name,
        }


# --- what came of it (docs/results.md)


class KeepLogs(StrEnum):
    """Which workers' logs are kept after their Pods. Each value keeps what the values before it keep."""

    OFF = "off"
    FAILED = "failed"  # of failed attempts, including those that are tried again
    ALL = "all"

    @property
    def rank(self) -> int:
        return list(KeepLogs).index(self)


class Status(StrEnum):
    """How a worker or an event ended. ``partial`` and ``duplicate`` are for events only."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARTIAL = "partial"
    DUPLICATE = "duplicate"  # an event taken before it had its dedup_key, so it ran nothing

    @property
    def words(self) -> str:
        """What a sentence about a worker or an event says: "the worker was cancelled"."""
        return {
            "cancelled": "was cancelled",
            "partial": "succeeded in part",
            "duplicate": "is a duplicate",
        }.get(self.value, self.value)


class Reason(StrEnum):
    """Why a worker ended with its status. The results stream promises that this list is complete."""

    COMPLETED = "Completed"
    ERROR = "Error"
    OOM_KILLED = "OOMKilled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    IMAGE_PULL = "ImagePull"
    CONFIG_ERROR = "ConfigError"
    START_ERROR = "StartError"
    UNSCHEDULABLE = "Unschedulable"
    PENDING_TIMEOUT = "PendingTimeout"
    QUOTA = "Quota"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    NODE_SHUTDOWN = "NodeShutdown"
    ADMISSION = "Admission"  # the kubelet refused it: OutOfcpu, NodeAffinity, UnexpectedAdmissionError...
    DELETED = "Deleted"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"
    UNKNOWN = "Unknown"


class Verdict(StrEnum):
    """What is to be done about what a Pod shows."""

    WAIT = "wait"  # nothing yet
    FINISHED = "finished"  # record it, whatever its status
    RETRY = "retry"  # an infrastructure failure: a new attempt, if one is left


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reason. With RETRY, ``status`` and ``reason`` are recorded if no attempt is left."""

    verdict: Verdict
    status: Status = Status.SUCCEEDED
    reason: Reason = Reason.COMPLETED
    message: str = ""
    exit_code: int | None = None
    avoid_node: bool = False  # the node is at fault: the next attempt prefers another


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a worker ended, as the results stream tells it."""

    status: Status
    reason: Reason
    message: str = ""
    exit_code: int | None = None
    pod: str = ""
    node: str = ""
    created_at: str = ""
    started_at: str = ""
    finished_at: str = ""


JsonObject = dict[str, Any]
