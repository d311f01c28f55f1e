"""The interface through which everything else uses Kubernetes: the Pods of one namespace.

:class:`ottoscaler.kube.client.PodClient` implements it with an API server. Tests have a fake, and
tests/conformance/test_pod_client.py checks both against the same promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from ottoscaler.kube.server_health import ServerHealth
from ottoscaler.model import JsonObject, PodView


class WatchEvent(NamedTuple):
    """What a watch shows: a change of a Pod, or a bookmark, which has no view."""

    kind: str  # ADDED, MODIFIED, DELETED or BOOKMARK
    version: str  # to watch from after it; empty if it tells none
    view: PodView | None


class CreateTurn(Protocol):
    """One create: it waits for its turn among all creates, then sends the request.

    One thread at a time uses it, as a context manager."""

    def __enter__(self) -> CreateTurn: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def ready(self, seconds: float) -> bool:
        """Wait about ``seconds`` at most for the turn. Returns whether it has come; call it again if not."""

    def send(self) -> JsonObject:
        """Create the Pod. Call this only after :meth:`ready` or :meth:`complete` returned True.

        Raises PodExists, Refused or KubernetesUnavailable. RefusedForNow, a subclass of the last, means that
        the trouble is with this Pod and not with the API server."""

    def complete(self) -> bool:
        """Enter the turn and send the rest of an open request, if the turn comes at once. It does not wait.

        True if it was sent. Then :meth:`send` reads the answer. Else only :meth:`leave` may follow."""

    def leave(self) -> None:
        """Give the turn back, as at the end of a ``with``, and an open request up. Once more does nothing.

        The answer to a request that was completed is lost then."""


class PodApi(Protocol):
    """Thread-safe. A call is sent once; the type of its error says whether trying again may help."""

    namespace: str
    health: ServerHealth

    def in_namespace(self, namespace: str, no_right_seconds: float = ...) -> PodApi:
        """A client that looks at and deletes Pods of another namespace, over the same connections and bounds.

        A missing right there says nothing about a Pod, so it raises KubernetesUnavailable, which callers try
        again. Once it has been missing for ``no_right_seconds`` without a break, it raises NoRight."""

    def create_turn(self, body: bytes, event: str, profile: str) -> CreateTurn:
        """A turn to create the Pod that ``body`` (JSON) describes. Nothing is sent before
        ``CreateTurn.send``."""

    def open_turn(self, body: bytes, event: str, profile: str) -> CreateTurn | None:
        """The same, with the request sent but for its last byte.

        So the API server has read it and checked who asks when ``CreateTurn.complete`` sends that byte.
        Before, nothing is created. The turn must be completed or left soon. ``None`` if that is not possible
        without waiting."""

    def get(self, name: str) -> JsonObject:
        """The Pod of that name. Raises PodGone if there is none, and KubernetesUnavailable."""

    def delete(self, name: str, uid: str, *, told: bool = ...) -> JsonObject:
        """Delete this very Pod, with its own grace period; never a younger Pod of the same name.

        With ``told``, returns the Pod as it was when the API server accepted the delete; otherwise an empty
        object. Raises PodGone if it has gone already, and KubernetesUnavailable."""

    def ungate(self, name: str, uid: str) -> None:
        """Remove our scheduling gate from this very Pod; other gates stay. It may be repeated.

        Raises PodGone, KubernetesUnavailable or KubernetesError."""

    def log(self, name: str, container: str, most: int, seconds: float) -> bytes:
        """The last ``most`` bytes of a container's log, within about ``seconds``. Raises KubernetesError."""

    def warnings(self, uid: str) -> list[str]:
        """The warnings of the scheduler and the kubelets about this very Pod: "reason: message", newest last.

        Raises KubernetesError, with status 403 if the Role does not allow this.
        """

    def list(
        self, selector: str, progress: Callable[[], None] = ..., *, cached: bool = ..., seconds: float = ...
    ) -> tuple[list[PodView], str]:
        """All Pods that match, and the resource version to watch from. A failure never reads as "no Pods".

        ``progress`` is called for each piece that comes. With ``cached``, the answer comes from the API
        server's cache: it may be some moments old, and costs no read of its store. ``seconds`` is for a
        caller that cannot wait longer for all pages, but for a connection. Raises KubernetesError:
        VersionExpired if the API server forgot the list between two pages."""

    def watch(
        self, selector: str, version: str, *, seconds: int, silence: float, opened: Callable[[Any], None]
    ) -> Iterator[WatchEvent]:
        """Yield events from a version on, until the server ends the watch after ``seconds``.

        ``opened`` is given the response, so that another thread can shut it down.

        Raises:
            TimeoutError: no byte came for ``silence`` seconds.
            VersionExpired: the answer was 410, as a status or as an ERROR event.
            KubernetesUnavailable: the stream broke.
            UnusableAnswer: what came makes no sense.
        """

    def now(self) -> float | None:
        """Unix seconds by the API server's clock, for comparison with times that it wrote.

        ``None`` while its answers do not agree on the time."""
