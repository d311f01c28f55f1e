"""What really happened to each Pod and when, seen by one more watch than the contestants' own.

All latencies of the benchmark are differences of two of these times, or of one and the moment of an XADD: so
they are of one clock, and mean the same for every contestant.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.tools.bench import wire

OPEN_SECONDS = 10.0  # for the first list and watch
ENDED = ("Succeeded", "Failed")


@dataclass(slots=True)
class Life:
    """One Pod's times, monotonic seconds; 0 for what has not been seen."""

    name: str
    added: float = 0.0
    running: float = 0.0
    terminal: float = 0.0
    deleting: float = 0.0  # asked to go, or gone: a terminal Pod goes with the request

    @property
    def reaction(self) -> float:
        """Seconds from its end to the first sign of a delete."""
        return self.deleting - self.terminal


class Witness:
    """Watches one namespace on a thread of its own. A context manager; readers may be on any thread."""

    def __init__(self, where: wire.Server, namespace: str) -> None:
        self._where = where
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._changed = threading.Condition()
        self._lives: dict[str, Life] = {}
        self._there: set[str] = set()
        self._open = threading.Event()
        self._stop = threading.Event()
        self._connection = wire.Connection(where)
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self.last_gone = 0.0  # when the latest Pod vanished
        self.problem = ""

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._open.wait(OPEN_SECONDS):
            raise TimeoutError(f"the witness cannot watch: {self.problem or 'no answer'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def lives(self, prefix: str = "") -> list[Life]:
        """Every Pod seen since the last :meth:`forget` whose name begins so, in the order of creation."""
        with self._changed:
            return sorted(
                (life for name, life in self._lives.items() if name.startswith(prefix)),
                key=lambda life: life.added,
            )

    def forget(self) -> None:
        """Begin anew: for the next measurement, once no Pod is left."""
        with self._changed:
            self._lives = {}
            self.last_gone = 0.0

    def wait(self, what: str, condition: Callable[[Witness], bool], seconds: float) -> None:
        """Sleep until ``condition`` holds. Raises TimeoutError, naming ``what``, after ``seconds``."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition(self):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(
                        f"no {what} within {seconds:.0f} s: {len(self._lives)} Pods seen,"
                        f" {len(self._there)} still there"
                    )
                self._changed.wait(min(left, 1.0))

    def all_gone(self, count: int) -> Callable[[Witness], bool]:
        """A condition: so many Pods were seen, and none is left."""
        return lambda self: len(self._lives) >= count and not self._there

    def all_running(self, count: int) -> Callable[[Witness], bool]:
        return lambda self: self.running >= count

    @property
    def running(self) -> int:
        """How many Pods have run since the last :meth:`forget`."""
        return sum(1 for life in self._lives.values() if life.running)

    @property
    def ended(self) -> int:
        """How many Pods have ended since then."""
        return sum(1 for life in self._lives.values() if life.terminal or life.deleting)

    # --- its thread

    def _run(self) -> None:
        version = ""
        while not self._stop.is_set():
            try:
                version = self._follow(version or self._list())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.problem = str(error)
                self._connection.close()
                version = ""
                self._stop.wait(0.2)

    def _list(self) -> str:
        status, answer = self._connection.request("GET", f"{self._path}?limit=5000")
        if status != 200:
            raise OSError(f"HTTP status {status} on the list")
        document = json.loads(answer)
        there = {item["metadata"]["name"] for item in document["items"]}
        with self._changed:
            for name in self._there - there:
                self._gone(name, time.monotonic())
            self._there = there
        return str(document["metadata"]["resourceVersion"])

    def _follow(self, version: str) -> str:
        query = f"?watch=1&timeoutSeconds=3600&allowWatchBookmarks=true&resourceVersion={version}"
        response = self._connection.open("GET", self._path + query)
        if response.status != 200:
            raise OSError(f"HTTP status {response.status} on the watch")
        self._open.set()
        with contextlib.closing(self._connection):
            while not self._stop.is_set():
                line = response.readline()
                if not line:
                    break  # the server's own end, or we were too slow: go on from here
                now, seen = time.monotonic(), wire.parse_event(line)
                if seen is None:
                    if b'"ERROR"' in line[:60]:
                        return ""
                    continue
                version = seen.version or version
                self._take(seen, now)
        return version

    def _take(self, seen: wire.Seen, now: float) -> None:
        with self._changed:
            if seen.type == "DELETED":
                self._gone(seen.name, now)
            else:
                life = self._lives.get(seen.name)
                if life is None:
                    life = self._lives[seen.name] = Life(seen.name, added=now)
                self._there.add(seen.name)
                if seen.phase == "Running" and not life.running:
                    life.running = now
                elif seen.phase in ENDED and not life.terminal:
                    life.terminal = now
                if seen.deleting and not life.deleting:
                    life.deleting = now
            self._changed.notify_all()

    def _gone(self, name: str, now: float) -> None:
        self._there.discard(name)
        self.last_gone = now
        life = self._lives.get(name)
        if life is not None and not life.deleting:
            life.deleting = now
