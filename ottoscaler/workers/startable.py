"""The admitted events that have a worker to start, and the choice of the next one."""

from __future__ import annotations

from ottoscaler.workers.beginning import Beginning
from ottoscaler.workers.lane import Lane
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.turns import RETRY_WAITS_TURNS, next_of


class Startable:
    """Numbers the turns. The registry's lock guards it."""

    def __init__(self) -> None:
        self._runs: dict[str, EventRun] = {}
        self._lanes: dict[str, Lane] = {}  # by profile, as a profile has a share of what begins
        self._suspects: dict[str, EventRun] = {}  # in no lane; they are few
        self._turn = 0  # turns given so far
        self._went_ahead = False  # whether the last start was a retry ahead of its turn

    def __bool__(self) -> bool:
        return bool(self._runs)

    def enter(self, run: EventRun) -> None:
        """Let an admitted event queue behind the present round."""
        self._turn += 1
        run.turn = self._turn

    def file(self, run: EventRun) -> None:
        """Update an event's place. To be called after its tasks have changed."""
        event_id = run.event.event_id
        if not (run.fresh or run.ready):
            self.forget(event_id)
            return
        self._runs[event_id] = run
        if run.suspect:
            self._suspects[event_id] = run
        else:
            self._lanes.setdefault(run.event.profile, Lane()).file(run)

    def forget(self, event_id: str) -> None:
        """Remove the event. Does nothing if it is not here."""
        run = self._runs.pop(event_id, None)
        self._suspects.pop(event_id, None)
        lane = self._lanes.get(run.event.profile) if run is not None else None
        if run is not None and lane is not None:
            lane.forget(event_id)
            if not lane:
                del self._lanes[run.event.profile]

    def runs(self) -> list[EventRun]:
        """All events that have a worker to start."""
        return list(self._runs.values())

    def due(self, task: Task) -> None:
        """Add a retry that has become due."""
        task.run.ready.append(task)
        task.run.due_turns.append(self._turn)
        self.file(task.run)

    def next(self, beginning: Beginning, now: float) -> Task | None:
        """Take the worker whose turn it is. ``None`` if none may start now.

        The caller must ``file`` its event.
        """
        run = next_of(self._may_start(beginning, now), self._turn + 1, went_ahead=self._went_ahead)
        if run is None or (run.suspect and beginning.any_lately(now)):
            return None
        self._turn += 1
        self._went_ahead = run.retry_due is not None and self._turn - run.retry_due > RETRY_WAITS_TURNS
        run.turn = self._turn
        if run.ready:
            task = run.ready.popleft()
            run.due_turns.popleft()
        else:
            task = Task(run, run.fresh.popleft(), 0)
        return task

    def put_back(self, task: Task) -> None:
        """Put a task that was not begun back in the first place. The caller must ``file`` its event."""
        run = task.run
        if task.attempt or task.adopt:
            run.ready.appendleft(task)
            run.due_turns.appendleft(self._turn)
        else:
            run.fresh.appendleft(task.index)
        run.begun = bool(run.states)

    def _may_start(self, beginning: Beginning, now: float) -> list[EventRun]:
        """The events that may be next.

        A suspect starts one worker at a time. No other worker starts while that one begins.
        """
        if beginning.suspect_lately(now):
            return []
        for run in [run for run in self._suspects.values() if not run.suspect]:  # it has made progress
            del self._suspects[run.event.event_id]
            self.file(run)
        found = [run for run in self._suspects.values() if not run.active and _has_share(beginning, run)]
        for profile, lane in self._lanes.items():
            if beginning.has_room(profile):
                found += lane.shortlist(lambda run: _has_share(beginning, run))
        return found


def _has_share(beginning: Beginning, run: EventRun) -> bool:
    return beginning.may_start(run.event.event_id, run.event.profile)
