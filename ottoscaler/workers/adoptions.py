"""The adopted workers that wait for a slot, by event."""

from __future__ import annotations

from ottoscaler.model import WorkerId
from ottoscaler.workers.beginning import Beginning
from ottoscaler.workers.run import EventRun, Task


class Adoptions:
    """Admitted events with Pods to adopt, the oldest first. The registry's lock guards it."""

    def __init__(self) -> None:
        self._runs: dict[str, EventRun] = {}

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._runs

    def file(self, run: EventRun) -> None:
        """Update the event's place. To be called after its adoptees have changed."""
        if run.adoptees:
            self._runs[run.event.event_id] = run
        else:
            self._runs.pop(run.event.event_id, None)

    def forget(self, event_id: str) -> None:
        """Remove the event. Does nothing if it is not here."""
        self._runs.pop(event_id, None)

    def tasks(self) -> list[Task]:
        """All adopted workers that wait for a slot."""
        return [task for run in self._runs.values() for task in run.adoptees]

    def next(self, beginning: Beginning, now: float) -> Task | None:
        """Take the worker that gets the next slot. ``None`` if none may start now."""
        for run in self._runs.values():
            if run.suspect and (run.active or beginning.any_lately(now)):
                continue
            if not run.adoptees[0].uid and beginning.suspect_lately(now):
                continue  # if the process died, it would be blamed like the suspect that begins
            task = run.adoptees.popleft()
            self.file(run)
            return task
        return None

    def take(self, worker: WorkerId) -> Task | None:
        """Take this very worker. ``None`` if it does not wait."""
        run = self._runs.get(worker.event_id)
        for task in run.adoptees if run is not None else ():
            if task.worker == worker:
                task.run.adoptees.remove(task)
                self.file(task.run)
                return task
        return None
