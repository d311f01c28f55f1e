"""The queue that the dispatcher reads: owned events, and workers with a head start."""

from __future__ import annotations

import queue
import threading

from ottoscaler.workers.run import EventRun, Task


class Inbox:
    """Any thread puts; the dispatcher takes.

    Its size is bounded although the queue itself is not. The listener puts no more events than fit in hand,
    the takeover no more than a replica may own, and at most one wake-up and one worker with a head start are
    in it at a time.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[EventRun | Task | None] = queue.Queue()
        self._woken = threading.Event()

    def put(self, one: EventRun | Task) -> None:
        """Hand over an event that this replica owns, or a worker that has its slot already."""
        self._queue.put(one)

    def wake(self) -> None:
        """Have the dispatcher look for something to start."""
        if not self._woken.is_set():
            self._woken.set()
            self._queue.put(None)

    def take(self, seconds: float) -> list[EventRun | Task | None]:
        """Wait at most ``seconds`` for something, then return all that is there. ``None`` is a wake-up.

        The dispatcher calls this.
        """
        found: list[EventRun | Task | None] = []
        try:
            one = self._queue.get(timeout=seconds)
            while True:
                found.append(one)
                if one is None:
                    self._woken.clear()
                one = self._queue.get_nowait()
        except queue.Empty:
            return found
