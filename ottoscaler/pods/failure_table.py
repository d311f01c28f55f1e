"""The failure table: what a Pod shows, and what that means. This module is data, which
:mod:`ottoscaler.pods.verdict` reads.

The first row that fits decides, so the order matters. What happened *to* a Pod (eviction, a lost node) comes
before how its container failed, since an evicted container also ends with an exit code. The words are those
of the kubelet, the scheduler and the controllers of Kubernetes 1.20 and later.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ottoscaler.model import Reason, Status, Verdict

# Registries, secrets and runtimes may fail for a moment, and kubelets try again.
GRACE_SECONDS = 30.0  # an image's pull has another one, the setting OTTO_IMAGE_PULL_GRACE_SECONDS


class Sign(Enum):
    """Where in a Pod a row looks. The value is how the docs say it."""

    PHASE = "phase"
    POD_REASON = "status.reason"
    DISRUPTION = "condition DisruptionTarget"
    CONTAINER_REASON = "the worker's terminated.reason"
    EXIT_CODE = "the worker's exit code"
    WAITING = "a container's waiting.reason"
    UNSCHEDULABLE = "condition PodScheduled is False, Unschedulable"


class Stage(Enum):
    """Which Pods a row is about. The value is how the docs say it."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ENDED = "Failed, or running on after its worker ended"
    DELETED_BY_OTHERS = "Failed, being deleted by somebody else"
    NEVER_STARTED = "Failed before its worker started"
    WAITING = "not terminal, a container waits"
    OVERDUE = "Pending for longer than the pending timeout"
    TOO_LONG = "running for longer than the run limit"


class MessageFrom(Enum):
    """Whose words the result's ``message`` has. If there are none, it has the others' words."""

    CONTAINER = "the container's"
    POD = "the Pod's"
    WAITING = "the kubelet's"
    SCHEDULER = "the scheduler's"


@dataclass(frozen=True)
class FailureRule:
    """One row of the table. A value may end in ``*``. A row without ``values`` fits always.

    With ``says``, the row fits only if the message holds one of these texts. The message is that of the Pod
    or of the container, whichever the sign is about. ``grace`` is in seconds.
    """

    stage: Stage
    sign: Sign
    values: tuple[str, ...]
    status: Status
    reason: Reason
    verdict: Verdict
    sentence: str
    words: MessageFrom = MessageFrom.CONTAINER
    avoid_node: bool = False
    grace: float = 0.0
    says: tuple[str, ...] = ()


def _retry(
    stage: Stage, sign: Sign, values: str, reason: Reason, sentence: str, *, avoid_node: bool = True,
    words: MessageFrom = MessageFrom.POD, says: tuple[str, ...] = (),
) -> FailureRule:  # fmt: skip
    """A row for an infrastructure failure. It says nothing about the worker, so there is another attempt."""
    found = tuple(values.split())
    return FailureRule(
        stage, sign, found, Status.FAILED, reason, Verdict.RETRY, sentence, words, avoid_node, says=says
    )


def _failed(
    stage: Stage, sign: Sign, values: str, reason: Reason, sentence: str,
    words: MessageFrom = MessageFrom.CONTAINER,
    *, grace: float = 0.0, says: tuple[str, ...] = (),
) -> FailureRule:  # fmt: skip
    """A row for a failure of the worker itself or of what was asked for. Another attempt would fail too."""
    found = tuple(values.split())
    return FailureRule(
        stage, sign, found, Status.FAILED, reason, Verdict.FINISHED, sentence, words, False, grace, says
    )


def _succeeded(stage: Stage, sign: Sign, value: str) -> FailureRule:
    return FailureRule(stage, sign, (value,), Status.SUCCEEDED, Reason.COMPLETED, Verdict.FINISHED, "")


