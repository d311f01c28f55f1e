"""An HTTP proxy before the API server that answers for it now and then, as real ones do: login pages, empty
bodies, garbled JSON, strange events in a watch."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

from tests.harness.kubeconfigs import leading_to, server_of
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

SECONDS = 60.0  # for the server's answer; more than any machine stands still
NO_LEADER = (
    b'{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500,'
    b' "message": "etcdserver: no leader"}'
)


class ApiProxy:
    """Passes requests on, but for those that a test has an answer for. Any thread."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.pool = urllib3.PoolManager(maxsize=20, retries=False)
        self.answers: deque[tuple[str, int, bytes, bool]] = deque()
        self._taking = threading.Lock()
        self.watches: set[_Handler] = set()
        self.connections: set[_Handler] = set()  # that are open
        self.clock_ahead = 0.0  # seconds that the Date header of answers is wrong by
        self.wrong_dates = math.inf  # answers that it is still wrong in
        self.made = 0  # connections so far
        self.ill: set[_Handler] = set()  # connections to the server that has lost its etcd
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"api_proxy": self})
        )
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, code: int, body: bytes, *, times: int = 1, late: bool = False) -> None:
        """Answer the next requests of that method so; ``late``: after they were carried out."""
        self.answers.extend([(method, code, body, late)] * times)

    def take_answer(self, method: str) -> tuple[str, int, bytes, bool] | None:
        """What the next request of that method is to be answered with, if not by the server."""
        with self._taking:
            told = next((a for a in self.answers if a[0] == method), None)
            if told is not None:
                self.answers.remove(told)
            return told

    def lose_leader(self) -> None:
        """There are two servers behind this name. The one behind the open connections loses its etcd: it
        keeps them, answers 500, and its watches say nothing more. New connections reach the other one."""
        self.ill = set(self.connections)

    def say(self, line: bytes) -> None:
        """One more line in the open watches, or the next one; each is talked to once."""

        def said() -> bool:
            watches, self.watches = self.watches, set()
            told = [watch.say(line + b"\n") for watch in list(watches)]
            return any(told)

        wait_for(said, "a watch is open, and does not end just now")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api_proxy: ApiProxy

    def setup(self) -> None:
        super().setup()
        self._writing = threading.Lock()  # a test may say something while the server does
        self._over = False  # the watch: nothing more can be said
        self.api_proxy.made += 1
        self.api_proxy.connections.add(self)

    def date_time_string(self, timestamp: float | None = None) -> str:
        ahead = self.api_proxy.clock_ahead if self.api_proxy.wrong_dates > 0 else 0.0
        if ahead:
            self.api_proxy.wrong_dates -= 1
        return super().date_time_string(time.time() + ahead)

    def finish(self) -> None:
        self.api_proxy.connections.discard(self)
        super().finish()

    def do_GET(self) -> None:
        if "watch=1" in self.path:
            self._watch()
            return
        self._pass()

    do_POST = do_DELETE = lambda self: self._pass()

    def say(self, piece: bytes) -> bool:
        """Whether it was said: not if the watch has ended."""
        with self._writing, contextlib.suppress(OSError):
            if not self._over:
                self._over = not piece
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                return True
        return False

    def _ask(self, *, stream: bool = False) -> urllib3.BaseHTTPResponse:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")}
        url = self.api_proxy.target + self.path
        return self.api_proxy.pool.request(
            self.command, url, body=body or None, headers=headers, preload_content=not stream, timeout=SECONDS
        )

    def _pass(self) -> None:
        if self in self.api_proxy.ill:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._send(500, NO_LEADER)
            return
        told = self.api_proxy.take_answer(self.command)
        if told is None:
            real = self._ask()
            self._send(real.status, real.data)
            return
        _, code, body, late = told
        if late:
            self._ask()
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._send(code, body)

    def _send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self) -> None:
        if self in self.api_proxy.ill:
            self._send(500, NO_LEADER)
            return
        real = self._ask(stream=True)
        if real.status != 200:
            self._send(real.status, real.data)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with self._writing:
            self._over = False  # an earlier watch of this connection has ended
        self.api_proxy.watches.add(self)
        try:
            for piece in real.stream(65536):
                if self not in self.api_proxy.ill:
                    self.say(piece)
            self.say(b"")
        except urllib3.exceptions.HTTPError:  # the server was ended, or cut the watch: so does this proxy
            self.close_connection = True
        finally:
            self.api_proxy.watches.discard(self)
            with self._writing:
                self._over = True
            real.close()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at the service's log."""


@contextmanager
def behind_api_proxy(place: Sandbox) -> Iterator[tuple[ApiProxy, str]]:
    """A proxy before the local cluster, and the kubeconfig that leads through it."""
    api_proxy = ApiProxy(server_of(place))
    try:
        yield api_proxy, leading_to(place, api_proxy.url)
    finally:
        api_proxy.close()
