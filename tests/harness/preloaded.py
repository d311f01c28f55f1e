"""Replicas and commands as forks of a process that has imported them. A start costs a tenth of the time.

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
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LONGEST_RUN_SECONDS = 90.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "ottoscaler.cli",
        "ottoscaler.app",
        "ottoscaler.kube.credentials",
        "ottoscaler.telemetry.formats",
        *(f"ottoscaler.cli.{name}" for name in ("check", "dead", "pause", "send", "status", "wait")),
        __name__,
        f"{__package__}.preload_end",
    ]
)


class Fork:
    """The service, or with ``words`` a subcommand, which writes to these files.

    It has the part of ``subprocess.Popen`` that the sandbox uses."""

    def __init__(
        self,
        env: Mapping[str, str],
        out: Path,
        err: Path,
        words: Sequence[str] = (),
        bounds: Mapping[str, float] | None = None,
    ) -> None:
        args = (dict(env), str(out), str(err), list(words), dict(bounds or {}))
        self._process = _context.Process(target=_run, args=args, daemon=True)
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


def run(
    words: Sequence[str],
    env: Mapping[str, str],
    *,
    seconds: float = LONGEST_RUN_SECONDS,
    bounds: Mapping[str, float] | None = None,
) -> subprocess.CompletedProcess[str]:
    """What ``python -m ottoscaler WORDS`` does with this environment: its exit code and what it printed.

    Raises ``subprocess.TimeoutExpired`` if it runs for longer than ``seconds``."""
    with tempfile.TemporaryDirectory(prefix="ottoscaler-test-") as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        fork = Fork(env, out, err, words, bounds)
        try:
            code = fork.wait(seconds)
        finally:
            fork.kill()
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _run(env: dict[str, str], out: str, err: str, words: list[str], bounds: dict[str, float]) -> None:
    """What the fork does: become a session of its own with this environment and output, and then ours."""
    os.setsid()
    for number, path in ((1, out), (2, err)):
        output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(output, number)
        os.close(output)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["ottoscaler", *words]
    from ottoscaler.__main__ import main  # it blocks signals when it is imported

    for name, value in bounds.items():
        module, _, constant = name.rpartition(".")
        owner = importlib.import_module(f"ottoscaler.{module}")
        getattr(owner, constant)  # a name that is not there any more fails the start
        setattr(owner, constant, value)
    main()
