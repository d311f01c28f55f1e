"""Replicas as forks of a process that has imported the service. A start costs a quarter of the CPU time.

That process does nothing but import, so a fork is what ``python -m ottoscaler`` is once it has its modules. A
fork reads its environment, its arguments and its files anew. tests/process starts the command itself.

A fork may have other bounds than the command: named constants of the service, such as the time between two
sweeps. So a test does not wait for a look that comes every five seconds, and a look that must not help comes
too late.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "ottoscaler.cli",
        "ottoscaler.app",
        "ottoscaler.kube.credentials",
        "ottoscaler.telemetry.formats",
        __name__,
        f"{__package__}.preload_end",
    ]
)


class Fork:
    """One replica. It has the part of ``subprocess.Popen`` that the sandbox uses."""

    def __init__(self, env: dict[str, str], log: Path, bounds: Mapping[str, float]) -> None:
        args = (env, str(log), dict(bounds))
        self._process = _context.Process(target=_serve, args=args, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Its exit code. Raises ``subprocess.TimeoutExpired`` if it runs for longer."""
        self._process.join(timeout)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired("ottoscaler", timeout)
        return code

    def kill(self) -> None:
        self._process.kill()


def _serve(env: dict[str, str], log: str, bounds: dict[str, float]) -> None:
    """What the fork does: become a session of its own with this environment and log, and then the service."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["ottoscaler"]
    from ottoscaler.__main__ import main  # it blocks signals when it is imported

    for name, value in bounds.items():
        module, _, constant = name.rpartition(".")
        owner = importlib.import_module(f"ottoscaler.{module}")
        getattr(owner, constant)  # a name that is not there any more fails the start
        setattr(owner, constant, value)
    main()
