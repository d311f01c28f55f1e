"""The adopted workers that wait for a slot, by their events."""

from __future__ import annotations

from ottoscaler.model import WorkerId
from ottoscaler.workers.beginning import Beginning
from ottoscaler.workers.run import EventRun, Task


class Adoptions:
    """Admitted events with Pods to adopt, the oldest first. Its owner's lock guards it."""

    def __init__(self) -> None:
        self._runs: dict[str, EventRun] = {}

    def __bool__(self) -> bool:
        return bool(self._runs)

    def file(self, run: EventRun) -> None:
        """After its adoptees have changed."""
        if run.adoptees:
            self._runs[run.event.event_id] = run
        else:
            self._runs.pop(run.event.event_id, None)

    def forget(self, event_id: str) -> None:
        """The event is not here any more; harmless where it never was."""
        self._runs.pop(event_id, None)

    def tasks(self) -> list[Task]:
        """All of them."""
        return [task for run in self._runs.values() for task in run.adoptees]

    def next(self, beginning: Beginning, now: float) -> Task | None:
        """Take the worker that is to have the next slot; ``None`` where none may have one now."""
        for run in self._runs.values():
            if run.suspect and (run.active or beginning.any_lately(now)):
                continue
            if not run.adoptees[0].uid and beginning.suspect_lately(now):
                continue  # it would be blamed with the suspect that begins
            task = run.adoptees.popleft()
            self.file(run)
            return task
        return None

    def take(self, worker: WorkerId) -> Task | None:
        """Take this very worker; ``None`` where it does not wait."""
        run = self._runs.get(worker.event_id)
        for task in run.adoptees if run is not None else ():
            if task.worker == worker:
                task.run.adoptees.remove(task)
                self.file(task.run)
                return task
        return None
