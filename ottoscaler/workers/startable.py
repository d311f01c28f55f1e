"""The admitted events with a worker to start, and whose turn it is among them."""

from __future__ import annotations

from ottoscaler.workers.beginning import Beginning
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.turns import RETRY_WAITS_TURNS, next_of


class Startable:
    """Numbers the turns. Its owner's lock guards it."""

    def __init__(self) -> None:
        self._runs: dict[str, EventRun] = {}
        self._turn = 0  # turns given so far
        self._went_ahead = False  # the last start was a retry ahead of its turn

    def __bool__(self) -> bool:
        return bool(self._runs)

    def enter(self, run: EventRun) -> None:
        """The event has been admitted: it queues behind the present round."""
        self._turn += 1
        run.turn = self._turn

    def file(self, run: EventRun) -> None:
        """After its tasks have changed."""
        if run.fresh or run.ready:
            self._runs[run.event.event_id] = run
        else:
            self._runs.pop(run.event.event_id, None)

    def forget(self, event_id: str) -> None:
        self._runs.pop(event_id, None)

    def runs(self) -> list[EventRun]:
        """All of them."""
        return list(self._runs.values())

    def due(self, task: Task) -> None:
        """The task's time has come."""
        task.run.ready.append(task)
        task.run.due_turns.append(self._turn)
        self.file(task.run)

    def next(self, beginning: Beginning, now: float) -> Task | None:
        """Take the worker whose turn it is; ``None`` where none may start now. ``file`` its event then."""
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
            index = run.fresh.popleft()
            task = Task(run, index, 0, head_start=run.head_start if index == 0 else None)
        return task

    def put_back(self, task: Task) -> None:
        """What was taken was not begun: it comes first again. ``file`` its event then."""
        run = task.run
        if task.attempt or task.adopt:
            run.ready.appendleft(task)
            run.due_turns.appendleft(self._turn)
        else:
            run.fresh.appendleft(task.index)
            run.head_start = None  # it was taken back
        run.begun = bool(run.states)

    def _may_start(self, beginning: Beginning, now: float) -> list[EventRun]:
        """A suspect starts one worker at a time, and nothing else starts while it begins."""
        if beginning.suspect_lately(now):
            return []
        share = beginning.may_start
        return [
            run
            for run in self._runs.values()
            if share(run.event.event_id, run.event.profile) and not (run.suspect and run.active)
        ]
