"""How much of this machine others use: its busy time, but for what the bench and its contestants took."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TICK = os.sysconf("SC_CLK_TCK")
# Of a control plane that was started elsewhere on this machine: it works for the run.
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller", "kube-scheduler", "fakekubelet")


@dataclass(frozen=True, slots=True)
class Seen:
    """A process: its parent, its CPU seconds with those of its ended children, and whether its name or its
    command line is one of the control plane's."""

    parent: int
    cpu: float
    serves: bool = False


def own_cpu(seen: Mapping[int, Seen], root: int) -> float:
    """CPU seconds of ``root`` and all below it, and of the control plane."""

    def is_ours(pid: int) -> bool:
        if seen[pid].serves:
            return True
        while pid in seen and pid != root:
            pid = seen[pid].parent
        return pid == root

    return sum(process.cpu for pid, process in seen.items() if is_ours(pid))


class Noise:
    """A context manager around what is measured; then ``cores`` is what others used, in cores."""

    cores = 0.0

    def __enter__(self) -> Self:
        self._begun, self._busy, self._own = time.monotonic(), _busy(), own_cpu(_processes(), os.getpid())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        own = own_cpu(_processes(), os.getpid()) - self._own
        others = _busy() - self._busy - own
        self.cores = max(0.0, others / max(0.001, time.monotonic() - self._begun))


def _busy() -> float:
    """CPU seconds that all cores were busy, or kept from us by the machine below (steal), since the boot."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(numbers) - numbers[3] - numbers[4]) / _TICK  # idle, and idle that waits for a disk


def _processes() -> dict[int, Seen]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has just ended; its parent has its time
        words = rest.split()
        cpu = sum(int(word) for word in words[11:15]) / _TICK
        serves = name.startswith(CONTROL_PLANE) or "fakekubelet" in line
        found[int(entry.name)] = Seen(int(words[1]), cpu, serves)
    return found
