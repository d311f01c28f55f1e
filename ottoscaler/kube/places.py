"""Bounds how many calls of one kind are in flight. Each call holds a place.

All events of one profile together may hold as many places as are free, so half of all while no other profile
holds any. One event may hold as many as its profile may still take, so a third. Calls that hang, such as
creates in a slow admission webhook, therefore leave places for the next event, of the same profile too.
Events that wait take turns.
"""

from __future__ import annotations

import threading
from collections import Counter, deque


def profile_may_take(free: int, of_profile: int) -> bool:
    """Whether a profile that holds ``of_profile`` places may take one of the ``free`` ones."""
    return of_profile < free


def event_may_take(free: int, of_profile: int, of_event: int) -> bool:
    """Whether an event that holds ``of_event`` of its profile's places may take one of the ``free`` ones."""
    return of_event < free - of_profile


class Place:
    """A place that is held or waited for. One thread has it, and gives it back with ``Places.leave``."""

    __slots__ = ("_granted", "event", "held", "profile")

    def __init__(self, event: str, profile: str) -> None:
        self.event = event
        self.profile = profile
        self.held = False  # the lock of Places guards it
        self._granted = threading.Lock()
        self._granted.acquire()

    def grant(self) -> None:
        """Only Places calls this, under its lock."""
        self.held = True
        self._granted.release()

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the place. Returns whether it is held."""
        return self.held or self._granted.acquire(timeout=seconds)


class Places:
    """The places for one kind of call. Thread-safe; its methods do not wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held = 0
        self._events: dict[str, int] = {}  # places held
        self._profiles: dict[str, int] = {}
        self._waiting: dict[str, deque[Place]] = {}  # by event; the event whose turn is next comes first
        self._waiting_profiles: Counter[str] = Counter()  # how many of those wait

    def ask(self, event: str, profile: str = "") -> Place:
        """A place. It is granted at once if one is free for that event and profile; otherwise later."""
        place = Place(event, profile)
        with self._lock:
            if self._is_free(place):
                self._grant(place)
            else:
                self._waiting.setdefault(event, deque()).append(place)
                self._waiting_profiles[profile] += 1
        return place

    def leave(self, place: Place) -> None:
        """Give the place back, or stop waiting for it. Call this once for each place."""
        with self._lock:
            if not place.held:
                self._forget(place)
                return
            self._held -= 1
            _lower(self._events, place.event)
            _lower(self._profiles, place.profile)
            while self._grant_next():
                pass

    def _grant_next(self) -> bool:
        """Grant the next waiting place that is free. Returns False if there is none.

        Hundreds of events may wait, so they are not looked at if none of their profiles may take one."""
        free = self._most - self._held
        if not any(profile_may_take(free, self._profiles.get(p, 0)) for p in self._waiting_profiles):
            return False
        for event, queue in self._waiting.items():
            if self._is_free(queue[0]):
                first = queue.popleft()
                del self._waiting[event]
                if queue:
                    self._waiting[event] = queue  # behind the others
                _lower(self._waiting_profiles, first.profile)
                self._grant(first)
                return True
        return False

    def _is_free(self, place: Place) -> bool:
        of_profile, of_event = self._profiles.get(place.profile, 0), self._events.get(place.event, 0)
        return event_may_take(self._most - self._held, of_profile, of_event)

    def _grant(self, place: Place) -> None:
        self._held += 1
        self._events[place.event] = self._events.get(place.event, 0) + 1
        self._profiles[place.profile] = self._profiles.get(place.profile, 0) + 1
        place.grant()

    def _forget(self, place: Place) -> None:
        queue = self._waiting[place.event]
        queue.remove(place)
        _lower(self._waiting_profiles, place.profile)
        if not queue:
            del self._waiting[place.event]


def _lower(counts: dict[str, int], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
