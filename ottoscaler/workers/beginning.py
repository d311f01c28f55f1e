"""How many tasks have been started and wait for their create: as many as find a place there, and a few more.

More would only cost threads. Events and profiles have shares here as in the throttle, or those whose creates
hang would keep the others from being started at all.
"""

from __future__ import annotations

from collections import Counter

from ottoscaler.kube.throttle import CREATES

MORE = 4  # tasks beyond the places, so that a place that falls free is taken at once
EVENT, PROFILE, ALL = CREATES.one_event, CREATES.one_profile, CREATES.everyone


class Beginning:
    """The counts. Its owner's lock guards it."""

    def __init__(self) -> None:
        self._events: Counter[str] = Counter()
        self._profiles: Counter[str] = Counter()
        self._all = 0

    @property
    def full(self) -> bool:
        """Whether no task may start, whichever event's it is."""
        return self._all >= ALL + MORE

    def may_start(self, event_id: str, profile: str) -> bool:
        """Whether a task of that event and profile may start, where not all is full."""
        return self._events[event_id] < EVENT + MORE and self._profiles[profile] < PROFILE + MORE

    def start(self, event_id: str, profile: str) -> None:
        self._events[event_id] += 1
        self._profiles[profile] += 1
        self._all += 1

    def end(self, event_id: str, profile: str) -> bool:
        """It has its Pod, or waits for something else than its turn. True where that lets several more start,
        which is worth a wake."""
        for counts, key in ((self._events, event_id), (self._profiles, profile)):
            counts[key] -= 1
        self._all -= 1
        worth = self._events[event_id] <= EVENT or self._profiles[profile] == PROFILE or self._all == ALL
        for counts, key in ((self._events, event_id), (self._profiles, profile)):
            if not counts[key]:
                del counts[key]
        return worth
