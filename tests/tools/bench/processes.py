"""The contestants as processes of their own, and what the kernel tells of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

END_SECONDS = 20.0
_TICK = os.sysconf("SC_CLK_TCK")
_REQUESTS = re.compile(
    r'^ottoscaler_kube_request_seconds_count\{code="([^"]*)",verb="([^"]*)"\} ([0-9.e+]+)$', re.MULTILINE
)
_WATCH_BYTES = re.compile(r"^ottoscaler_watch_bytes_total ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process had used at one moment."""

    cpu_seconds: float
    rss_mib: float
    threads: int


class Process:
    """A child in a session of its own, its output in a file. A context manager."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._name, self._command, self._environ, self._log = name, command, environ, log
        self._child: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # monotonic, before the fork

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.started_at = time.monotonic()
            self._child = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def child(self) -> subprocess.Popen[bytes]:
        assert self._child is not None, f"{self._name} was not started"
        return self._child

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is still there after END_SECONDS. Harmless twice."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()

    def check(self) -> None:
        """Raises RuntimeError where it has ended, with the end of its log."""
        if self.child.poll() is not None:
            tail = self._log.read_text(errors="replace")[-1500:]
            raise RuntimeError(
                f"{self._name} ended with {self.child.returncode}; the end of its log:\n{tail}"
            )

    def line(self) -> str:
        """The next line of its standard output."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline().decode()
        if not line:
            self.child.wait(END_SECONDS)
            self.check()
        return line

    def tell(self, text: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{text}\n".encode())
        self.child.stdin.flush()

    def usage(self) -> Usage:
        """What it has used so far. Raises RuntimeError where it has ended."""
        self.check()
        return usage(self.child.pid)


def usage(pid: int) -> Usage:
    """From /proc; CPU to a hundredth of a second, user and system together."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(after_name[11]) + int(after_name[12])
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return Usage(ticks / _TICK, int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]))


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def requests_told(exposition: str) -> Counter[str]:
    """Requests by verb, of every code, from the service's own metrics."""
    counts: Counter[str] = Counter()
    for _, verb, value in _REQUESTS.findall(exposition):
        counts[verb] += int(float(value))
    return counts


def watch_bytes_told(exposition: str) -> float:
    """Bytes of Pods that watch and lists brought, from the service's own metrics."""
    told = _WATCH_BYTES.search(exposition)
    return float(told[1]) if told else 0.0


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
