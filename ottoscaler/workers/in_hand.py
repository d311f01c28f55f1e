"""How much this replica has in hand: the bounds on what the listener reads."""

from __future__ import annotations

import threading


class InHand:
    """Events read of which some worker has not begun, and scale_downs not applied yet: ``most`` of them.

    Events that wait for a retry hold no slot, only memory: with ``most_waiting`` of them, nothing more is
    read. Thread-safe.
    """

    def __init__(self, most: int, most_waiting: int) -> None:
        self.most = most
        self.most_waiting = most_waiting
        self._events: set[str] = set()
        self._waiting: set[str] = set()
        self._room = threading.Condition(threading.Lock())

    def enter(self, event_id: str) -> None:
        """Count the event."""
        with self._room:
            self._events.add(event_id)

    def leave(self, event_id: str) -> None:
        """Count it no longer. Harmless where it was not counted."""
        if event_id not in self._events:
            return
        with self._room:
            self._events.discard(event_id)
            self._room.notify_all()

    def wait(self, event_id: str) -> None:
        """Some worker of the event waits for a retry."""
        if event_id not in self._waiting:
            with self._room:
                self._waiting.add(event_id)

    def go_on(self, event_id: str) -> None:
        """None does any more. Harmless where none did."""
        if event_id in self._waiting:
            with self._room:
                self._waiting.discard(event_id)
                self._room.notify_all()

    def count(self) -> int:
        """How many there are."""
        return len(self._events)

    def room(self) -> int:
        """How many more events may be read."""
        if len(self._waiting) >= self.most_waiting:
            return 0
        return max(0, self.most - len(self._events))

    def wait_for_fewer(self, most: int, seconds: float) -> bool:
        """The listener: sleep until there are fewer than ``most``. False where there are not after so many
        seconds."""
        if len(self._events) < most:
            return True
        with self._room:
            return self._room.wait_for(lambda: len(self._events) < most, seconds)

    def wait_for_room(self, seconds: float) -> bool:
        """The listener: sleep until there is room. False where there is none after so many seconds."""
        with self._room:
            return self._room.wait_for(lambda: self.room() > 0, seconds)
