"""The data that the stages hand to each other. All of it is frozen; nothing here does input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

# --- what producers ask for (DESIGN.md 3.2)


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """Run ``pod_count`` workers. ``None`` means that the event does not say, so the default holds."""

    event_id: str
    task_id: str
    pod_count: int
    image: str | None = None
    # These three may hold what their producer would not want in a traceback.
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
    """Take workers away: of ``task_id``, or ``pod_count`` of any, or ``pod_count`` of ``task_id``."""

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


@dataclass(frozen=True, slots=True)
class PodView:
    """What Ottoscaler keeps of a Pod: a few words, instead of the 5 kB that the API server sends.

    Times are the API server's own strings, empty where there is none. ``worker`` is ``None`` for a
    Pod whose labels do not name an event, an index and an attempt.
    """

    name: str
    uid: str
    resource_version: str
    worker: WorkerId | None
    instance: str
    installation: str
    task_id: str
    metadata: str  # the annotation: a JSON object; of a long one only its length
    phase: Phase
    deleting: bool  # it has a deletionTimestamp
    grace_seconds: int  # given to it as it was asked to go: 0 where it had ended by then, or was not asked
    node: str
    created_at: str  # by the API server's clock
    bound_at: str  # to its node, by the API server's clock
    accepted_at: str  # by its kubelet, by the node's clock, as the next two
    started_at: str  # the worker container's start, else empty
    finished_at: str
    exit_code: int | None
    pod_reason: str  # status.reason, such as Evicted, DeadlineExceeded, NodeLost
    pod_message: str
    container_reason: str  # the terminated state's, such as OOMKilled, Error, Completed
    container_message: str  # the termination message
    waiting_reason: str  # such as ImagePullBackOff, from the worker or any other container that waits
    waiting_message: str
    unschedulable: str  # the scheduler's sentence, else empty
    disruption: str  # the DisruptionTarget condition's reason, else empty
    disruption_message: str
    managed: bool = True  # by its labels, so that a watch on ours shows it
    owner: str = ""  # the incarnation that created it, by its label
    gated: bool = False  # it was created with our scheduling gate, and shows one
    annotated: str = ""  # its installation once more, where no rewriting of labels reaches it

    @property
    def terminal(self) -> bool:
        """Whether no container of it will ever run again."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)

    @property
    def given_grace(self) -> bool:
        """Whether it had not ended when it was asked to go."""
        return self.grace_seconds > 0

    @property
    def ended(self) -> bool:
        """Whether the worker's container will never run again, whatever else of the Pod does."""
        return self.terminal or self.exit_code is not None

    @property
    def ended_by_itself(self) -> bool:
        """Whether it shows an end that nobody's delete and no disruption of a running Pod can explain."""
        return not self.deleting and (self.terminal or (self.exit_code is not None and not self.disruption))

    @property
    def started(self) -> bool:
        return bool(self.started_at)

    @property
    def running(self) -> bool:
        """Whether its worker runs: the phase alone is Pending too while a sidecar beside it cannot start."""
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


# --- what came of it (DESIGN.md 3.3)


class KeepLogs(StrEnum):
    """Whose logs are kept after their Pods; each keeps what the ones before it do."""

    OFF = "off"
    FAILED = "failed"  # of failed attempts, also those that are tried again
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
    DUPLICATE = "duplicate"  # an earlier event bore its dedup_key, so it ran nothing

    @property
    def words(self) -> str:
        """What a sentence about a worker or an event says: "the worker was cancelled"."""
        return {
            "cancelled": "was cancelled",
            "partial": "succeeded in part",
            "duplicate": "is a duplicate",
        }.get(self.value, self.value)


class Reason(StrEnum):
    """Why a worker ended so: the closed list that the results stream promises."""

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
    RETRY = "retry"  # an infrastructure failure: a new attempt, where one is left


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its grounds. ``status`` and ``reason`` hold also for a retry that is not left."""

    verdict: Verdict
    status: Status = Status.SUCCEEDED
    reason: Reason = Reason.COMPLETED
    message: str = ""
    exit_code: int | None = None
    avoid_node: bool = False  # the node is at fault: the next attempt prefers another


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished worker, as the results stream will tell it."""

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
