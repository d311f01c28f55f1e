"""The tasks that have been started and wait for their create: as many as find a place there, and a few more.

More would only cost threads. Events and profiles have shares here as in the throttle, or those whose creates
hang would keep the others from being started at all.
"""

from __future__ import annotations

from collections import Counter

from ottoscaler.kube.throttle import CREATES
from ottoscaler.ledger.ledger import OUTLIVED_MS
from ottoscaler.workers.run import Task

MORE = 4  # tasks beyond the places, so that a place that falls free is taken at once
EVENT, PROFILE, ALL = CREATES.one_event, CREATES.one_profile, CREATES.everyone
# A suspect and any other begin no closer than this, unless the first of them is under way by then: what the
# process outlives so long is not what it dies of.
ALONE_SECONDS = OUTLIVED_MS / 1000


class Beginning:
    """Which they are, and since when. Its owner's lock guards it."""

    def __init__(self) -> None:
        self._events: Counter[str] = Counter()
        self._profiles: Counter[str] = Counter()
        self._since: dict[Task, float] = {}  # monotonic time of its start
        self._suspects: dict[Task, float] = {}  # of them, those of suspects

    @property
    def full(self) -> bool:
        """Whether no task may start, whichever event's it is."""
        return len(self._since) >= ALL + MORE

    def has_room(self, profile: str) -> bool:
        """Whether a task of that profile may start, as far as the profile's share goes."""
        return self._profiles[profile] < PROFILE + MORE

    def may_start(self, event_id: str, profile: str) -> bool:
        """Whether a task of that event and profile may start, where not all is full."""
        return self._events[event_id] < EVENT + MORE and self.has_room(profile)

    def any_lately(self, now: float) -> bool:
        """Whether one started so lately that a suspect must wait."""
        return _lately(self._since, now)

    def suspect_lately(self, now: float) -> bool:
        """Whether a suspect's started so lately that the others must wait."""
        return _lately(self._suspects, now)

    def any_of(self, event_id: str) -> bool:
        """Whether some task of the event is among them."""
        return event_id in self._events

    def start(self, task: Task, now: float) -> None:
        """The task was given a slot now, and counts as beginning until ``end``."""
        event = task.run.event
        self._events[event.event_id] += 1
        self._profiles[event.profile] += 1
        self._since[task] = now
        if task.run.suspect:
            self._suspects[task] = now

    def end(self, task: Task) -> bool:
        """It has its Pod, or waits for something else than its turn. True where that lets several more start,
        which is worth a wake."""
        event_id, profile = task.run.event.event_id, task.run.event.profile
        counted = ((self._events, event_id), (self._profiles, profile))
        for counts, key in counted:
            counts[key] -= 1
        del self._since[task]
        worth = (
            self._suspects.pop(task, None) is not None
            or self._events[event_id] <= EVENT
            or self._profiles[profile] == PROFILE
            or len(self._since) == ALL
        )
        for counts, key in counted:
            if not counts[key]:
                del counts[key]
        return worth


def _lately(times: dict[Task, float], now: float) -> bool:
    return any(now - since < ALONE_SECONDS for since in times.values())
