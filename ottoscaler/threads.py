"""The service's long-lived threads: their common loop, and a guard that notices when one dies."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from ottoscaler.errors import InstanceChanged, LiveTwin, Stopping, UnusableCluster
from ottoscaler.telemetry.health import ended
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1  # after an error that may pass; doubled after each further one
LONGEST_PAUSE_SECONDS = 2.0
READY_LOOK_SECONDS = 0.1  # between two checks of the stop event, while a loop waits for what it needs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Control:
    """What a loop is given: ``stop`` ends it, and it calls ``progress`` to show that it is alive.

    ``progress`` never waits.
    """

    stop: threading.Event
    progress: Callable[[], None]


class Loop(ABC):
    """A long-lived thread's work: wait until there may be something to do, then do one step.

    The thread calls ``run``; tests call ``step``. An error of a type in ``passing`` ends only the step: it is
    logged, and the loop pauses. Any other error ends the thread, and with it the process.
    """

    passing: ClassVar[tuple[type[Exception], ...]] = ()
    first_pause: ClassVar[float] = FIRST_PAUSE_SECONDS
    longest_pause: ClassVar[float] = LONGEST_PAUSE_SECONDS

    def __init__(self, control: Control) -> None:
        self._stop = control.stop
        self._progress = control.progress

    def run(self) -> None:
        """Wait and step until the stop event."""
        pause = self.first_pause
        while not self._stop.is_set():
            self._progress()
            try:
                self.wait()
                if self._stop.is_set():
                    return
                self.step(self.clock())
            except self.passing as error:
                if self._stop.is_set():
                    return
                self.failed(error)
                self._stop.wait(self.pause(pause))
                pause = min(pause * 2, self.longest_pause)
            else:
                pause = self.first_pause

    def run_after(self, *events: threading.Event) -> None:
        """Wait until all the events are set, then do as ``run``."""
        for event in events:
            while not event.wait(READY_LOOK_SECONDS):
                self._progress()
                if self._stop.is_set():
                    return
        self.run()

    def wait(self) -> None:  # noqa: B027  a loop whose step waits leaves it as it is
        """Sleep until there may be something to do, a few seconds at most.

        Return at once if ``step`` itself waits.
        """

    @abstractmethod
    def step(self, now: float) -> None:
        """Do one round. ``now`` is the time by ``clock``."""

    def clock(self) -> float:
        """The time in seconds that ``step`` is given; monotonic unless overridden."""
        return time.monotonic()

    def failed(self, error: Exception) -> None:  # noqa: B027  and so does one that has nothing to log
        """Log an error of a type in ``passing``."""

    def pause(self, seconds: float) -> float:
        """How many seconds to pause after an error. ``seconds`` is what the back-off has come to."""
        return seconds


class Mailbox(Generic[T]):
    """Items that other threads leave for one reader. Above ``most`` items the oldest is dropped.

    ``put`` never waits.
    """

    def __init__(self, most: int) -> None:
        self._items: deque[T] = deque(maxlen=most)
        self._woken = threading.Event()

    def put(self, item: T) -> None:
        """Leave an item and wake the reader. Any thread."""
        self._items.append(item)
        self._woken.set()

    def wake(self) -> None:
        """End the reader's wait. Any thread."""
        self._woken.set()

    def wait(self, seconds: float) -> None:
        """Sleep until an item was left or ``wake`` was called, ``seconds`` at most. The reader calls this."""
        self._woken.wait(seconds)
        self._woken.clear()

    def take(self) -> T | None:
        """Take the oldest item, or ``None`` if there is none. The reader calls this."""
        try:
            return self._items.popleft()
        except IndexError:
            return None


class Threads:
    """Starts threads and waits for them.

    If a thread dies, it calls ``died`` itself, with the exit code for the process: 2 if the process must not
    start again as it is configured, otherwise 1.
    """

    def __init__(self, died: Callable[[int], None]) -> None:
        self._died = died
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, run: Callable[[], None]) -> None:
        """Run ``run`` on a new thread of that name. The main thread calls this, once for each name."""
        thread = threading.Thread(target=lambda: self._guard(name, run), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _guard(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
            ended()
        except Stopping:
            ended()
            log.debug("thread_stopped", f"{name} stopped")
        except LiveTwin as error:
            log.error("live_twin", str(error))
            self._died(2)
        except UnusableCluster as error:
            log.error("redis_cluster", str(error))
            self._died(2)
        except InstanceChanged as error:
            log.error("instance_changed", str(error))
            self._died(2)
        except BaseException as error:  # noqa: BLE001 - a thread that dies ends the process
            log.error("thread_died", f"the {name} thread died: {error}", exc=error)
            self._died(1)

    def join(self, *names: str, seconds: float) -> list[str]:
        """Wait until these threads have ended, ``seconds`` in all at most. Returns those that still run."""
        deadline = time.monotonic() + seconds
        running = []
        for name in names:
            thread = self._threads.get(name)
            if thread is None:
                continue
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                running.append(name)
        return running
