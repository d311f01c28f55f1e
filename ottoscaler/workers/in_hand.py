"""What this replica has in hand, and so how much more the listener may read."""

from __future__ import annotations

import threading


class InHand:
    """Counts events of which some worker has not begun, and scale_downs that are not applied yet.

    The listener reads no more once there are ``most`` of them. Events that wait for a retry hold no slot but
    do hold memory, so it reads nothing while there are ``most_waiting`` of those. Thread-safe.
    """

    def __init__(self, most: int, most_waiting: int) -> None:
        self.most = most
        self.most_waiting = most_waiting
        self._events: set[str] = set()
        self._waiting: set[str] = set()
        self._least = 1  # the room that the listener waits for
        self._room = threading.Condition(threading.Lock())

    def enter(self, event_id: str) -> None:
        """Count the event."""
        with self._room:
            self._events.add(event_id)

    def leave(self, event_id: str) -> None:
        """Stop counting the event. Does nothing if it is not counted."""
        if event_id not in self._events:
            return
        with self._room:
            self._events.discard(event_id)
            self._tell()

    def wait(self, event_id: str) -> None:
        """Note that a worker of the event waits for a retry."""
        if event_id not in self._waiting:
            with self._room:
                self._waiting.add(event_id)

    def go_on(self, event_id: str) -> None:
        """Note that no worker of the event waits for a retry any more. Does nothing if none did."""
        if event_id in self._waiting:
            with self._room:
                self._waiting.discard(event_id)
                self._tell()

    def count(self) -> int:
        """How many events and scale_downs are counted."""
        return len(self._events)

    def room(self) -> int:
        """How many more events may be read."""
        if len(self._waiting) >= self.most_waiting:
            return 0
        return max(0, self.most - len(self._events))

    def wait_for_fewer(self, most: int, seconds: float) -> None:
        """Sleep until fewer than ``most`` are counted, ``seconds`` at most. The listener calls this."""
        if len(self._events) >= most:
            with self._room:
                self._least = 1
                self._room.wait_for(lambda: len(self._events) < most, seconds)

    def wait_for_room(self, seconds: float, least: int = 1) -> bool:
        """Sleep until there is room for ``least`` events. False if there is not after ``seconds``.

        The listener calls this.
        """
        with self._room:
            self._least = least
            return self._room.wait_for(lambda: self.room() >= least, seconds)

    def _tell(self) -> None:
        """Under the lock: wake the listener if there is what it waits for."""
        if self.room() >= self._least:
            self._room.notify_all()
