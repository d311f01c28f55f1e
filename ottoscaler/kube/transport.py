"""How a request gets to the API server: over direct connections of our own, or the general client's.

The general client (urllib3, as the Kubernetes client has set it up) makes every connection and carries the
lists; where a proxy stands between, it carries everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from urllib3.util import Timeout

from ottoscaler.kube.connections import Connections
from ottoscaler.kube.credentials import Access

CONNECT_SECONDS = 3.0

# Before 2.0, a pool finishes its TLS connections in a step of its own that we would leave out.
_MAKES_WHOLE_CONNECTIONS = not version("urllib3").startswith("1.")


@dataclass(frozen=True, slots=True)
class _Direct:
    """The direct connections that go with one state of the credentials."""

    manager: Any
    connections: Connections | None  # None: the general client carries everything
    prefix: str  # of every path, where the API server's address has one


class Transport:
    """Sends each request once. Thread-safe. Raises urllib3's HTTPError or OSError where no answer came."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._direct: _Direct | None = None

    def send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], read_seconds: float
    ) -> Any:
        """The whole answer: ``status``, ``headers`` (names in lower case) and ``data``."""
        direct = self._current()
        if direct.connections is None:
            return self._general(method, path, body, headers, read_seconds, stream=False)
        return direct.connections.request(method, direct.prefix + path, body, headers, read_seconds)

    def page(self, path: str, headers: dict[str, str], read_seconds: float) -> Any:
        """A list's page, which may be a hundred megabytes: by the general client, which is made for it."""
        return self._general("GET", path, None, headers, read_seconds, stream=False)

    def stream(self, method: str, path: str, headers: dict[str, str], read_seconds: float) -> Any:
        """An answer whose body the caller reads as it comes, and closes; any thread may shut it down."""
        direct = self._current()
        if direct.connections is None:
            return self._general(method, path, None, headers, read_seconds, stream=True)
        return direct.connections.stream(method, direct.prefix + path, headers, read_seconds)

    def _current(self) -> _Direct:
        manager = self._access.pool()
        if self._direct is None or self._direct.manager is not manager:  # the credentials were read again
            origin = self._access.url("")
            pool: Any = manager.connection_from_url(origin)
            usable = pool.proxy is None and _MAKES_WHOLE_CONNECTIONS
            connections = Connections(pool, connect_seconds=CONNECT_SECONDS) if usable else None
            self._direct = _Direct(manager, connections, urlsplit(origin).path)
        return self._direct

    def _general(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        read_seconds: float,
        *,
        stream: bool,
    ) -> Any:
        return self._access.pool().request(
            method,
            self._access.url(path),
            body=body,
            headers=headers,
            timeout=Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            retries=False,
            redirect=False,
            preload_content=not stream,
        )
