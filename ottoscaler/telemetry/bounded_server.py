"""A TCP server that serves each connection in a thread, and has at most ``CONNECTIONS`` of them open."""

from __future__ import annotations

import socket
import socketserver
import threading
from typing import Any

CONNECTIONS = 16  # at one time. Probes and one or two scrapers need three


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens there; with an empty address, on all of IPv4 and IPv6. Raises OSError."""
    if not address and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        except OSError:
            pass  # IPv6 is switched off on this machine, or the port is taken: trying IPv4 tells which
    family = socket.getaddrinfo(address or "0.0.0.0", port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((address or "0.0.0.0", port), family=family, backlog=64)


class BoundedServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A further connection than ``CONNECTIONS`` cuts the oldest off.

    So a crowd of slow clients cannot keep the kubelet's probe from its answer.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, request: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(listening.getsockname(), request, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self._lock = threading.Lock()
        self._open: dict[socket.socket, None] = {}  # the oldest first
        self._free = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self._cut_off_oldest()
            if not self._free.acquire(timeout=1):
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[request] = None
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="http", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the process is out of threads
            self.leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing. A client that went away is not worth a line, and the library would print to stderr."""

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            left = list(self._open)
        for each in left:
            cut(each)

    def leave(self, request: socket.socket) -> None:
        """Give a connection's place back: it has ended, or is bounded elsewhere from now on."""
        with self._lock:
            if request not in self._open:
                return
            del self._open[request]
        self._free.release()

    def _cut_off_oldest(self) -> None:
        with self._lock:
            oldest = next(iter(self._open), None)
        if oldest is not None:
            cut(oldest)


def cut(connection: socket.socket) -> None:
    """Shut a connection down, whoever reads or writes on it. Any thread."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client has closed it already
