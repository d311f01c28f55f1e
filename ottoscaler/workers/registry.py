"""The events in flight in this process: what of each has begun, waits, or is done.

The ledger is the truth; this is what one replica remembers of it, so that it can choose what to start next
and can write the ledger anew where Redis was emptied.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from ottoscaler.ledger.records import IndexState, Record
from ottoscaler.model import ScaleUp, WorkerId
from ottoscaler.pods.plan import PodPlan

LONGEST_RETRY_SECONDS = 60.0  # the back-off of attempts doubles up to here


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt that a slot is wanted for. ``adopt``: the ledger says that it has begun already."""

    run: EventRun
    index: int
    attempt: int
    adopt: bool = False
    uid: str = ""  # of an adopted Pod, where the ledger knows it
    avoid_node: str = ""
    began: int = 0  # the lease's grant under which the ledger began it as the event was taken
    mishaps: int = 0  # errors of our own in working on it

    @property
    def worker(self) -> WorkerId:
        return WorkerId(self.run.event.event_id, self.index, self.attempt)


class EventRun:
    """One scale_up that this replica owns. Guarded by its flight's lock where several threads meet."""

    def __init__(self, event: ScaleUp, plan: PodPlan | None, record: Record, *, began: int = 0) -> None:
        self.event = event
        self.plan = plan  # None: no Pod of it can be built any more; what has begun is only ended
        self.body = record.body
        self.epoch = record.epoch
        self.strikes = record.strikes
        self.taken_at = time.monotonic()
        self.dropped = False  # fenced off: touch nothing of it any more
        self.leaving = False  # a stop waits for none of its workers, as none of them runs
        self.progressed = False
        self.begun = any(state.kind != "waiting" for state in record.indexes.values())
        self.offered = False
        self.told_latency = bool(record.indexes) or record.epoch > 1
        self.began_first = began  # for the task of index 0
        self.fresh: deque[int] = deque(i for i in range(event.pod_count) if i not in record.indexes)
        self.adoptees: deque[Task] = deque()
        self.ready: deque[Task] = deque()  # retries whose time has come, and tasks to do again
        self.waiting: dict[int, tuple[float, Task]] = {}  # index: (monotonic due time, task)
        self.active: set[int] = set()
        self.states: dict[int, str] = {}  # index: its state as the ledger has it, for a reseed
        if began:
            self.note_begun(0, 0)
        now_ms = time.time() * 1000
        for index, state in sorted(record.indexes.items()):
            self._remember(index, state, now_ms)

    def _remember(self, index: int, state: IndexState, now_ms: float) -> None:
        if state.kind == "done":
            self.note_done(index, state.attempt, state.status, state.uid)
        elif state.kind == "waiting":
            self.note_waiting(index, state.attempt, state.due_ms, state.avoid_node)
            task = Task(self, index, state.attempt, avoid_node=state.avoid_node)
            # Bounded, since Redis's clock and ours may differ by hours.
            delay = min(max(0.0, (state.due_ms - now_ms) / 1000), LONGEST_RETRY_SECONDS)
            self.waiting[index] = (time.monotonic() + delay, task)
        else:
            self.note_begun(index, state.attempt, state.uid)
            self.adoptees.append(Task(self, index, state.attempt, adopt=True, uid=state.uid))

    def note_begun(self, index: int, attempt: int, uid: str = "") -> None:
        self.states[index] = f"s:{attempt}:{uid}"
        if uid:
            self.progressed = True

    def note_waiting(self, index: int, attempt: int, due_ms: int, avoid_node: str) -> None:
        self.states[index] = f"w:{attempt}:{due_ms}:{avoid_node}"

    def note_done(self, index: int, attempt: int, status: str, uid: str) -> None:
        self.states[index] = f"d:{attempt}:{status}:{uid}"
        self.progressed = True

    @property
    def idle(self) -> bool:
        """Whether nothing of it is running or waits to be run by this process."""
        return not (self.fresh or self.adoptees or self.ready or self.waiting or self.active)


@dataclass
class Flight:
    """All runs of this process, and how much is in hand. Thread-safe."""

    most_in_hand: int
    runs: dict[str, EventRun] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    forgotten: set[str] = field(default_factory=set)  # events whose ledger Redis has lost
    downs: dict[str, int] = field(default_factory=dict)  # scale_downs owned, with their epochs
    _unapplied: set[str] = field(default_factory=set)
    _room: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        # Over the same lock: a condition of its own deadlocked with `changed` under the flight's lock.
        self._room = threading.Condition(self.lock)

    def add(self, run: EventRun) -> bool:
        """False where the event is here already (its reply was lost, or it was delivered again)."""
        with self.lock:
            known = self.runs.get(run.event.event_id)
            if known is not None and not known.dropped and known.epoch == run.epoch:
                return False
            if known is not None:
                known.dropped = True
            self.runs[run.event.event_id] = run
            return True

    def add_down(self, event_id: str, epoch: int) -> bool:
        """A scale_down that is being applied: it is in hand until its intents are durable."""
        with self.lock:
            if self.downs.get(event_id) == epoch:
                return False
            self.downs[event_id] = epoch
            self._unapplied.add(event_id)
            return True

    def down_applied(self, event_id: str) -> None:
        with self.lock:
            self._unapplied.discard(event_id)
        self.changed()

    def end_down(self, event_id: str, epoch: int) -> None:
        with self.lock:
            if self.downs.get(event_id) == epoch:
                del self.downs[event_id]
        self.down_applied(event_id)

    def knows(self, event_id: str) -> bool:
        with self.lock:
            return event_id in self.runs or event_id in self.downs

    def drop(self, run: EventRun) -> None:
        """The event is another replica's now, or it has ended: forget it."""
        with self.lock:
            run.dropped = True
            if self.runs.get(run.event.event_id) is run:
                del self.runs[run.event.event_id]
        self.changed()

    def in_hand(self) -> int:
        """Events of which some worker has not begun, and scale_downs not applied yet."""
        with self.lock:
            return sum(1 for run in self.runs.values() if run.fresh) + len(self._unapplied)

    def room(self) -> int:
        return max(0, self.most_in_hand - self.in_hand())

    def fresh(self, event_id: str | None = None) -> list[tuple[str, int]]:
        """Workers that have not begun: all of an event, or without one the first of each."""
        with self.lock:
            if event_id is None:
                return [(run.event.event_id, run.fresh[0]) for run in self.runs.values() if run.fresh]
            run = self.runs.get(event_id)
            return [(event_id, index) for index in run.fresh] if run is not None else []

    def skip(self, event_id: str, indexes: set[int]) -> None:
        """These need not begin any more: they ended without a Pod."""
        with self.lock:
            run = self.runs.get(event_id)
            if run is None:
                return
            run.fresh = deque(index for index in run.fresh if index not in indexes)
            if run.idle:
                self.drop(run)
        self.changed()

    def changed(self) -> None:
        """There may be room again."""
        with self._room:
            self._room.notify_all()

    def wait_for_room(self, seconds: float) -> bool:
        """The listener's wait; True as soon as there is room."""
        with self._room:
            return self._room.wait_for(lambda: self.room() > 0, seconds)

    def snapshot(self) -> list[EventRun]:
        with self.lock:
            return list(self.runs.values())

    def forget(self, event_id: str) -> bool:
        """Note that Redis has lost an event's ledger. True where this process can write it anew."""
        with self.lock:
            if event_id not in self.runs or self.runs[event_id].dropped:
                return False
            self.forgotten.add(event_id)
            return True
