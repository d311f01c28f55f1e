"""The queue of owned events that the dispatcher reads."""

from __future__ import annotations

import queue
import threading

from ottoscaler.workers.run import EventRun


class Inbox:
    """Any thread puts; the dispatcher takes.

    Its size is bounded although the queue itself is not. The listener puts no more events than fit in hand,
    the takeover no more than a replica may own, and at most one wake-up is in it at a time.
    """

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
        """Wait at most ``seconds`` for an event or a wake-up, then return all events that are there.

        The dispatcher calls this.
        """
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
