"""The ceiling in Go: builds bare.go, and writes down what it is to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.tools.bench import bare, wire

SOURCE = Path(__file__).with_name("bare.go")
BUILD_SECONDS = 120.0


def at_hand() -> bool:
    """Whether a Go program can be built here."""
    return shutil.which("go") is not None


def build(directory: Path) -> Path:
    """Build it; its path. Raises RuntimeError with the compiler's words."""
    binary = directory / "bare"
    made = subprocess.run(
        ["go", "build", "-o", str(binary), str(SOURCE)],
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"bare.go cannot be built: {made.stderr[-1000:]}")
    return binary


def write_task(path: Path, where: wire.Server, namespace: str, count: int, run_seconds: float) -> None:
    """Write the server, the credentials and the Pods to a file that only we may read."""
    pods = bare.bodies(namespace, "bare", count, run_seconds)
    task = {
        "server": where.url,
        "path": f"/api/v1/namespaces/{namespace}/pods",
        "ca": where.ca_file,
        "cert": where.cert_file,
        "key": where.key_file,
        "token": where.token,
        "inFlight": bare.IN_FLIGHT,
        "pods": [{"name": name, "body": body.decode()} for name, body in pods],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(task))
