"""Places in flight: how many calls of one kind are under way at one time, and whose.

An event holds at most its share, and so do all events of a profile together, so that calls of theirs that
hang leave places to the others. Events that wait take turns.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shares:
    """How many places there are: for all, for one event, for one profile's events together."""

    everyone: int
    one_event: int
    one_profile: int


class Place:
    """A place, or the wish for one. For one thread, which gives it back with ``Places.leave``."""

    __slots__ = ("_granted", "event", "held", "profile")

    def __init__(self, event: str, profile: str) -> None:
        self.event = event
        self.profile = profile
        self.held = False  # the lock of Places guards it
        self._granted = threading.Lock()
        self._granted.acquire()

    def grant(self) -> None:
        """Places only, under its lock."""
        self.held = True
        self._granted.release()

    def wait(self, seconds: float) -> bool:
        """Whether the place is there, or comes within ``seconds``."""
        return self.held or self._granted.acquire(timeout=seconds)


class Places:
    """The places for one kind of call. Thread-safe; nothing here waits."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._lock = threading.Lock()
        self._held = 0
        self._events: dict[str, int] = {}  # places held
        self._profiles: dict[str, int] = {}
        self._waiting: dict[str, deque[Place]] = {}  # by event, the one whose turn it is first

    def ask(self, event: str, profile: str = "") -> Place:
        """A place, granted at once where one is free for that event and profile."""
        place = Place(event, profile)
        with self._lock:
            if self._is_free(place):
                self._grant(place)
            else:
                self._waiting.setdefault(event, deque()).append(place)
        return place

    def leave(self, place: Place) -> None:
        """Give the place back, or the wish for it up. Once for each place."""
        with self._lock:
            if not place.held:
                self._forget(place)
                return
            self._held -= 1
            _lower(self._events, place.event)
            _lower(self._profiles, place.profile)
            # One was given back, so one at most can be granted.
            for event, queue in self._waiting.items():
                if self._is_free(queue[0]):
                    first = queue.popleft()
                    del self._waiting[event]
                    if queue:
                        self._waiting[event] = queue  # behind the others
                    self._grant(first)
                    return

    def _is_free(self, place: Place) -> bool:
        shares = self._shares
        return (
            self._held < shares.everyone
            and self._events.get(place.event, 0) < shares.one_event
            and self._profiles.get(place.profile, 0) < shares.one_profile
        )

    def _grant(self, place: Place) -> None:
        self._held += 1
        self._events[place.event] = self._events.get(place.event, 0) + 1
        self._profiles[place.profile] = self._profiles.get(place.profile, 0) + 1
        place.grant()

    def _forget(self, place: Place) -> None:
        queue = self._waiting[place.event]
        queue.remove(place)
        if not queue:
            del self._waiting[place.event]


def _lower(counts: dict[str, int], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
