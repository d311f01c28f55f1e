"""The small HTTP server for ``/metrics``, ``/healthz`` and ``/readyz``, and for the status page.

Viewers of the page have places of their own (viewers.py), so that probes and scrapes never wait for them.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from ottoscaler.telemetry import status_page
from ottoscaler.telemetry.bounded_server import BoundedServer, cut, listen
from ottoscaler.telemetry.health import Health
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.telemetry.status_page import Answer, NotThere, StatusPage, Unavailable, Wrong
from ottoscaler.telemetry.viewers import REQUESTS, VIEWERS, Full, OpenConnections

METHODS = ("GET", "HEAD")
CONNECTION_TIMEOUT_SECONDS = 5.0  # for one read or one write
STOP_SECONDS = 2.0  # how long a stop waits for the accepting thread
STOP_LOOK_SECONDS = 0.1  # how often the server's loop looks for a stop; the default, 0.5 s, would be noticed


class HttpServer:
    """Serves from threads named ``http``. Port 0 means off: then ``start`` and ``stop`` do nothing."""

    def __init__(
        self, address: str, port: int, health: Health, metrics: Metrics, page: StatusPage | None = None
    ) -> None:
        self._address = address
        self._port = port
        self._health = health
        self._metrics = metrics
        self._page = page
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen. Main thread.

        Raises:
            OSError: the server cannot listen on the address. The text is a sentence that names it.
        """
        if not self._port:
            return
        try:
            self._server = _Server(listen(self._address, self._port), self._health, self._metrics, self._page)
        except OSError as error:
            where = f"{self._address or 'all addresses'}, port {self._port}"
            reason = (error.strerror or str(error)).partition(" (while")[0]  # which repeats the address
            sentence = f"cannot serve health and metrics on {where}: {reason}. "
            sentence += "Change OTTO_HTTP_ADDRESS or OTTO_HTTP_PORT."
            raise OSError(error.errno, sentence) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_LOOK_SECONDS,), name="http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close open connections. Takes at most ``STOP_SECONDS``. May be called again."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_SECONDS)
        self._server = self._thread = None


class _Server(BoundedServer):
    """The connections of probes and scrapes are bounded here, those of the page's viewers by their places."""

    def __init__(
        self, listening: socket.socket, health: Health, metrics: Metrics, page: StatusPage | None
    ) -> None:
        super().__init__(listening, _Request)
        self.health = health
        self.metrics = metrics
        self.page = page
        self.viewers = OpenConnections(VIEWERS, f"{VIEWERS} viewers look at this replica's page already")
        self.page_requests = OpenConnections(REQUESTS, "too many requests for the page at once; try again")

    def server_close(self) -> None:
        super().server_close()
        for each in (*self.viewers.open(), *self.page_requests.open()):
            cut(each)


class _Request(BaseHTTPRequestHandler):
    timeout = CONNECTION_TIMEOUT_SECONDS
    server_version = "ottoscaler"
    sys_version = ""
    server: _Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the client went away, or did not read

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        probe = {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}.get(path)
        page = self.server.page if probe is None and self._sees(path) else None
        if probe is None and page is None:
            also = ", and the status page at /" if self._sees("/") else ""
            self._say(HTTPStatus.NOT_FOUND, f"there are /metrics, /healthz and /readyz{also}")
        elif self.command not in METHODS:
            self._say(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD only")
        elif probe is not None:
            probe()
        elif page is not None:
            self._show(page, path, query)

    def _metrics(self) -> None:
        body, content_type = self.server.metrics.exposition(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, body, content_type)

    def _healthz(self) -> None:
        self._report(*self.server.health.healthz())

    def _readyz(self) -> None:
        self._report(*self.server.health.readyz())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer an unreadable request with JSON. The library would send an HTML page."""
        self._say(HTTPStatus(code), "the request cannot be read")

    # --- the status page

    def _sees(self, path: str) -> bool:
        hosts = self.headers.get_all("Host") or [""]
        page = self.server.page
        return page is not None and page.has(
            path,
            str(self.client_address[0]),
            hosts[0] if len(hosts) == 1 else "",
            self.headers.get("Sec-Fetch-Site", ""),
        )

    def _show(self, page: StatusPage, path: str, query: str) -> None:
        """Answer from one of the page's own places, or with 503 if none is free."""
        streams = path == status_page.STREAM
        places = self.server.viewers if streams else self.server.page_requests
        try:
            with places.place(self.connection):
                self.server.leave(self.connection)
                if streams:
                    self._stream(page)
                else:
                    self._send(page.answer(path, query))
        except NotThere as error:
            self._say(HTTPStatus.NOT_FOUND, str(error))
        except Wrong as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        except (Full, Unavailable) as error:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    def _stream(self, page: StatusPage) -> None:
        self.connection.settimeout(status_page.SEND_SECONDS)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, status_page.SEND_BUFFER)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Accel-Buffering", "no")  # otherwise nginx would hold the events back
        self._end_headers(status_page.HEADERS)
        if self.command != "HEAD":
            for part in page.stream():
                self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:
        """Do nothing. Probes come every few seconds, and their lines would drown those of the events."""

    def _say(self, status: HTTPStatus, error: str) -> None:
        self._answer(status, json.dumps({"error": error}).encode() + b"\n", "application/json")

    def _report(self, well: bool, body: dict[str, Any]) -> None:
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, json.dumps(body).encode() + b"\n", "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self._send(Answer(status, body, content_type, {"X-Content-Type-Options": "nosniff"}))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ", ".join(METHODS))
        self._end_headers(answer.headers)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _end_headers(self, more: Mapping[str, str]) -> None:
        self.send_header("Cache-Control", "no-store")
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
