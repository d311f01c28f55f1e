"""How a request gets to the API server: over cheap connections of our own, or the general client's.

The general client (urllib3, as the Kubernetes client has set it up) makes every connection and carries the
lists; where a proxy stands between, it carries everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from urllib3.util import Timeout

from ottoscaler.kube.connections import Exchange
from ottoscaler.kube.credentials import Access

CONNECT_SECONDS = 3.0

# Before 2.0, a pool finishes its TLS connections in a step of its own that we would leave out.
_MAKES_WHOLE_CONNECTIONS = not version("urllib3").startswith("1.")


@dataclass(frozen=True, slots=True)
class _Cheap:
    """The cheap connections that go with one state of the credentials."""

    manager: Any
    exchange: Exchange | None  # None: the general client carries everything
    prefix: str  # of every path, where the API server's address has one


class Wire:
    """Sends each request once. Thread-safe. Raises urllib3's HTTPError or OSError where no answer came."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._cheap: _Cheap | None = None

    def send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], read_seconds: float
    ) -> Any:
        """The whole answer: ``status``, ``headers`` (names in lower case) and ``data``."""
        cheap = self._connections()
        if cheap.exchange is None:
            return self._general(method, path, body, headers, read_seconds, stream=False)
        return cheap.exchange.request(method, cheap.prefix + path, body, headers, read_seconds)

    def page(self, path: str, headers: dict[str, str], read_seconds: float) -> Any:
        """A list's page, which may be a hundred megabytes: by the general client, which is made for it."""
        return self._general("GET", path, None, headers, read_seconds, stream=False)

    def stream(self, method: str, path: str, headers: dict[str, str], read_seconds: float) -> Any:
        """An answer whose body the caller reads as it comes, and closes; any thread may shut it down."""
        cheap = self._connections()
        if cheap.exchange is None:
            return self._general(method, path, None, headers, read_seconds, stream=True)
        return cheap.exchange.stream(method, cheap.prefix + path, headers, read_seconds)

    def _connections(self) -> _Cheap:
        manager = self._access.pool()
        if self._cheap is None or self._cheap.manager is not manager:  # the credentials were read again
            origin = self._access.url("")
            pool: Any = manager.connection_from_url(origin)
            usable = pool.proxy is None and _MAKES_WHOLE_CONNECTIONS
            exchange = Exchange(pool, connect_seconds=CONNECT_SECONDS) if usable else None
            self._cheap = _Cheap(manager, exchange, urlsplit(origin).path)
        return self._cheap

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