# Reasons for which a kubelet refuses a Pod that the scheduler or the template assigned to its node.
_ADMISSION = """
    OutOf* NodeAffinity NodeName NodePorts HostPort* MatchNodeSelector TaintToleration
    UnexpectedAdmissionError UnexpectedPredicateFailureType InvalidNodeInfo PodOSNotSupported
    PodOSSelectorNodeLabelDoesNotMatch TopologyAffinityError SMTAlignmentError AppArmor *Sysctl*
    InitContainerRestartPolicyForbidden SupplementalGroupsPolicyNotSupported PodLevelResourcesNotAdmitted*
    PodFeatureUnsupported UnknownReason
"""
_PULL = """
    ImagePullBackOff ErrImagePull ErrImageNeverPull ImageInspectError RegistryUnavailable
    SignatureValidationFailed
"""
_START = """
    CreateContainerError RunContainerError StartError PreCreateHookError PreStartHookError PostStartHookError
"""
# Words of containerd, Docker and the kubelet for a container that could not be run. CRI-O says only
# CreateContainerError or RunContainerError, while the container waits.
_NOT_RUN = "StartError ContainerCannotRun RunContainerError"
# What a runtime says when the node is at fault, and not the command or the image.
_RUNTIME = (
    "context deadline exceeded", "deadlineexceeded", "no space left on device", "cannot allocate memory",
    "resource temporarily unavailable", "too many open files", "transport is closing", "ttrpc: closed",
    "connection refused", "shim disconnected", "disk quota exceeded", "read-only file system",
    "device or resource busy", "timed out",
)  # fmt: skip
_STORAGE = ("exceeds the limit", "exceeds the total limit of containers", "exceeded its local ephemeral")

# Errors of a registry, or of the network to it, that may pass, unlike "not found" or "unauthorized".
_REGISTRY = (
    "status code 5", "status: 5", "500 internal server error", "502 bad gateway", "503 service unavailable",
    "504 gateway time", "429 too many requests", "status: 429", "status code 429", "toomanyrequests",
    "too many requests", "registry is unavailable", "i/o timeout", "timed out", "handshake timeout",
    "timeout exceeded", "context deadline exceeded", "connection refused", "connection reset", "broken pipe",
    "no route to host", "network is unreachable", "no such host", "name resolution", "server misbehaving",
    "unexpected eof", ": eof", "transport is closing", "no space left on device",
)  # fmt: skip
# The kubelet's reasons why a container does not start. They fail it only after a while, as the kubelet tries
# again.
_KEPT_WAITING = (
    ("CreateContainerConfigError", Reason.CONFIG_ERROR, "its container cannot be made as it is configured"),
    (_START, Reason.START_ERROR, "its container could not be started"),
)


def _kept_waiting(stage: Stage, grace: float = 0.0) -> tuple[FailureRule, ...]:
    heals = FailureRule(
        stage, Sign.WAITING, tuple(_PULL.split()), Status.FAILED, Reason.IMAGE_PULL, Verdict.RETRY,
        "its image's registry could not be reached, or was not able to serve it", MessageFrom.WAITING,
        grace=grace, says=_REGISTRY,
    )  # fmt: skip
    pulls = _failed(
        stage, Sign.WAITING, _PULL, Reason.IMAGE_PULL, "its image could not be pulled", MessageFrom.WAITING,
        grace=grace,
    )  # fmt: skip
    others = (
        _failed(stage, Sign.WAITING, words, reason, sentence, MessageFrom.WAITING, grace=grace)
        for words, reason, sentence in _KEPT_WAITING
    )
    return heals, pulls, *others


# fmt: off
# What others do to a Pod. These conditions also tell why a Pod vanished.
DISRUPTIONS = (
    _retry(Stage.FAILED, Sign.DISRUPTION, "PreemptionByScheduler PreemptionByKubeScheduler", Reason.PREEMPTED,
           "a Pod of higher priority took its place", avoid_node=False),
    _retry(Stage.FAILED, Sign.DISRUPTION, "DeletionByTaintManager DeletionByPodGC", Reason.NODE_LOST,
           "its node was tainted, lost or removed"),
    _retry(Stage.FAILED, Sign.DISRUPTION, "", Reason.EVICTED, "it was evicted from its node"),
)

