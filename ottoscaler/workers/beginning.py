"""The tasks that have a slot and are not under way: they wait for their turn to create their Pod.

There are as many as may create at one time, and a few more. Still more would only cost threads. Events and
profiles have shares here as in kube/places.py. Otherwise, if the creates of some hung, no others could start.
"""

from __future__ import annotations

from collections import Counter

from ottoscaler.kube.places import event_may_take, profile_may_take
from ottoscaler.kube.throttle import CREATES
from ottoscaler.ledger.ledger import OUTLIVED_MS
from ottoscaler.workers.run import Task

MORE = 8  # tasks beyond those that may create at one time, so that a free turn is taken at once
# A suspect and any other task begin at least this long apart, unless the first is under way earlier. What the
# process survives for this long is not what kills it.
ALONE_SECONDS = OUTLIVED_MS / 1000


class Beginning:
    """Counts these tasks and knows since when they begin. The registry's lock guards it."""

    def __init__(self) -> None:
        self._events: Counter[str] = Counter()
        self._profiles: Counter[str] = Counter()
        self._since: dict[Task, float] = {}  # monotonic time of its start
        self._suspects: dict[Task, float] = {}  # those of them that are tasks of suspects

    @property
    def full(self) -> bool:
        """Whether no task of any event may start."""
        return self._free <= 0

    @property
    def _free(self) -> int:
        return CREATES + MORE - len(self._since)

    def has_room(self, profile: str) -> bool:
        """Whether the profile's share lets another of its tasks start."""
        return profile_may_take(self._free, self._profiles[profile])

    def may_start(self, event_id: str, profile: str) -> bool:
        """Whether a task of that event and profile may start, where not all is full."""
        return event_may_take(self._free, self._profiles[profile], self._events[event_id])

    def any_lately(self, now: float) -> bool:
        """Whether one started so lately that a suspect must wait."""
        return _lately(self._since, now)

    def suspect_lately(self, now: float) -> bool:
        """Whether a suspect's task started so recently that all others must wait."""
        return _lately(self._suspects, now)

    def any_of(self, event_id: str) -> bool:
        """Whether a task of the event is among these."""
        return event_id in self._events

    def start(self, task: Task, now: float) -> None:
        """Note that the task has a slot since ``now`` (monotonic). It counts as beginning until ``end``."""
        event = task.run.event
        self._events[event.event_id] += 1
        self._profiles[event.profile] += 1
        self._since[task] = now
        if task.run.suspect:
            self._suspects[task] = now

    def end(self, task: Task) -> bool:
        """Note that the task has its Pod, or waits for something other than its turn.

        True if more tasks may start now, so that waking the dispatcher is worth it.
        """
        event_id, profile = task.run.event.event_id, task.run.event.profile
        counted = ((self._events, event_id), (self._profiles, profile))
        for counts, key in counted:
            counts[key] -= 1
        del self._since[task]
        free = self._free - MORE
        # By how much the profile is over its share. Each end lowers this by 2: one held less, one free more.
        over = self._profiles[profile] - free
        worth = (
            self._suspects.pop(task, None) is not None
            or self._events[event_id] <= -over
            or -2 < over <= 0
            or free == 0
        )
        for counts, key in counted:
            if not counts[key]:
                del counts[key]
        return worth


def _lately(times: dict[Task, float], now: float) -> bool:
    return any(now - since < ALONE_SECONDS for since in times.values())
