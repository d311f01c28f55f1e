"""TCP proxies between the service and what it talks to: faults from outside, the service unmodified.

A proxy understands just enough of the protocol to know where a call begins and what it is called, such as
``EVALSHA record`` or ``POST pods``, so that a fault can be aimed at one call. Without a protocol it passes
bytes (TLS to a real API server), and the switches for whole connections still work.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from importlib import resources

from ottoscaler.local.ports import free_port

CONNECT_SECONDS = 2.0
LATE_SECONDS = 3.0
CHUNK = 65536

Frame = tuple[bytes, str]  # the bytes of one call, and its name
Protocol = Callable[[bytearray], "Frame | None"]  # takes the first whole call off the buffer


def _script_names() -> dict[str, str]:
    """Script digests, by which Redis is asked to run them, and their names."""
    folder = resources.files("ottoscaler.ledger") / "scripts"
    prelude = (folder / "prelude.lua").read_text()
    return {
        hashlib.sha1((prelude + one.read_text()).encode(), usedforsecurity=False).hexdigest(): one.name[:-4]
        for one in folder.iterdir()
        if one.name.endswith(".lua") and one.name != "prelude.lua"
    }


def redis_protocol() -> Protocol:
    """Commands as arrays of strings; scripts by their own names."""
    scripts = _script_names()

    def name(words: list[bytes]) -> str:
        command = words[0].decode().upper()
        if command == "EVALSHA":
            return f"EVALSHA {scripts.get(words[1].decode(), '?')}"
        if command == "EVAL":
            digest = hashlib.sha1(words[1], usedforsecurity=False).hexdigest()
            return f"EVAL {scripts.get(digest, '?')}"
        return command

    def take(buffer: bytearray) -> Frame | None:
        end = buffer.find(b"\r\n")
        if end < 0:
            return None
        count, at, words = int(buffer[1:end]), end + 2, []
        for _ in range(count):
            end = buffer.find(b"\r\n", at)
            if end < 0:
                return None
            length = int(buffer[at + 1 : end])
            if len(buffer) < end + 2 + length + 2:
                return None
            words.append(bytes(buffer[end + 2 : end + 2 + length]))
            at = end + 2 + length + 2
        frame = bytes(buffer[:at])
        del buffer[:at]
        return frame, name(words)

    return take


def http_protocol() -> Protocol:
    """HTTP/1.1 requests, by verb and resource; a watch is called WATCH, a list LIST."""

    def name(line: str) -> str:
        verb, target, _ = line.split(" ", 2)
        path, _, query = target.partition("?")
        _, resource, item = path.rpartition("/pods")
        if verb == "GET" and resource and not item:
            verb = "WATCH" if "watch=1" in query else "LIST"
        part = "/log" if item.endswith("/log") else ""
        return f"{verb} {resource.strip('/') or path}{part}"

    def take(buffer: bytearray) -> Frame | None:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = buffer[:end].decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        whole = end + 4 + int(headers.get("content-length", "0"))
        if len(buffer) < whole:
            return None
        frame = bytes(buffer[:whole])
        del buffer[:whole]
        return frame, name(lines[0])

    return take


class ProxyAction(Enum):
    """What becomes of one call."""

    PASS = "pass"
    NEVER_SENT = "never sent"  # the connection is cut before the server sees it
    REPLY_LOST = "reply lost"  # the server carries it out, and the connection is cut before the reply
    LATE = "late"  # the server gets it LATE_SECONDS later, and nobody its reply


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    doomed: str = ""  # the call whose reply is to be lost
    late: bool = False  # its call comes late
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """One listening port in front of one server. Switches may be thrown from any thread.

    ``decide`` is asked for what becomes of each call, and ``struck`` is told when that has happened, before
    the connection is cut; both run on the connection's own thread.
    """

    def __init__(self, server_port: int, protocol: Protocol | None = None) -> None:
        self._server_port = server_port
        self._protocol = protocol
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self._open = threading.Event()  # bytes flow
        self._open.set()
        self._replies = threading.Event()  # replies flow
        self._replies.set()
        self._instead = b""  # comes in place of each reply
        self._drip = 0.0  # seconds after each byte of a reply
        self._doomed: Counter[str] = Counter()
        self._delay = 0.0  # seconds by which each reply is late
        self._listener: socket.socket | None = None
        self.delivered = threading.Event()  # the call that came late has been carried out
        self.delay = 0.0  # seconds that whatever the client sends is held back
        self.port = free_port()
        self.calls: list[str] = []
        self.decide: Callable[[str], ProxyAction] = self._decide
        self.struck: Callable[[str], None] = lambda _: None
        self.accept()

    # --- switches

    def cut_now(self) -> None:
        """Cut every open connection; new ones are welcome."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.cut()

    def refuse(self) -> None:
        """Cut what is open, and refuse new connections until :meth:`accept`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut_now()

    def accept(self) -> None:
        """Welcome connections, on the same port as ever."""
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(256)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="proxy", daemon=True).start()

    def hang(self) -> None:
        """Connections stay open and are still accepted, but nothing passes in either direction."""
        self._open.clear()

    def swallow_replies(self) -> None:
        """Half-open: what the client says arrives and is carried out; no reply ever comes back."""
        self._replies.clear()

    def slow(self, seconds: float) -> None:
        """From now on each reply comes so many seconds late."""
        self._delay = seconds

    def answer(self, instead: bytes) -> None:
        """From now on each reply is this one, whatever the server answers; ``b""`` ends it."""
        self._instead = instead

    def drip(self, seconds: float) -> None:
        """From now on the replies come byte by byte, with so many seconds after each; 0 ends it."""
        self._drip = seconds

    def flow(self) -> None:
        """End :meth:`hang` and :meth:`swallow_replies`. What was held back is lost with its connections."""
        self.cut_now()
        self._open.set()
        self._replies.set()

    def lead_to(self, server_port: int) -> None:
        """New connections go to another server; those that are open stay where they are."""
        self._server_port = server_port

    def cut_after_sending(self, call: str, times: int = 1) -> None:
        """The next calls of that name are carried out, and cut before their reply."""
        self._doomed[call] += times

    def close(self) -> None:
        self.refuse()
        self._open.set()
        self._replies.set()

    # --- connections

    def _decide(self, call: str) -> ProxyAction:
        with self._lock:
            if self._doomed[call] > 0:
                self._doomed[call] -= 1
                return ProxyAction.REPLY_LOST
        return ProxyAction.PASS

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port), CONNECT_SECONDS)
            except OSError:
                if self._listener is not listener:
                    return
                with contextlib.suppress(OSError, UnboundLocalError):
                    client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(client, server)
            with self._lock:
                self._connections.add(connection)
            for pump in (self._forward, self._return):
                threading.Thread(target=self._run, args=(pump, connection), name="proxy", daemon=True).start()

    def _run(self, pump: Callable[[_Connection], None], connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            pump(connection)
        connection.cut()
        with self._lock:
            both_done = connection in self._connections
            self._connections.discard(connection)
        if not both_done:
            connection.client.close()
            connection.server.close()

    def _forward(self, connection: _Connection) -> None:
        buffer = bytearray()
        while chunk := connection.client.recv(CHUNK):
            self._open.wait()
            if self.delay:
                time.sleep(self.delay)
            if self._protocol is None:
                connection.server.sendall(chunk)
                continue
            buffer += chunk
            while (frame := self._protocol(buffer)) is not None:
                if not self._pass(connection, *frame):
                    return

    def _pass(self, connection: _Connection, frame: bytes, call: str) -> bool:
        self.calls.append(call)
        action = self.decide(call)
        if action is ProxyAction.NEVER_SENT:
            self.struck(call)
            return False
        if action is ProxyAction.REPLY_LOST:
            connection.doomed = call
        if action is ProxyAction.LATE:
            self.struck(call)
            connection.late = True
            time.sleep(LATE_SECONDS)
        connection.server.sendall(frame)
        if connection.late:
            self.delivered.wait(CONNECT_SECONDS)
            return False
        return True

    def _return(self, connection: _Connection) -> None:
        while chunk := connection.server.recv(CHUNK):
            if connection.doomed:
                self.struck(connection.doomed)
                return
            if connection.late:
                self.delivered.set()
                return
            if not self._replies.is_set():
                continue
            self._open.wait()
            if self._delay:
                time.sleep(self._delay)
            if self._drip:
                self._send_slowly(connection, chunk)
                continue
            connection.client.sendall(self._instead or chunk)

    def _send_slowly(self, connection: _Connection, chunk: bytes) -> None:
        for at in range(len(chunk)):
            connection.client.sendall(chunk[at : at + 1])
            time.sleep(self._drip)