TABLE: tuple[FailureRule, ...] = (
    _succeeded(Stage.SUCCEEDED, Sign.PHASE, "Succeeded"),
    # A worker that ended with 0 has succeeded, whatever happened to its Pod: kubelets differ in whether they
    # call such a Pod Succeeded or Evicted.
    _succeeded(Stage.ENDED, Sign.EXIT_CODE, "0"),
    _failed(Stage.FAILED, Sign.POD_REASON, "Evicted", Reason.EVICTED,
            "it used more local storage than it may", MessageFrom.POD, says=_STORAGE),
    _retry(Stage.FAILED, Sign.POD_REASON, "Evicted", Reason.EVICTED, "its node ran out of a resource"),
    _retry(Stage.FAILED, Sign.POD_REASON, "Preempting Preempted", Reason.PREEMPTED,
           "a Pod of higher priority took its place", avoid_node=False),
    _retry(Stage.FAILED, Sign.POD_REASON, "Shutdown NodeShutdown Terminated", Reason.NODE_SHUTDOWN,
           "its node was shut down"),
    _retry(Stage.FAILED, Sign.POD_REASON, "NodeLost", Reason.NODE_LOST, "its node was lost"),
    _failed(Stage.NEVER_STARTED, Sign.POD_REASON, "DeadlineExceeded", Reason.PENDING_TIMEOUT,
            "its time was over before it started", MessageFrom.POD),
    _failed(Stage.FAILED, Sign.POD_REASON, "DeadlineExceeded", Reason.DEADLINE_EXCEEDED,
            "it ran for longer than its time limit"),
    _retry(Stage.FAILED, Sign.POD_REASON, _ADMISSION, Reason.ADMISSION, "the kubelet of its node refused it"),
    *DISRUPTIONS,
    _failed(Stage.ENDED, Sign.CONTAINER_REASON, "OOMKilled", Reason.OOM_KILLED,
            "it used more memory than its limit"),
    # A kubelet gives 137 as well to a container that it no longer finds after a deletion.
    _retry(Stage.DELETED_BY_OTHERS, Sign.EXIT_CODE, "137 143", Reason.DELETED,
           "somebody else deleted its Pod", avoid_node=False),
    # Unknown, with exit code 255, is containerd's word for a container whose end it did not see: the node
    # crashed.
    _retry(Stage.FAILED, Sign.CONTAINER_REASON, "ContainerStatusUnknown Unknown", Reason.NODE_LOST,
           "its node lost sight of the container"),
    _retry(Stage.FAILED, Sign.CONTAINER_REASON, _NOT_RUN, Reason.START_ERROR,
           "its node was not able to start its container", words=MessageFrom.CONTAINER, says=_RUNTIME),
    _failed(Stage.ENDED, Sign.CONTAINER_REASON, _NOT_RUN,
            Reason.START_ERROR, "its container could not be started"),
    _failed(Stage.ENDED, Sign.EXIT_CODE, "*", Reason.ERROR, "it ended with exit code {exit_code}"),
    _retry(Stage.DELETED_BY_OTHERS, Sign.PHASE, "Failed", Reason.DELETED,
           "somebody else deleted its Pod before its worker ran", avoid_node=False),
    _failed(Stage.FAILED, Sign.CONTAINER_REASON, "*", Reason.ERROR, "another container of its Pod failed"),
    _retry(Stage.FAILED, Sign.PHASE, "Failed", Reason.UNKNOWN, "its Pod failed and does not say why"),
    _failed(Stage.WAITING, Sign.WAITING, "InvalidImageName", Reason.IMAGE_PULL,
            "its image has no valid name", MessageFrom.WAITING),
    *_kept_waiting(Stage.WAITING, GRACE_SECONDS),
    # If the pending timeout is shorter than that grace, the known reason must still be told.
    *_kept_waiting(Stage.OVERDUE),
    _failed(Stage.OVERDUE, Sign.UNSCHEDULABLE, "", Reason.UNSCHEDULABLE,
            "no node had room for it within the pending timeout", MessageFrom.SCHEDULER),
    _failed(Stage.OVERDUE, Sign.PHASE, "Pending", Reason.PENDING_TIMEOUT,
            "it did not start within the pending timeout", MessageFrom.WAITING),
    _failed(Stage.TOO_LONG, Sign.PHASE, "", Reason.DEADLINE_EXCEEDED,
            "it ran for longer than its time limit"),
)
# fmt: on

# Reasons that no Pod can show, so no row gives them: the code decides. They are listed for the docs.
WITHOUT_A_POD = (
    (Reason.DELETED, "failed", "retry", "its Pod vanished without a record: somebody else deleted it"),
    (Reason.QUOTA, "failed", "finished", "the namespace's quota left no room within the pending timeout"),
    (
        Reason.REJECTED,
        "failed",
        "finished",
        "the API server refuses to create its Pod; a webhook changed the name "
        "or restartPolicy of its Pod; another Pod has its name",
    ),
    (
        Reason.PENDING_TIMEOUT,
        "failed",
        "finished",
        "the API server answered no create of its Pod within the pending timeout",
    ),
    (Reason.CANCELLED, "cancelled", "finished", "a scale_down took it away"),
)
