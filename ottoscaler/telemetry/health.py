"""Whether this process is alive and whether it can work: the answers of ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

# What /healthz promises: a stuck or dead thread shows within so many seconds.
STALL_SECONDS = 15.0

_own = threading.local()  # ``beacon``: the beacon of the thread that reads it

Condition = Callable[[], tuple[bool, str]]
Report = tuple[bool, dict[str, Any]]


def progress() -> None:
    """Note progress of the calling thread, if it has a beacon. Never waits.

    The adapters call it after each round trip to Redis, whatever its result, and while a call to the API
    server waits for its turn. So a step with many calls to a slow server counts as progress; a single call
    that hangs does not.
    """
    beacon: Beacon | None = getattr(_own, "beacon", None)
    if beacon is not None:
        beacon.progress()


def ended() -> None:
    """Note that the calling thread, if it has a beacon, ends because it was asked to: it is not dead."""
    beacon: Beacon | None = getattr(_own, "beacon", None)
    if beacon is not None:
        beacon.end()


class Beacon:
    """A thread's sign of life. Only that thread calls ``progress`` and ``end``; the first call of
    ``progress`` binds it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._thread: threading.Thread | None = None
        self._ended = False

    def progress(self) -> None:
        """Note progress. A failed try counts too. Never waits.

        Call it at least every third of the stall limit."""
        if self._thread is None:
            self._thread = threading.current_thread()
            _own.beacon = self
        self._last = self._clock()

    def end(self) -> None:
        """Note that the thread's work is done, as a stop asked. It is healthy from now on."""
        self._ended = True

    def look(self) -> tuple[bool, str]:
        """Whether the thread is healthy, and a detail for people. Any thread."""
        if self._ended:
            return True, "ended, as the process is being stopped"
        silent = self._clock() - self._last
        if self._thread is not None and not self._thread.is_alive():
            return False, "the thread is dead"
        if silent >= STALL_SECONDS:
            what = "no progress" if self._thread is not None else "not started"
            return False, f"{what} for {silent:.1f} s; the limit is {STALL_SECONDS:g} s"
        return True, f"last progress {silent:.1f} s ago"


class Health:
    """Holds the beacons and the conditions, all of which are added before the HTTP server starts. From then
    on, any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beacons: dict[str, Beacon] = {}
        self._conditions: dict[str, Condition] = {}

    def beacon(self, name: str) -> Beacon:
        """A new beacon, whose last progress counts as now."""
        beacon = self._beacons[name] = Beacon(self._clock)
        return beacon

    def condition(self, name: str, look: Condition) -> None:
        """Add a condition of readiness. ``look`` must not wait; it only reads what another thread found."""
        self._conditions[name] = look

    def healthz(self) -> Report:
        """Whether every thread is alive and makes progress, whatever Redis and Kubernetes do.

        During a stop, a thread that has ended as it was asked to counts as alive: a replica that waits for
        its running workers is no reason to kill it."""
        return _report("threads", {name: each.look() for name, each in self._beacons.items()})

    def readyz(self) -> Report:
        """Whether this replica can work. Never raises: a condition that raises counts as not met."""
        return _report("conditions", {name: _ask(look) for name, look in self._conditions.items()})


def _ask(look: Condition) -> tuple[bool, str]:
    try:
        ok, detail = look()
    except Exception as error:  # noqa: BLE001 - a failing condition must not break the probe
        # Only its type: the text was not checked for secrets.
        return False, f"internal error ({type(error).__name__})"
    return bool(ok), detail


def _report(kind: str, parts: dict[str, tuple[bool, str]]) -> Report:
    well = all(ok for ok, _ in parts.values())
    shown = {name: {"ok": ok, "detail": detail} for name, (ok, detail) in parts.items()}
    return well, {"status": "ok" if well else "failing", kind: shown}
