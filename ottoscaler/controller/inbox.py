"""The queue between those who own events and the dispatcher."""

from __future__ import annotations

import queue
import threading

from ottoscaler.workers.run import EventRun


class Inbox:
    """Any thread puts, the dispatcher takes. Bounded by construction: the listener puts what fits in hand,
    the takeover what a replica may own, and a wake-up is in it once at a time."""

    def __init__(self) -> None:
        self._queue: queue.Queue[EventRun | None] = queue.Queue()
        self._woken = threading.Event()

    def put(self, run: EventRun) -> None:
        """Hand over an event that this replica owns."""
        self._queue.put(run)

    def wake(self) -> None:
        """Have the dispatcher look for something to start."""
        if not self._woken.is_set():
            self._woken.set()
            self._queue.put(None)

    def take(self, seconds: float) -> list[EventRun]:
        """The dispatcher: wait at most so long for a first one or a wake-up, then take all there are."""
        runs = []
        try:
            found = self._queue.get(timeout=seconds)
            while True:
                if found is None:
                    self._woken.clear()
                else:
                    runs.append(found)
                found = self._queue.get_nowait()
        except queue.Empty:
            return runs
