"""The tasks that have a slot and are not under way: they wait for their turn to create their Pod.

There are as many as may create at one time, and a few more. Still more would only cost threads. Events and
profiles have shares here as in the throttle. Otherwise, if the creates of some hung, no others could start.
"""

from __future__ import annotations

from collections import Counter

from ottoscaler.kube.throttle import CREATES
from ottoscaler.ledger.ledger import OUTLIVED_MS
from ottoscaler.workers.run import Task

MORE = 4  # tasks beyond those that may create at one time, so that a free turn is taken at once
EVENT, PROFILE, ALL = CREATES.one_event, CREATES.one_profile, CREATES.everyone
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
        return len(self._since) >= ALL + MORE

    def has_room(self, profile: str) -> bool:
        """Whether the profile's share lets another of its tasks start."""
        return self._profiles[profile] < PROFILE + MORE

    def may_start(self, event_id: str, profile: str) -> bool:
        """Whether a task of that event and profile may start, where not all is full."""
        return self._events[event_id] < EVENT + MORE and self.has_room(profile)

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
