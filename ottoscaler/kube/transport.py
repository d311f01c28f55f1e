"""Chooses how a request gets to the API server: over our direct connections, or through the general client.

The general client is urllib3, as the Kubernetes client has set it up. It makes every connection, and it
carries the lists. With a proxy in between, it carries everything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from urllib3.util import Timeout

from ottoscaler.kube.connections import Connections, Link
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.open_request import OpenRequest, open_request
from ottoscaler.kube.renewal import Loss, Renewal
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

CONNECT_SECONDS = 3.0

# Before urllib3 2.0, a pool finishes its TLS connections in a separate step, which connections.py leaves out.
_MAKES_WHOLE_CONNECTIONS = not version("urllib3").startswith("1.")


@dataclass(frozen=True, slots=True)
class _Direct:
    """The direct connections that go with one state of the credentials."""

    manager: Any
    connections: Connections | None  # None: the general client carries everything
    prefix: str  # put before every path; empty unless the API server's address has a path


class Transport:
    """Sends each request once. Thread-safe. Raises urllib3's HTTPError or OSError if no answer came."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._direct: _Direct | None = None
        self._renewal = Renewal()
        self._general_since = 0.0  # monotonic, of the general client's present connections

    def send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], read_seconds: float
    ) -> Any:
        """The whole answer: ``status``, ``headers`` (names in lower case) and ``data``."""
        direct = self._current()
        if direct.connections is None:
            return self._general(method, path, body, headers, read_seconds, stream=False)
        return direct.connections.request(method, direct.prefix + path, body, headers, read_seconds)

    def open(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> OpenRequest | None:
        """Send a request but for its last byte, without waiting. ``None`` if that is not possible now."""
        direct = self._current()
        if direct.connections is None:
            return None
        return open_request(direct.connections, method, direct.prefix + path, body, headers)

    def page(self, path: str, headers: dict[str, str], read_seconds: float) -> Any:
        """A page of a list. The caller reads it as it comes, and closes it.

        A page may have a hundred megabytes in one chunk. The general client carries it, because it hands out
        a large chunk in pieces."""
        return self._general("GET", path, None, headers, read_seconds, stream=True)

    def stream(
        self, method: str, path: str, headers: dict[str, str], read_seconds: float, *, paced: bool = False
    ) -> Any:
        """An answer that the caller reads as it comes, and closes. Any thread may shut it down.

        With ``paced``, a direct connection is read in larger parts while it is busy."""
        direct = self._current()
        if direct.connections is None:
            return self._general(method, path, None, headers, read_seconds, stream=True)
        return direct.connections.stream(method, direct.prefix + path, headers, read_seconds, paced=paced)

    def well(self) -> None:
        """Note that a server did what it cannot do without its etcd."""
        self._renewal.well()

    def wrong(self, response: Any, words: str) -> None:
        """Note an answer (``None``: no answer) that another server behind the same name might do better.

        An old enough connection is not used again after it. After two such answers in a row, no connection is
        used that was made before."""
        link: Link | None = getattr(response, "link", None)
        verdict = self._renewal.wrong(link.opened_at if link is not None else self._general_since)
        direct = self._direct
        if direct is not None and direct.connections is not None:
            direct.connections.give_up(link, verdict)
        if verdict in (Loss.ALL, Loss.ALL_AT_ONCE) or (verdict is Loss.ONE and link is None):
            self._renew_general()
        if verdict is Loss.ALL_AT_ONCE:
            log.warning(
                "api_server_left",
                f"the API server is unhealthy; connecting anew, perhaps to another server: {words}",
            )

    def _renew_general(self) -> None:
        """Drop all idle connections of the general client, which cannot give up a single one. Calls that are
        under way go on."""
        manager = self._access.pool()
        pool: Any = manager.connection_from_url(self._access.url(""))
        manager.clear()
        pool.close()
        self._general_since = time.monotonic()

    def _current(self) -> _Direct:
        manager = self._access.pool()
        if self._direct is None or self._direct.manager is not manager:  # the credentials were read again
            origin = self._access.url("")
            pool: Any = manager.connection_from_url(origin)
            usable = pool.proxy is None and _MAKES_WHOLE_CONNECTIONS
            connections = (
                Connections(pool, self._renewal, connect_seconds=CONNECT_SECONDS) if usable else None
            )
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
