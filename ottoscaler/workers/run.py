"""One scale_up in this process, and one attempt of one of its workers.

The ledger is the truth. A run is what this replica remembers of an event, so that it can choose what to start
next, and can write the ledger anew if Redis was emptied.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from ottoscaler.events.values import told_metadata
from ottoscaler.ledger.records import IndexStage, IndexState, Record
from ottoscaler.model import JsonObject, ScaleUp, WorkerId
from ottoscaler.pods.plan import PodPlan
from ottoscaler.workers.head_start import HeadStart

SUSPECT_FROM_STRIKES = 2  # deaths of owners without progress
FIRST_RETRY_SECONDS = 1.0  # the back-off of attempts doubles from here
LONGEST_RETRY_SECONDS = 60.0  # up to here
MOST_DOUBLINGS = 6  # more than lead there; a float holds only some thousand
MOST_TOLD_METADATA = 2048  # characters that are kept for the log line of an event's end
LEAST_PACKED_BYTES = 4096  # of a body: a smaller one is not worth compressing


def longest_retry_delay(attempt: int) -> float:
    """The most seconds from the end of this attempt (from 0) to the next one."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(attempt, MOST_DOUBLINGS), LONGEST_RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt of a worker, which needs a slot. ``adopt``: the ledger says that it has begun already."""

    run: EventRun
    index: int
    attempt: int
    adopt: bool = False
    uid: str = ""  # of an adopted Pod, if the ledger knows it
    namespace: str = ""  # of an adopted Pod; empty for this replica's namespace
    former: str = ""  # namespace of the earlier attempt's Pod, likewise
    avoid_node: str = ""
    head_start: HeadStart | None = None
    errors: int = 0  # internal errors in working on it

    @property
    def worker(self) -> WorkerId:
        return WorkerId(self.run.event.event_id, self.index, self.attempt)

    @property
    def about(self) -> JsonObject:
        """The fields by which log lines name it."""
        return {**self.run.about, "index": self.index}


@dataclass(frozen=True, slots=True)
class _Packed:
    data: bytes


