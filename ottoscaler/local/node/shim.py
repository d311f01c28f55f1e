"""The process that forks the containers' processes, and ends them soon after the cluster has ended.

It is a separate single-threaded script, because only there a fork with a Python ``preexec_fn`` is safe. It
reads one JSON object a line from its standard input, a socket, and answers in the same form:

    {"op": "start", "id": ..., "argv": [...], "env": {...}, "cwd": ..., "log": ...}
        -> {"started": id} or {"failed": id, "message": ...}, later {"ended": id, "code": ...}
    {"op": "signal", "id": ..., "signal": 15}

When its input ends, because the cluster was stopped or was killed with -9, it kills every process group that
it started, and exits. If the shim itself is killed, its children get SIGKILL by PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Shim:
    """Starts, signals and reaps process groups as its peer asks."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._pids: dict[str, int] = {}  # by the container's id
        self._ids: dict[int, str] = {}
        self._buffer = b""
        self._prctl: Callable[..., int] = ctypes.CDLL(None).prctl

    def run(self) -> None:
        """Serve until the peer closes its end."""
        wakeup_read, wakeup_write = socket.socketpair()
        for end in (wakeup_read, wakeup_write):
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup_write.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as ready, _no_wakeup_afterwards():
            ready.register(self._peer, selectors.EVENT_READ)
            ready.register(wakeup_read, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is wakeup_read:
                        wakeup_read.recv(4096)
                        self._reap()
                    elif not self._read():
                        self._kill_all()
                        return

    def _read(self) -> bool:
        try:
            data = self._peer.recv(1 << 16)
        except ConnectionError:
            return False
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command["op"] == "start":
                self._start(command)
            else:
                self._signal(command["id"], command["signal"])
        return True

    def _start(self, command: dict[str, Any]) -> None:
        identity = command["id"]
        try:
            with open(command["log"], "ab") as log:
                process = subprocess.Popen(
                    command["argv"],
                    env=command["env"],
                    cwd=command["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=self._die_with_parent,  # noqa: PLW1509  this process has one thread
                )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._send({"failed": identity, "message": _why(command["argv"][0], error)})
            return
        process.returncode = 0  # because the shim reaps the process, and the Popen object must not
        self._pids[identity], self._ids[process.pid] = process.pid, identity
        self._send({"started": identity})

    def _die_with_parent(self) -> None:
        self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def _signal(self, identity: str, number: int) -> None:
        pid = self._pids.get(identity)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            identity = self._ids.pop(pid, None)
            if identity is None:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # all processes of a container end with it
            del self._pids[identity]
            code = os.waitstatus_to_exitcode(status)
            self._send({"ended": identity, "code": code if code >= 0 else 128 - code})

    def _kill_all(self) -> None:
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # if the peer has gone, the next read finds out
            self._peer.sendall(json.dumps(message).encode() + b"\n")


@contextlib.contextmanager
def _no_wakeup_afterwards() -> Iterator[None]:
    """The sockets are closed with their frame, and the killed children's SIGCHLD come after that."""
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)


def _why(program: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        missing = "executable file not found in $PATH" if "/" not in program else "no such file or directory"
        return f'failed to create containerd task: exec: "{program}": {missing}: unknown'
    text = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return f'failed to create containerd task: exec: "{program}": {text}: unknown'


def main() -> None:
    """Entry point of the child process."""
    # The cluster's process may have blocked signals, and all its descendants would inherit that.
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    Shim(socket.socket(fileno=os.dup(sys.stdin.fileno()))).run()


if __name__ == "__main__":
    main()
