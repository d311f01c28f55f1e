"""What the stages ask of Kubernetes: the Pods of one namespace.

:class:`ottoscaler.kube.client.PodClient` speaks to an API server; tests have a fake that keeps to the same
statements (tests/conformance/test_pod_client.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol

from ottoscaler.kube.server_health import ServerHealth
from ottoscaler.model import JsonObject, PodView


class CreateTurn(Protocol):
    """One create: its turn among all others, then the request. For one thread, as a context manager."""

    def __enter__(self) -> CreateTurn: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def ready(self, seconds: float) -> bool:
        """Whether its turn has come; waits for it, for some ``seconds`` at most. Call it again if not."""

    def send(self) -> JsonObject:
        """Create the Pod, now that :meth:`ready` said so. Raises PodExists, Refused or
        KubernetesUnavailable, of which RefusedForNow is this Pod's own trouble."""


class PodApi(Protocol):
    """Thread-safe. A call is sent once; its errors' type says whether trying again may help."""

    namespace: str
    health: ServerHealth

    def in_namespace(self, namespace: str, no_right_seconds: float = ...) -> PodApi:
        """The Pods of another namespace, over the same connections and bounds: to look and to delete.

        A right that is missing there raises KubernetesUnavailable, since it may be given; once it has been
        missing for ``no_right_seconds`` without a break, NoRight."""

    def create_turn(self, body: bytes, event: str, profile: str) -> CreateTurn:
        """A turn to create the Pod that ``body`` (JSON) describes. Nothing is sent before
        ``CreateTurn.send``."""

    def get(self, name: str) -> JsonObject:
        """Raises PodGone where there is none, and KubernetesUnavailable."""

    def delete(self, name: str, uid: str, *, told: bool = ...) -> JsonObject:
        """Ask for this very Pod to go, with its own grace. Raises PodGone where it has gone already, and
        KubernetesUnavailable. With ``told``, the Pod as it was when it was asked to go, else an empty
        object."""

    def ungate(self, name: str, uid: str) -> None:
        """Take our scheduling gate off this very Pod, others' stay. Harmless twice. Raises PodGone,
        KubernetesUnavailable and KubernetesError."""

    def log(self, name: str, container: str, most: int, seconds: float) -> bytes:
        """The last ``most`` bytes of a container's log, within some ``seconds``. Raises KubernetesError."""

    def warnings(self, uid: str) -> list[str]:
        """What the scheduler and the kubelets warn of this very Pod, the newest last: reason and message.

        Raises KubernetesError, with status 403 where the Role does not allow it.
        """

    def list(
        self, selector: str, progress: Callable[[], None] = ..., *, cached: bool = ...
    ) -> tuple[list[PodView], str]:
        """All Pods that match, and the resource version to watch from. A failure is unknown, never zero.
        ``progress`` is called for each piece that comes. With ``cached``, as the API server's cache has them:
        some moments old, and without a read of its store."""

    def watch(
        self, selector: str, version: str, *, seconds: int, silence: float, opened: Callable[[Any], None]
    ) -> Iterator[JsonObject]:
        """Yield events from a version on, until the server ends the watch after ``seconds``.

        Raises TimeoutError after ``silence`` seconds without a byte, VersionExpired on 410 (as a status or
        as an ERROR event), KubernetesUnavailable on a broken stream, UnusableAnswer on one that makes no
        sense. ``opened`` gets the response, so that another thread can shut it down.
        """

    def now(self) -> float | None:
        """Unix seconds by the API server's clock, for comparing with its own times; ``None`` while its
        answers do not agree."""
