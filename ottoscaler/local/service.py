"""The service beside the local cluster, as a child process that runs it as a Pod would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO

from ottoscaler.errors import OttoscalerError
from ottoscaler.local.child import begin_child
from ottoscaler.local.ports import free_port

START_SECONDS = 15.0  # the limit until it is ready; it takes 0.5 s on an idle machine
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.05  # between two looks at /readyz


class ServiceFailed(OttoscalerError):
    """The service ended, or did not become ready. The message has its log, if that went to a file."""


class Service:
    """One ``python -m ottoscaler`` on a local cluster. For one thread; it ends with that thread.

    ``environ`` may hold settings. Those that name Redis are ignored, since the local cluster has its own
    Redis. HTTP is on loopback. Unless ``environ`` says otherwise, HTTP's port is a free one, and a stop does
    not wait for workers. ``log`` gets its log lines: a file, or None for this process's standard error.
    """

    def __init__(
        self, kubeconfig: str, redis_url: str, environ: Mapping[str, str], log: IO[bytes] | None = None
    ) -> None:
        defaults = {"NAMESPACE": "default", "OTTO_SHUTDOWN_GRACE_SECONDS": "0"}
        kept = {name: value for name, value in environ.items() if not name.startswith("REDIS_")}
        port = environ.get("OTTO_HTTP_PORT", "").strip()
        self.environ = {
            **defaults,
            **kept,
            "KUBECONFIG": kubeconfig,
            "REDIS_URL": redis_url,
            "OTTO_HTTP_ADDRESS": "127.0.0.1",
            "OTTO_HTTP_PORT": port if port not in ("", "0") else str(free_port()),
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it serves /metrics, /healthz and /readyz."""
        return f"http://127.0.0.1:{self.environ['OTTO_HTTP_PORT']}"

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Start it and wait at most START_SECONDS until it is ready. Raises ServiceFailed and OSError."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ottoscaler"],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the parent, which stops its parts in order
            preexec_fn=partial(begin_child, os.getpid()),  # noqa: PLW1509  three system calls, no locks
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.exit_code is not None:
                raise self._failed(f"the service ended with exit code {self.exit_code}")
            if time.monotonic() > deadline:
                self.stop()
                raise self._failed(f"the service was not ready within {START_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)

    def _failed(self, text: str) -> ServiceFailed:
        log = "" if self._log is None else f"; its log:\n{Path(self._log.name).read_text().rstrip()}"
        return ServiceFailed(text + log)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL after STOP_SECONDS. Does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
