"""A TCP server on loopback that answers each request with the bytes that a test says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

Reply = Callable[[int, bytes], tuple[bytes, bool]]  # number and bytes of a request: reply, and keep open


class ScriptedServer:
    """Answers each request with what the test says, on any number of connections."""

    def __init__(self, reply: Reply, piece_seconds: float = 0.0) -> None:
        self._reply = reply
        self._piece_seconds = piece_seconds  # before each 7 bytes
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            keep = True
            while keep:
                try:
                    request = connection.recv(65536)
                except ConnectionResetError:
                    break
                if not request:
                    break
                self.requests.append(request)
                reply, keep = self._reply(len(self.requests), request)
                for start in range(0, len(reply), 7):  # in pieces that end anywhere
                    if self._piece_seconds:
                        time.sleep(self._piece_seconds)
                    try:
                        connection.sendall(reply[start : start + 7])
                    except OSError:  # the test has seen enough
                        keep = False
                        break
        self.closed.release()

    def close(self) -> None:
        self._listening.close()
