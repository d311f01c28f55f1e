"""Every error that one module of Ottoscaler raises for another to catch.

The type says what the caller may do. :class:`ottoscaler.retry.Retrier` tries again after
KubernetesUnavailable and after any RedisError but Fenced, and after no other error. The two adapters,
:mod:`ottoscaler.ledger.redis_client` and :mod:`ottoscaler.kube.client`, turn third-party exceptions into
these errors.
"""

from __future__ import annotations


class OttoscalerError(Exception):
    """The base class of every error that Ottoscaler raises on purpose."""


class BadSettings(OttoscalerError):
    """The environment has invalid values. ``problems`` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class BadEvent(OttoscalerError):
    """An event cannot be carried out as it is. The text tells its producer what to change."""


class BadTemplate(OttoscalerError):
    """The template directory or the default Pod template cannot be used.

    ``problems`` has one sentence for each problem, with file and field.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Stopping(OttoscalerError):
    """The process is stopping, so a wait or a retry loop was given up. This is not a failure."""


class Paused(OttoscalerError):
    """The group is paused, so nothing begins. This is not a failure."""


class NotYet(OttoscalerError):
    """A Pod is not gone yet, and this thread must not wait for it. Look again later."""


class LiveTwin(OttoscalerError):
    """Another live process uses the same consumer name (exit code 2)."""


class InstanceChanged(OttoscalerError):
    """This replica's OTTO_INSTANCE is not the one by which the Pods of events in flight are found (exit code
    2)."""


# --- Redis


class RedisError(OttoscalerError):
    """Redis answered with an error that trying again will not mend."""


class UnusableCluster(OttoscalerError):
    """This Redis Cluster cannot be used with the names of our streams (exit code 2)."""


class RedisUnavailable(RedisError):
    """Redis was not reached, or refuses commands for now (loading, read-only, out of memory): try again."""


class NoAnswer(RedisUnavailable):
    """Redis was not reached, or the connection broke: what was sent may have been carried out."""


class NotPermitted(RedisUnavailable):
    """Redis answers, but its ACL forbids this user the command. The ACL may be changed: try again."""


class BrokenKey(RedisError):
    """A key of ours holds what another program wrote, as a rule of another type: an operator must mend it."""


class GroupMissing(RedisError):
    """The stream or its consumer group does not exist (any more): create it, then read again."""


class Fenced(RedisError):
    """The ledger says that this replica does not own the event (any more): drop it, touch nothing."""


class Unregistered(RedisError):
    """Redis has no entry for this replica: others took it for dead, or Redis was emptied. Register again."""


class Wiped(RedisError):
    """Redis no longer knows this installation: it was emptied, or failed over to an empty replica."""


OF_REDIS_ITSELF = (RedisUnavailable, GroupMissing, Wiped)  # any other RedisError is of one key or one event


# --- Kubernetes


class KubernetesError(OttoscalerError):
    """The API server answered with an error. ``status`` is the HTTP status; 0 if there was no answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class KubernetesUnavailable(KubernetesError):
    """No answer, 429, 5xx or 401: try again, not before ``retry_after`` seconds.

    ``unsent``: the request never reached the server, or was refused before it could take effect.
    """

    def __init__(
        self, message: str, *, status: int = 0, retry_after: float = 0.0, unsent: bool = False
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after
        self.unsent = unsent


class UnusableAnswer(KubernetesUnavailable):
    """The answer is not from Kubernetes (a proxy's page, an empty or garbled body), so it proves nothing.

    Try again. The request may have taken effect all the same.
    """


class NoRight(KubernetesError):
    """403 in another namespace than NAMESPACE, for longer than a Pod there can have lived."""


class PodExists(KubernetesError):
    """409 AlreadyExists: a Pod of this name is there; look whose it is."""


class PodGone(KubernetesError):
    """404, or a UID precondition that no longer holds: this very Pod does not exist any more."""


class RefusedForNow(KubernetesUnavailable):
    """The API server refuses a create for a cause that may pass: try again, up to the pending timeout."""


class QuotaExceeded(RefusedForNow):
    """403 "exceeded quota"."""


class Refused(KubernetesError):
    """The API server will never take this Pod, by the table of refusals; trying again will not help."""


class VersionExpired(KubernetesError):
    """410: the resource version is too old to watch from; list again."""
