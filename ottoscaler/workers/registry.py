"""The runs of this process and its slots. Nothing else takes the registry's lock."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from ottoscaler.model import WorkerId
from ottoscaler.workers.adoptions import Adoptions
from ottoscaler.workers.beginning import Beginning
from ottoscaler.workers.head_start import HeadStart
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.retries import Retries
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.startable import Startable

PAST_EVENTS = 2000  # whose ids are remembered


class RunRegistry:
    """Thread-safe. No call waits, raises, or does input or output. At most ``slots`` workers hold a slot.

    The intake adds runs. The dispatcher admits them and reserves slots. Pool threads give the slots back. The
    deleter's threads claim adopted workers that have no slot. The number of runs is bounded by what
    ``in_hand`` lets be read, by the slots, by the retries that may wait, and by what is taken over.
    """

    def __init__(self, slots: int, in_hand: InHand) -> None:
        self.slots = slots
        self.in_hand = in_hand  # counts events of which a worker has not begun, or waits for a retry
        self._lock = threading.Lock()
        self._runs: dict[str, EventRun] = {}
        self._startable = Startable()
        self._adoptions = Adoptions()
        self._retries = Retries()
        self._busy = 0
        self._admitting = 0  # runs on their way from the intake to the dispatcher
        self._beginning = Beginning()  # tasks that have a slot but are not under way yet
        self._past: dict[str, None] = {}  # events that were here, the oldest first

    # --- events come and go

    def begin(self, run: EventRun, head_start: HeadStart, now: float) -> Task | None:
        """Add an event whose first worker has begun already (:mod:`.head_start`). Returns that worker.

        The intake calls this. The worker has a slot, as after ``next_task``; the others start after
        ``admit``. ``None`` if the replica is not idle, or the event is here already.
        """
        with self._lock:
            if not self._idle or run.event.event_id in self._runs:
                return None
            task = Task(run, run.fresh.popleft(), 0, head_start=head_start)
            run.note_begun(task.index, task.attempt)
            self._hold_slot(task, now)
            self._add(run)
            return task

    def add(self, run: EventRun) -> bool:
        """Add an event and count it as in hand. No worker of it starts before ``admit``.

        The intake calls this. False if the event is here already: a reply was lost, or it came again.
        """
        event_id = run.event.event_id
        with self._lock:
            known = self._runs.get(event_id)
            if known is not None and not known.dropped and known.epoch == run.epoch:
                return False
            if known is not None:
                self._forget(known)
            self._add(run)
            return True

    def _add(self, run: EventRun) -> None:
        event_id = run.event.event_id
        self._runs[event_id] = run
        if run.fresh:
            self.in_hand.enter(event_id)
        self._admitting += 1

    def admit(self, run: EventRun) -> None:
        """Let an event's workers start from now on. The dispatcher or the intake calls this."""
        with self._lock:
            self._admitting -= 1
            if run.dropped:
                return
            self._startable.enter(run)
            for due, task in run.waiting.values():
                self._retries.add(due, task)
            self._file(run)
            self._adoptions.file(run)

    def drop(self, run: EventRun) -> None:
        """Forget an event that another replica owns now, or that has ended."""
        with self._lock:
            self._forget(run)

    def _forget(self, run: EventRun) -> None:
        run.dropped = True
        event_id = run.event.event_id
        if self._runs.get(event_id) is run:
            del self._runs[event_id]
            self.in_hand.leave(event_id)
            self.in_hand.go_on(event_id)
            self._startable.forget(event_id)
            self._adoptions.forget(event_id)
            self._past[event_id] = None
            if len(self._past) > PAST_EVENTS:
                del self._past[next(iter(self._past))]

    def _file(self, run: EventRun) -> None:
        """Update what is known of a run. Called under the lock, after its tasks have changed."""
        event_id = run.event.event_id
        self._startable.file(run)
        if not run.fresh:
            self.in_hand.leave(event_id)
        if run.waiting or run.ready:
            self.in_hand.wait(event_id)
        else:
            self.in_hand.go_on(event_id)

    def knows(self, event_id: str) -> bool:
        """Whether the event is here."""
        with self._lock:
            return event_id in self._runs

    def knew(self, event_id: str) -> bool:
        """Whether the event is here, or was among the last ``PAST_EVENTS`` that were."""
        with self._lock:
            return event_id in self._runs or event_id in self._past

    def snapshot(self) -> list[EventRun]:
        """All runs."""
        with self._lock:
            return list(self._runs.values())

    # --- what starts next

    def next_task(self, now: float, *, creating: bool = True) -> Task | None:
        """Reserve a slot for the worker whose turn it is. ``None`` if none may start now.

        Without ``creating``, only adopted workers may start. The slot is held until ``ended`` or
        ``put_back``. The task counts as beginning until ``under_way``.
        """
        with self._lock:
            if self._busy >= self.slots or self._beginning.full:
                return None
            for due in self._retries.take_due(now):
                del due.run.waiting[due.index]
                self._startable.due(due)
            task = self._adoptions.next(self._beginning, now)
            if task is None and creating:
                task = self._startable.next(self._beginning, now)
                if task is not None:
                    self._file(task.run)
            if task is not None:
                self._hold_slot(task, now)
            return task

    def _hold_slot(self, task: Task, now: float) -> None:
        task.run.active.add(task.index)
        task.run.begun = True
        self._busy += 1
        self._beginning.start(task, now)

    def due_in(self, now: float) -> float | None:
        """Seconds until the first retry is due. ``None`` if none waits."""
        with self._lock:
            return self._retries.due_in(now)

    def under_way(self, task: Task) -> bool:
        """Note that a task has its Pod, or waits for something other than its turn to create one.

        True if the dispatcher may be waiting for that, because something waits to start.
        """
        with self._lock:
            worth = self._beginning.end(task)
            self._let_plan_go(task.run)
            return worth and bool(self._startable or self._adoptions)

    def ended(self, task: Task, *, again: Task | None = None, delay: float = 0.0, left: bool = False) -> bool:
        """Give a task's slot back. ``again`` follows it in ``delay`` seconds.

        With ``left``, the worker is left as it is for the next replica. True if every slot was taken before.
        """
        with self._lock:
            full = self._busy >= self.slots
            self._busy -= 1
            self._end(task, again, delay, left=left)
            return full

    def put_back(self, task: Task) -> None:
        """Give the slot of a task back that was not begun. The task waits again as before."""
        with self._lock:
            self._busy -= 1
            run = task.run
            run.active.discard(task.index)
            if run.dropped:
                return
            self._startable.put_back(task)
            if run.fresh:
                self.in_hand.enter(run.event.event_id)
            self._file(run)

    def _end(self, task: Task, again: Task | None, delay: float, *, left: bool) -> None:
        run = task.run
        run.active.discard(task.index)
        if again is not None and not run.dropped:
            due = time.monotonic() + delay
            run.waiting[task.index] = (due, again)
            self.in_hand.wait(run.event.event_id)
            self._retries.add(due, again)
        self._let_plan_go(run)
        if not left and run.idle:
            self._forget(run)

    def _let_plan_go(self, run: EventRun) -> None:
        """Drop the plan if no worker of the run is about to be created. A retry builds it anew.

        To be called under the lock.
        """
        if not (run.fresh or run.ready or self._beginning.any_of(run.event.event_id)):
            run.plan = None

    # --- adopted workers that wait for a slot

    def adoptees(self) -> list[Task]:
        """Adopted workers that wait for a slot."""
        with self._lock:
            return self._adoptions.tasks()

    def has_adoptees(self, event_id: str) -> bool:
        """Whether an adopted worker of the event waits for a slot."""
        with self._lock:
            return event_id in self._adoptions

    def claim_adoptee(self, worker: WorkerId) -> Task | None:
        """Take an adopted worker out of the wait for a slot, to settle it without one.

        ``None`` if it does not wait. ``adoptee_ended`` or ``return_adoptee`` must follow.
        """
        with self._lock:
            task = self._adoptions.take(worker)
            if task is not None:
                task.run.active.add(task.index)
            return task

    def return_adoptee(self, task: Task) -> None:
        """Let a claimed worker wait for a slot again."""
        with self._lock:
            task.run.active.discard(task.index)
            if not task.run.dropped:
                task.run.adoptees.append(task)
                self._adoptions.file(task.run)

    def adoptee_ended(self, task: Task, *, again: Task | None = None, delay: float = 0.0) -> None:
        """Note that a claimed worker has ended. ``again`` follows it in ``delay`` seconds."""
        with self._lock:
            self._end(task, again, delay, left=False)

    # --- workers that have not begun

    def late(self, now: float, seconds: float) -> list[EventRun]:
        """Events taken more than ``seconds`` ago that have begun no worker and are not on offer."""
        with self._lock:
            return [
                run
                for run in self._startable.runs()
                if not (run.begun or run.offered) and now - run.taken_at > seconds
            ]

    def without_pods(self) -> list[EventRun]:
        """Events of which no worker has a Pod now, as far as this process knows."""
        with self._lock:
            return [run for run in self._runs.values() if not run.has_pods]

    def fresh(self, event_id: str | None = None) -> list[tuple[str, int]]:
        """Workers that have not begun: all of an event, or the first of every event if none is given."""
        with self._lock:
            if event_id is None:
                return [(run.event.event_id, run.fresh[0]) for run in self._startable.runs() if run.fresh]
            run = self._runs.get(event_id)
            return [(event_id, index) for index in run.fresh] if run is not None else []

    def skip(self, event_id: str, indexes: set[int]) -> None:
        """Forget workers of an event that ended without a Pod: they need not begin any more."""
        with self._lock:
            run = self._runs.get(event_id)
            if run is None:
                return
            run.fresh = deque(index for index in run.fresh if index not in indexes)
            self._file(run)
            if run.idle:
                self._forget(run)

    # --- how much there is

    @property
    def busy(self) -> int:
        """Slots that are taken."""
        return self._busy

    @property
    def free(self) -> int:
        """Slots that are free."""
        return self.slots - self._busy

    @property
    def idle(self) -> bool:
        """Whether a worker that came now would start at once."""
        with self._lock:
            return self._idle

    @property
    def _idle(self) -> bool:
        return not (self._busy or self._startable or self._adoptions or self._admitting)

    # --- ledgers that Redis has lost

    def lose(self, event_id: str) -> bool:
        """Note that Redis has lost an event's ledger. True if this process can write it anew."""
        with self._lock:
            run = self._runs.get(event_id)
            if run is not None:
                run.lost = True
            return run is not None

    def lost(self, *, everything: bool) -> list[EventRun]:
        """Runs whose ledger must be written anew: those that Redis lost, or with ``everything`` all."""
        with self._lock:
            return [run for run in self._runs.values() if everything or run.lost]

    def rewritten(self, runs: Iterable[EventRun]) -> None:
        """Note that the ledgers of these runs have been written anew."""
        with self._lock:
            for run in runs:
                run.lost = False
