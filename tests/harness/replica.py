"""A replica as a real process, which tests signal, ask over HTTP, and whose log they read."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.harness.observer import ANSWER_SECONDS, Json
from tests.harness.preloaded import Fork
from tests.harness.waiting import LEAST_SECONDS, wait_for

SERVICE = ("-m", "ottoscaler")


class Replica:
    """One process of the service, with its log in a file.

    It is a fork of a process that has imported the service, with these ``bounds`` in place of its own
    constants, or with ``program`` Python with these arguments.
    """

    def __init__(
        self, env: dict[str, str], log: Path, program: tuple[str, ...], bounds: Mapping[str, float]
    ) -> None:
        self.port = int(env.get("OTTO_HTTP_PORT", "0"))
        self.log_path = log
        log.touch()
        self.process = _run(env, log, program) if program else Fork(env, log, log, bounds=bounds)

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def lines(self, **fields: Any) -> list[Json]:
        """Log lines that have these fields."""
        found = []
        for line in self.log().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if all(entry.get(k) == v for k, v in fields.items()):
                found.append(entry)
        return found

    def get(self, path: str) -> tuple[int, str]:
        """A page of the health and metrics server; (0, '') where it does not answer."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log()}"
        return self.get("/readyz")[0] == 200

    def wait_ready(self, seconds: float = 20.0) -> Replica:
        wait_for(self.ready, "the service is ready", seconds)
        return self

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; not a number where it does not answer."""
        status, text = self.get("/metrics")
        total = 0.0 if status == 200 else math.nan
        for line in text.splitlines():
            if line.startswith((name + "{", name + " ")) and all(
                f'{k}="{v}"' in line for k, v in labels.items()
            ):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs. A fork that ends by itself meanwhile is reaped at once."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """As the kernel's OOM killer does it."""
        self.send(signal.SIGKILL)
        self.process.wait(LEAST_SECONDS)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM, and its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = LEAST_SECONDS) -> int:
        """Its exit code. Fails after ``seconds``, and never before LEAST_SECONDS."""
        seconds = max(seconds, LEAST_SECONDS)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {seconds:g} s:\n{self.log()[-4000:]}") from None

    def close(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.process.kill()
        self.process.wait(LEAST_SECONDS)


def _run(env: dict[str, str], log: Path, program: tuple[str, ...]) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *program], env=env, stdout=output, stderr=output, start_new_session=True
        )