class EventRun:
    """One scale_up that this replica owns.

    The registry's lock guards what is to be started, waits or is active. Each entry of ``states`` is written
    only by the thread that works on that index. A flag is written once.

    Hundreds of large events may wait for a retry or for the ends of their Pods. So a run keeps what only new
    Pods need in the body alone, which is compressed while the run waits. ``event`` lacks command, args, env
    and metadata. ``plan`` is held only while a worker may be created; ``planner`` builds it anew.
    """

    def __init__(self, event: ScaleUp, plan: PodPlan | None, record: Record, planner: Planner) -> None:
        self.event = replace(event, command=None, args=None, env={}, metadata={})
        self.told_metadata = _told(event)
        self.priority = event.priority
        self._planner = planner
        self._body: bytes | _Packed = record.body
        self.epoch = record.epoch
        self.strikes = record.strikes
        self.taken_at = time.monotonic()
        self.dropped = False  # another replica owns it, or it has ended: touch nothing of it any more
        self.leaving = False  # its threads are to leave it to other replicas
        self.lost = False  # Redis has lost its ledger
        self.progressed = False
        self.begun = any(state.stage is not IndexStage.WAITING for state in record.indexes.values())
        self.offered = False
        self.told_latency = bool(record.indexes) or record.epoch > 1
        self.turn = 0  # the number of its last turn; at first, of its arrival
        self.fresh: deque[int] = deque(i for i in range(event.pod_count) if i not in record.indexes)
        self.adoptees: deque[Task] = deque()
        self.ready: deque[Task] = deque()  # retries whose time has come, and tasks to do again
        self.due_turns: deque[int] = deque()  # for each task in ready, the turn at which it was due
        self.waiting: dict[int, tuple[float, Task]] = {}  # index: (monotonic due time, task)
        self.active: set[int] = set()
        self.states: dict[int, str] = {}  # index: its state in the ledger, for writing the ledger anew
        now_ms = time.time() * 1000
        for index, state in sorted(record.indexes.items()):
            self._remember(index, state, now_ms)
        self.plan = plan if self.fresh else None

    @property
    def body(self) -> bytes:
        """The event's fields as the ledger keeps them."""
        body = self._body
        return zlib.decompress(body.data) if isinstance(body, _Packed) else body

    def record(self) -> Record:
        """The event as it was taken, for reading it again."""
        return Record(self.event.event_id, self.epoch, self.strikes, self.body, count=self.event.pod_count)

    def planned(self) -> PodPlan:
        """How to build its Pods now. Raises BadEvent, which says why, if none can be built any more."""
        self.plan = plan = self._planner(self)
        return plan

    def _remember(self, index: int, state: IndexState, now_ms: float) -> None:
        if state.stage is IndexStage.DONE:
            self.note_done(index, state.attempt, state.status, state.uid)
        elif state.stage is IndexStage.WAITING:
            self.note_waiting(index, state.attempt, state.due_ms, state.avoid_node)
            task = Task(self, index, state.attempt, avoid_node=state.avoid_node, former=state.namespace)
            # It is bounded, since Redis's clock and ours may differ by hours.
            delay = min(max(0.0, (state.due_ms - now_ms) / 1000), longest_retry_delay(state.attempt - 1))
            self.waiting[index] = (time.monotonic() + delay, task)
        else:
            self.note_begun(index, state.attempt, state.uid)
            self.adoptees.append(
                Task(self, index, state.attempt, adopt=True, uid=state.uid, namespace=state.namespace)
            )

    def note_begun(self, index: int, attempt: int, uid: str = "") -> None:
        """Note that the index's attempt has begun, with the UID of its Pod if that is known."""
        self.states[index] = f"s:{attempt}:{uid}"
        if uid:
            self.progressed = True

    def note_not_begun(self, index: int, attempt: int) -> None:
        """Note that the index's attempt was taken back before a create of it was sent."""
        if attempt:
            self.note_waiting(index, attempt, 0, "")
        else:
            self.states.pop(index, None)

    def note_waiting(self, index: int, attempt: int, due_ms: int, avoid_node: str) -> None:
        """Note that the index waits to be tried again, as this attempt."""
        self._pack()
        self.states[index] = f"w:{attempt}:{due_ms}:{avoid_node}"

    def note_done(self, index: int, attempt: int, status: str, uid: str) -> None:
        """Note that the index's result is recorded."""
        self.states[index] = f"d:{attempt}:{status}:{uid}"
        self.progressed = True

    def _pack(self) -> None:
        body = self._body
        if not isinstance(body, _Packed) and len(body) >= LEAST_PACKED_BYTES:
            self._body = _Packed(zlib.compress(body, 1))

    @property
    def has_pods(self) -> bool:
        """Whether some worker has a Pod that was noted and whose end was not recorded."""
        return any(s.startswith("s:") and not s.endswith(":") for s in list(self.states.values()))

    @property
    def suspect(self) -> bool:
        """Whether the event may have killed its owners: they died, and it has made no progress since."""
        return self.strikes >= SUSPECT_FROM_STRIKES and not self.progressed

    @property
    def retry_due(self) -> int | None:
        """The number of the turn at which its first due retry became due. ``None`` if none is due."""
        return self.due_turns[0] if self.due_turns else None

    @property
    def about(self) -> JsonObject:
        """The fields by which log lines name it."""
        return {"event_id": self.event.event_id, "task_id": self.event.task_id}

    @property
    def idle(self) -> bool:
        """Whether no worker of it runs, or waits to run, in this process."""
        return not (self.fresh or self.adoptees or self.ready or self.waiting or self.active)


Planner = Callable[[EventRun], PodPlan]


def _told(event: ScaleUp) -> str | None:
    """The metadata for a log line. Only the first MOST_TOLD_METADATA characters are kept."""
    told = told_metadata(event.metadata)
    return told if told is None or len(told) <= MOST_TOLD_METADATA else told[: MOST_TOLD_METADATA - 3] + "..."
