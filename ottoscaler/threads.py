"""The service's long-lived threads: what their loops have in common, and that none dies unnoticed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from ottoscaler.errors import LiveTwin, RedisCluster, Stopping
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

PARTS_SECONDS = 10.0  # for threads to end, past the grace period
FIRST_PAUSE_SECONDS = 0.1  # after an error that passes; doubled with each one that follows
LONGEST_PAUSE_SECONDS = 2.0
READY_LOOK_SECONDS = 0.1  # between two looks at the stop event, while a loop waits for what it needs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Control:
    """What a loop is given: the event that ends it, and how it says that it gets on (never waits)."""

    stop: threading.Event
    progress: Callable[[], None]


class Loop:
    """A long-lived thread's work: wait until there may be something to do, then do one step.

    ``run`` is the thread's; tests call ``step``. An error of the types in ``passing`` ends the step only: it
    is told, and the loop pauses. Any other error ends the thread, and with it the process.
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
        """As ``run``, once the events are set."""
        for event in events:
            while not event.wait(READY_LOOK_SECONDS):
                self._progress()
                if self._stop.is_set():
                    return
        self.run()

    def wait(self) -> None:
        """Sleep until there may be something to do, some seconds at most; at once where the step waits."""

    def step(self, now: float) -> None:
        """One round. ``now`` is by ``clock``."""
        raise NotImplementedError

    def clock(self) -> float:
        """Seconds, for ``step``."""
        return time.monotonic()

    def failed(self, error: Exception) -> None:
        """Tell an error of the types in ``passing``."""

    def pause(self, seconds: float) -> float:
        """How long to pause after an error, where the back-off has come to so many seconds."""
        return seconds


class Mailbox(Generic[T]):
    """What other threads leave for one thread: the oldest falls out above ``most``. Never waits to put."""

    def __init__(self, most: int) -> None:
        self._items: deque[T] = deque(maxlen=most)
        self._woken = threading.Event()

    def put(self, item: T) -> None:
        """Any thread: leave something, and wake the reader."""
        self._items.append(item)
        self._woken.set()

    def wake(self) -> None:
        """Any thread: end the reader's wait."""
        self._woken.set()

    def wait(self, seconds: float) -> None:
        """The reader: sleep until something was left, ``wake``, or so many seconds."""
        self._woken.wait(seconds)
        self._woken.clear()

    def take(self) -> T | None:
        """The reader: the oldest, or ``None``."""
        try:
            return self._items.popleft()
        except IndexError:
            return None


class Threads:
    """Starts threads and waits for them. ``died`` is called, on the thread itself, with the exit code
    that its death means: 2 for a start that may not go on, else 1.
    """

    def __init__(self, died: Callable[[int], None]) -> None:
        self._died = died
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, run: Callable[[], None]) -> None:
        """Run ``run`` on a new thread of that name; the main thread's, once a name."""
        thread = threading.Thread(target=lambda: self._guard(name, run), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _guard(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
        except Stopping:
            log.debug("thread_stopped", f"{name} stopped")
        except LiveTwin as error:
            log.error("live_twin", str(error))
            self._died(2)
        except RedisCluster as error:
            log.error("redis_cluster", str(error))
            self._died(2)
        except BaseException as error:  # noqa: BLE001 - a thread that dies takes the process down
            log.error("thread_died", f"the {name} thread died: {error}", exc=error)
            self._died(1)

    def join(self, *names: str, seconds: float = PARTS_SECONDS) -> list[str]:
        """Wait until those threads have ended, ``seconds`` in all at most. Returns who still runs."""
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
