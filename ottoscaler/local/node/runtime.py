"""The kubelet's side of the shim: starts it, tells it what to run, and learns from it what has ended."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ottoscaler.local.node import shim

STOP_SECONDS = 5.0  # the limit for the shim to kill its groups and exit


class Runtime:
    """Runs process groups through one shim process. Event loop thread only.

    For each ``run``, it calls ``started(id)`` or ``failed(id, message)`` on that thread. After ``started``,
    it calls ``ended(id, exit_code)`` once. The code is 128 plus the signal's number if a signal ended it.
    """

    def __init__(
        self,
        started: Callable[[str], None],
        failed: Callable[[str, str], None],
        ended: Callable[[str, int], None],
    ) -> None:
        self._started, self._failed, self._ended = started, failed, ended
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the shim. Afterwards, commands may be given at once."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(shim.__file__))],
                stdin=theirs.fileno(),
                start_new_session=True,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._listener = asyncio.create_task(self._listen(reader))

    async def stop(self) -> None:
        """Kill everything that runs, and wait at most STOP_SECONDS until the shim has ended."""
        if self._writer is not None:
            self._writer.close()
        if self._listener is not None:
            self._listener.cancel()
        if self._process is not None:
            process = self._process
            await asyncio.to_thread(_wait, process)

    def run(self, identity: str, argv: list[str], env: dict[str, str], cwd: str, log: Path) -> None:
        """Start a process group. Its output goes to ``log``."""
        self._send({"op": "start", "id": identity, "argv": argv, "env": env, "cwd": cwd, "log": str(log)})

    def signal(self, identity: str, number: int) -> None:
        """Send a signal to a whole group. Does nothing if the group has ended."""
        self._send({"op": "signal", "id": identity, "signal": int(number)})

    def _send(self, command: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(command).encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            if "started" in message:
                self._started(message["started"])
            elif "failed" in message:
                self._failed(message["failed"], message["message"])
            else:
                self._ended(message["ended"], message["code"])


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its children go with it, by their PDEATHSIG
        process.wait()
