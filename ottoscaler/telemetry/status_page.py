"""The status page's routes: its three files, its documents, and the stream of server-sent events.

It knows nothing about Redis: a :class:`PageSource` gives it the contents. Every answer forbids the browser to
run or load anything but the two files beside the page.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Protocol
from urllib.parse import parse_qs

from ottoscaler.telemetry.page_access import OWN_SITES, admits

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
JSON = "application/json"
API = "/api/"
STREAM = "/api/stream"
DOCUMENTS = ("/api/status", "/api/event", "/api/log", "/api/search")

MOST_FIELDS = 8  # of a query
STREAM_SECONDS = 40.0  # then the browser connects anew, so that a viewer who stopped reading loses the place
SEND_SECONDS = 10.0  # a viewer for whom sending a frame takes longer is cut off
QUIET_SECONDS = 5.0  # without news for so long, a comment shows viewers and proxies that the stream is alive
SEND_BUFFER = 65_536  # bytes that the kernel holds for a viewer who does not read

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class NotThere(Exception):
    """What was asked for does not exist (404). The text is a sentence for the viewer."""


class Wrong(Exception):
    """The query is wrong (400). The text says what is accepted."""


class Unavailable(Exception):
    """It is not available for now (503). The text is a sentence for the viewer."""


class Frames(Protocol):
    """Snapshots for one viewer."""

    def next(self, timeout: float) -> bytes | None:
        """The newest snapshot that this viewer has not had; ``None`` if none comes within ``timeout``
        seconds."""


class PageSource(Protocol):
    """The page's contents. Any thread. Every method raises Unavailable if Redis does not answer."""

    def document(self, path: str, query: dict[str, str]) -> bytes:
        """The JSON of one of DOCUMENTS. Raises NotThere and Wrong."""

    def watch(self) -> AbstractContextManager[Frames]:
        """Snapshots as they come, for as long as the context is open."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))


class StatusPage:
    """Routes requests. Any thread."""

    def __init__(self, mode: str, source: PageSource) -> None:
        self._mode = mode
        self._source = source

    def has(self, path: str, peer: str, host: str, site: str) -> bool:
        """Whether this path belongs to the page and this client may see it. ``site`` is Sec-Fetch-Site."""
        if path not in FILES and path != STREAM and path not in DOCUMENTS:
            return False
        if path.startswith(API) and site not in OWN_SITES:
            return False
        return admits(self._mode, peer, host)

    def answer(self, path: str, query: str) -> Answer:
        """A file or a document. Raises NotThere, Wrong and Unavailable."""
        if path in FILES:
            name, content_type = FILES[path]
            return Answer(HTTPStatus.OK, _file(name), content_type)
        try:
            asked = {name: values[-1] for name, values in parse_qs(query, max_num_fields=MOST_FIELDS).items()}
        except ValueError:
            raise Wrong(f"the query has more than {MOST_FIELDS} fields") from None
        return Answer(HTTPStatus.OK, self._source.document(path, asked))

    def stream(self) -> Iterator[bytes]:
        """Yield frames as server-sent events as they come, for ``STREAM_SECONDS``."""
        ends = time.monotonic() + STREAM_SECONDS
        with self._source.watch() as frames:
            yield b"retry: 1000\n\n"
            while (left := ends - time.monotonic()) > 0:
                frame = frames.next(min(QUIET_SECONDS, left))
                yield b"data: " + frame + b"\n\n" if frame is not None else b": quiet\n\n"
            yield b"event: again\ndata: {}\n\n"


@cache
def _file(name: str) -> bytes:
    return (resources.files("ottoscaler.telemetry") / "page" / name).read_bytes()
