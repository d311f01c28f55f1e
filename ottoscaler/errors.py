"""Every error that crosses a border inside Ottoscaler.

The type says what the caller may do: :class:`Unavailable` and its kin may be tried again,
everything else may not. Third-party exceptions end in the two adapters, :mod:`ottoscaler.ledger.redis_client`
and :mod:`ottoscaler.kube.client`, which raise these instead.
"""

from __future__ import annotations


class OttoscalerError(Exception):
    """The root: catching it catches all that Ottoscaler raises on purpose."""


class BadSettings(OttoscalerError):
    """The environment holds wrong values; ``problems`` has one sentence for each of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class BadEvent(OttoscalerError):
    """An event cannot be carried out as it stands; the text tells its producer what to change."""


class BadTemplate(OttoscalerError):
    """Their directory or the default Pod template cannot be used; ``problems`` has one sentence each, with
    file and field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Stopping(OttoscalerError):
    """The process is stopping, so a wait or a retry loop was given up. Not a failure."""


class Paused(OttoscalerError):
    """The group is paused, so nothing is begun. Not a failure."""


class NotYet(OttoscalerError):
    """A Pod has still to go, and the thread that looked at it does not wait. Look again later."""


class LiveTwin(OttoscalerError):
    """Another live process serves under the same consumer name (exit code 2)."""


# --- Redis


class RedisError(OttoscalerError):
    """Redis answered with an error that trying again will not mend."""


class RedisCluster(OttoscalerError):
    """This Redis Cluster cannot be used with the names of our streams (exit code 2)."""


class RedisUnavailable(RedisError):
    """Redis was not reached, or refuses for now (loading, read-only, out of memory): try again."""


class NotPermitted(RedisUnavailable):
    """Redis answers, and its ACL does not let this user do this. The rights may be changed meanwhile."""


class GroupMissing(RedisError):
    """The stream or its consumer group does not exist (any more): create it, then read again."""


class Fenced(RedisError):
    """The ledger says that this replica does not own the event (any more): drop it, touch nothing."""


class Unregistered(RedisError):
    """Redis has no entry for this replica: others took it for dead, or Redis was emptied. Enter again."""


class Wiped(RedisError):
    """Redis no longer knows this installation: it was emptied, or failed over to an empty replica."""


# --- Kubernetes


class KubernetesError(OttoscalerError):
    """The API server answered with an error. ``status`` is the HTTP status, ``reason`` its reason word."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class KubernetesUnavailable(KubernetesError):
    """No answer, 429, 5xx or 401: try again, not before ``retry_after`` seconds. ``unsent``: the request
    never reached the server, or was turned away before it could take effect."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after: float = 0.0,
        unsent: bool = False,
    ) -> None:
        super().__init__(message, status=status, reason=reason)
        self.retry_after = retry_after
        self.unsent = unsent


class UnusableAnswer(KubernetesUnavailable):
    """What came is not Kubernetes' (a proxy's page, an empty or garbled body), so it is no verdict on
    anything: try again. The request may have taken effect all the same."""


class NoRight(KubernetesError):
    """403 in another namespace than NAMESPACE, for longer than a Pod there can have lived."""


class PodExists(KubernetesError):
    """409 AlreadyExists: a Pod of this name is there; look whose it is."""


class PodGone(KubernetesError):
    """404, or a UID precondition that no longer holds: that very Pod is not there any more."""


class RefusedForNow(KubernetesUnavailable):
    """The API server refuses what may pass in seconds: wait and try again, up to the pending timeout."""


class QuotaExceeded(RefusedForNow):
    """403 "exceeded quota"."""


class Refused(KubernetesError):
    """The API server will never take this Pod, by the table of refusals; trying again will not help."""


class VersionExpired(KubernetesError):
    """410: the resource version is too old to watch from; list again."""
