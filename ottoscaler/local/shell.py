"""What another terminal needs to use the local cluster: variables, programs on the PATH, lines to type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from ottoscaler.local import redis_cli

_OURS = "# Written by ottoscaler.local."


def write_programs(directory: Path, redis_url: str) -> Path:
    """Write a ``redis-cli`` that uses this Redis without ``-u``. Returns its folder, for the PATH.

    It runs the machine's own ``redis-cli`` or ``valkey-cli``, or else :mod:`ottoscaler.local.redis_cli`.
    """
    folder = directory / "bin"
    folder.mkdir(exist_ok=True)
    theirs = _on_path("redis-cli") or _on_path("valkey-cli")
    words = [theirs] if theirs else [sys.executable, "-I", redis_cli.__file__]
    script = folder / "redis-cli"
    script.write_text(f'#!/bin/sh\n{_OURS}\nexec {shlex.join([*words, "-u", redis_url])} "$@"\n')
    script.chmod(0o755)
    return folder


def _on_path(name: str) -> str | None:
    """The program's path. Scripts of other local clusters are skipped, since they end with their cluster."""
    for folder in os.get_exec_path():
        found = shutil.which(name, path=folder)
        if found and _OURS.encode() not in Path(found).read_bytes()[:100]:
            return found
    return None


def variables(kubeconfig: Path, redis_url: str, programs: Path | None) -> dict[str, str]:
    """The variables that tools read. ``PATH`` goes in front of the caller's own, and also has the folder of
    this Python."""
    found = {"KUBECONFIG": str(kubeconfig)}
    if redis_url:
        found["REDIS_URL"] = redis_url
    folders = [str(programs)] if programs else []
    found["PATH"] = os.pathsep.join([*folders, str(Path(sys.executable).parent)])
    return found


def environment(environ: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with the variables ``found`` added."""
    path = os.pathsep.join(filter(None, (found["PATH"], environ.get("PATH", os.defpath))))
    return {**environ, **found, "PATH": path}


def export_line(found: Mapping[str, str]) -> str:
    """One line that sets the variables in any POSIX shell."""
    words = [f"{name}={shlex.quote(value)}" for name, value in found.items()]
    return f'export {" ".join(words)}:"$PATH"'


def what_next(first: str, service_url: str, *, redis: bool) -> str:
    """Says what runs, and what to type in another terminal. ``first`` says how to set the variables.

    ``service_url`` is empty if no service runs.
    """
    lines = ["kubectl get pods -l managed-by=ottoscaler"]
    if redis:
        send = "redis-cli XADD otto:scale:events '*' type scale_up pod_count 3 task_id build-17"
        lines = [
            f"{send} command 'echo hello; sleep 20'",
            "python -m ottoscaler status",
            *lines,
            "redis-cli XRANGE otto:scale:results - +",
        ]
        if not service_url:
            lines.insert(0, "python -m ottoscaler &")
    parts = ["The Kubernetes API", *(["Redis"] if redis else [])]
    parts += ["the service"] if service_url else []
    page = f"The status page is at {service_url}/ (metrics: {service_url}/metrics).\n" if service_url else ""
    up = f"{', '.join(parts[:-1])} and {parts[-1]} are up" if len(parts) > 1 else f"{parts[0]} is up"
    missing = "" if shutil.which("kubectl") else "(kubectl is not on this machine's PATH.)\n"
    typed = "".join(f"    {line}\n" for line in lines)
    return f"\n{up}.\n{page}{first}\n\n{typed}\n{missing}Ctrl-C ends it all.\n\n"
