"""The runs of this process and its slots. The only holder of its lock."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable

from ottoscaler.ledger.ledger import OUTLIVED_MS
from ottoscaler.model import WorkerId
from ottoscaler.workers.beginning import Beginning
from ottoscaler.workers.in_hand import InHand
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.turns import RETRY_WAITS_TURNS, next_of

# A suspect and any other begin no closer than this, unless the first of them is under way by then: what the
# process outlives so long is not what it dies of.
ALONE_SECONDS = OUTLIVED_MS / 1000
PAST_EVENTS = 2000  # that are remembered by their ids


class RunRegistry:
    """Thread-safe; no call waits. ``slots`` is how many workers may hold one at a time."""

    def __init__(self, slots: int, in_hand: InHand) -> None:
        self.slots = slots
        self.in_hand = in_hand  # told of the events of which some worker has not begun, or waits for a retry
        self._lock = threading.Lock()
        self._runs: dict[str, EventRun] = {}
        self._startable: dict[str, EventRun] = {}  # admitted, with a worker to start
        self._adopting: dict[str, EventRun] = {}  # admitted, with Pods to adopt
        self._due: list[tuple[float, int, Task]] = []  # a heap of what waits: the dropped stay till then
        self._order = itertools.count()  # for equal times
        self._turn = 0  # turns given so far
        self._went_ahead = False  # the last start was a retry ahead of its turn
        self._busy = 0
        self._admitting = 0  # runs on their way from the intake to the dispatcher
        self._beginning = Beginning()  # of them, tasks that were submitted and are not under way yet
        self._begun_at: dict[int, float] = {}  # each of those, by its identity
        self._alone: dict[int, float] = {}  # and those of them that are a suspect's
        self._lost: set[str] = set()  # events whose ledger Redis has lost
        self._past: dict[str, None] = {}  # events that were here, the oldest first

    # --- events come and go

    def add(self, run: EventRun) -> bool:
        """The intake: count it as in hand. False where the event is here already (its reply was lost, or it
        was delivered again). Nothing of it starts before ``admit``."""
        event_id = run.event.event_id
        with self._lock:
            known = self._runs.get(event_id)
            if known is not None and not known.dropped and known.epoch == run.epoch:
                return False
            if known is not None:
                self._forget(known)
            self._runs[event_id] = run
            if run.fresh:
                self.in_hand.enter(event_id)
            self._admitting += 1
            return True

    def admit(self, run: EventRun) -> None:
        """The dispatcher: from now on its workers may start."""
        with self._lock:
            self._admitting -= 1
            if run.dropped:
                return
            self._turn += 1
            run.turn = self._turn
            for due, task in run.waiting.values():
                heapq.heappush(self._due, (due, next(self._order), task))
            self._file(run)
            if run.adoptees:
                self._adopting[run.event.event_id] = run

    def drop(self, run: EventRun) -> None:
        """The event is another replica's now, or it has ended: forget it."""
        with self._lock:
            self._forget(run)

    def _forget(self, run: EventRun) -> None:
        run.dropped = True
        event_id = run.event.event_id
        if self._runs.get(event_id) is run:
            del self._runs[event_id]
            self.in_hand.leave(event_id)
            self.in_hand.go_on(event_id)
            self._startable.pop(event_id, None)
            self._adopting.pop(event_id, None)
            self._past[event_id] = None
            if len(self._past) > PAST_EVENTS:
                del self._past[next(iter(self._past))]

    def _file(self, run: EventRun) -> None:
        """Under the lock, after its tasks have changed."""
        event_id = run.event.event_id
        if run.fresh or run.ready:
            self._startable[event_id] = run
        else:
            self._startable.pop(event_id, None)
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
        """Whether the event is here, or was lately."""
        with self._lock:
            return event_id in self._runs or event_id in self._past

    def snapshot(self) -> list[EventRun]:
        """All runs."""
        with self._lock:
            return list(self._runs.values())

    # --- what starts next

    def next_task(self, now: float, *, creating: bool = True) -> Task | None:
        """Reserve a slot for the worker whose turn it is; ``None`` where none may start now. Without
        ``creating``, only those that have begun already.

        The slot is held until ``ended``, and counts as beginning until ``under_way``.
        """
        with self._lock:
            if self._busy >= self.slots or self._beginning.full:
                return None
            self._wake_due(now)
            task = self._next_adoptee(now) or (self._next_start(now) if creating else None)
            if task is not None:
                self._begun_at[id(task)] = now
                if task.run.suspect:
                    self._alone[id(task)] = now
                task.run.active.add(task.index)
                task.run.begun = True
                self._busy += 1
                self._beginning.start(task.run.event.event_id, task.run.event.profile)
            return task

    def _wake_due(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            task = heapq.heappop(self._due)[2]
            run = task.run
            waiting = run.waiting.get(task.index)
            if not run.dropped and waiting is not None and waiting[1] is task:
                del run.waiting[task.index]
                run.ready.append(task)
                run.due_turns.append(self._turn)
                self._file(run)

    def _next_adoptee(self, now: float) -> Task | None:
        for event_id, run in self._adopting.items():
            if run.suspect and (run.active or _lately(self._begun_at, now)):
                continue
            if not run.adoptees[0].uid and _lately(self._alone, now):
                continue  # it would be blamed with the suspect that begins
            task = run.adoptees.popleft()
            if not run.adoptees:
                del self._adopting[event_id]
            return task
        return None

    def _next_start(self, now: float) -> Task | None:
        run = next_of(self._may_start(now), self._turn + 1, went_ahead=self._went_ahead)
        if run is None or (run.suspect and _lately(self._begun_at, now)):
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
        self._file(run)
        return task

    def _may_start(self, now: float) -> list[EventRun]:
        """A suspect starts one worker at a time, and nothing else starts while it begins."""
        if _lately(self._alone, now):
            return []
        share = self._beginning.may_start
        return [
            run
            for run in self._startable.values()
            if share(run.event.event_id, run.event.profile) and not (run.suspect and run.active)
        ]

    def due_in(self, now: float) -> float | None:
        """Seconds until the first retry is due; ``None`` where none waits."""
        with self._lock:
            return max(0.0, self._due[0][0] - now) if self._due else None

    def under_way(self, task: Task) -> bool:
        """A task has its Pod, or waits for something else than its turn to create one. True where the
        dispatcher may be waiting for that."""
        with self._lock:
            self._begun_at.pop(id(task), None)
            was_alone = self._alone.pop(id(task), None) is not None
            return self._beginning.end(task.run.event.event_id, task.run.event.profile) or was_alone

    def ended(self, task: Task, *, again: Task | None = None, delay: float = 0.0, left: bool = False) -> bool:
        """Give a task's slot back. ``again`` is to follow it in ``delay`` seconds; with ``left`` the worker
        stays as it is, for the next replica. True where every slot was taken before."""
        with self._lock:
            full = self._busy >= self.slots
            self._busy -= 1
            self._end(task, again, delay, left=left)
            return full

    def _end(self, task: Task, again: Task | None, delay: float, *, left: bool) -> None:
        run = task.run
        run.active.discard(task.index)
        if again is not None and not run.dropped:
            due = time.monotonic() + delay
            run.waiting[task.index] = (due, again)
            self.in_hand.wait(run.event.event_id)
            heapq.heappush(self._due, (due, next(self._order), again))
        if not left and run.idle:
            self._forget(run)

    # --- adopted workers that wait for a slot

    def adoptees(self) -> list[Task]:
        """Adopted workers that wait for a slot."""
        with self._lock:
            return [task for run in self._adopting.values() for task in run.adoptees]

    def claim_adoptee(self, worker: WorkerId) -> Task | None:
        """Take one of them without a slot, to be given back by ``adoptee_ended`` or ``return_adoptee``."""
        with self._lock:
            run = self._adopting.get(worker.event_id)
            for task in run.adoptees if run is not None else ():
                if task.worker == worker:
                    task.run.adoptees.remove(task)
                    if not task.run.adoptees:
                        del self._adopting[worker.event_id]
                    task.run.active.add(task.index)
                    return task
        return None

    def return_adoptee(self, task: Task) -> None:
        """It goes on waiting for a slot."""
        with self._lock:
            task.run.active.discard(task.index)
            if not task.run.dropped:
                task.run.adoptees.append(task)
                self._adopting[task.run.event.event_id] = task.run

    def adoptee_ended(self, task: Task, *, again: Task | None = None, delay: float = 0.0) -> None:
        """It has ended without a slot."""
        with self._lock:
            self._end(task, again, delay, left=False)

    # --- workers that have not begun

    def late(self, now: float, seconds: float) -> list[EventRun]:
        """Events that were taken longer ago, have begun no worker and are not on offer."""
        with self._lock:
            return [
                run
                for run in self._startable.values()
                if not run.begun and not run.offered and now - run.taken_at > seconds
            ]

    def without_pods(self) -> list[EventRun]:
        """Events of which no worker has a Pod now, as far as this process knows."""
        with self._lock:
            return [run for run in self._runs.values() if not run.has_pods]

    def withdraw_head_start(self, run: EventRun) -> bool:
        """From now on its first worker begins as any other. True where it had begun and not started."""
        with self._lock:
            stood = run.head_start is not None and 0 in run.fresh
            run.head_start = None
            return stood

    def fresh(self, event_id: str | None = None) -> list[tuple[str, int]]:
        """Workers that have not begun: all of an event, or without one the first of each."""
        with self._lock:
            if event_id is None:
                return [(each, run.fresh[0]) for each, run in self._startable.items() if run.fresh]
            run = self._runs.get(event_id)
            return [(event_id, index) for index in run.fresh] if run is not None else []

    def skip(self, event_id: str, indexes: set[int]) -> None:
        """These need not begin any more: they ended without a Pod."""
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
        """Slots that are not."""
        return self.slots - self._busy

    @property
    def idle(self) -> bool:
        """Whether a worker that came now would be created at once."""
        with self._lock:
            return not (self._busy or self._startable or self._adopting or self._admitting)

    # --- ledgers that Redis has lost

    def lose(self, event_id: str) -> bool:
        """Note that Redis has lost an event's ledger. True where this process can write it anew."""
        with self._lock:
            if event_id not in self._runs:
                return False
            self._lost.add(event_id)
            return True

    def lost(self, *, everything: bool) -> list[EventRun]:
        """Runs whose ledger is to be written anew: all, or those that were lost."""
        with self._lock:
            return [run for each, run in self._runs.items() if everything or each in self._lost]

    def rewritten(self, runs: Iterable[EventRun]) -> None:
        """Their ledgers are there again. Also forgets those of events that are here no more."""
        with self._lock:
            self._lost -= {run.event.event_id for run in runs}
            self._lost &= self._runs.keys()


def _lately(times: dict[int, float], now: float) -> bool:
    return any(now - since < ALONE_SECONDS for since in times.values())
