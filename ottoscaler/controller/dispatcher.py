"""The dispatcher thread: from events in hand to workers in the pool.

Adoptions come first, then retries that are due, then by priority, and between equals in turn, so that an
event of 500 Pods does not starve an event of one. A slot is taken before a task is submitted, since the
executor's own queue has no bound.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ottoscaler.controller.intake import Arrival
from ottoscaler.errors import Fenced, OttoscalerError, RedisError, Stopping
from ottoscaler.kube.throttle import CREATES_IN_FLIGHT
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.model import WorkerId
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.workers.attempt import Ended, Next, Once
from ottoscaler.workers.registry import EventRun, Flight, Task
from ottoscaler.workers.worker import Workers

log = get_logger(__name__)

OFFER_AFTER_SECONDS = 5.0  # an event that has begun no worker by then is offered to other replicas
IDLE_SECONDS = 1.0  # the longest sleep of the dispatcher
ALONE_FROM_STRIKES = 2  # such an event begins alone, until it has made progress
MOST_BEGINNING = CREATES_IN_FLIGHT + 4  # enough to keep every create in flight busy
REFILL_BEGINNING = CREATES_IN_FLIGHT  # at so many the dispatcher submits more: several for one wake
MOST_OLD_TURNS = 1000  # remembered for events that are gone, before they are cleared
MOST_MISHAPS = 5  # errors of our own on one worker, before it is recorded as failed
MISHAP_PAUSE_SECONDS = 5.0

# Of each thread. A TLS handshake, getaddrinfo (which loads the system's name services) and a JSON scanner at
# its recursion limit each take much of 256 KiB, and past the end is a segmentation fault. Only touched pages
# cost memory; the default of 8 MiB costs address space and page tables by the thousand.
STACK_BYTES = 512 * 1024


class Dispatcher:
    """Owns the slots and the pool. ``run`` is the dispatcher thread's; ``deliver`` is for any thread."""

    def __init__(
        self,
        flight: Flight,
        workers: Workers,
        ledger: Ledger,
        *,
        max_workers: int,
        scale_down: Callable[[Arrival], None],
        metrics: Metrics,
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        self._flight = flight
        self._workers = workers
        self._ledger = ledger
        self._max_workers = max_workers
        self._scale_down = scale_down
        self._metrics = metrics
        self._stop = stop
        self._beat = beat
        # Bounded by construction: the listener delivers what fits in hand, the recovery what a replica
        # may own, and None wakes the thread, once at a time.
        self._inbox: queue.Queue[Arrival | None] = queue.Queue()
        self._woken = threading.Event()
        self._busy = 0
        self._beginning = 0  # of them, tasks that were submitted and are not under way yet
        self._pool: ThreadPoolExecutor | None = None
        self._turn = 0
        self._turns: dict[str, int] = {}  # event id: when it had its last turn

    def start(self) -> None:
        """Make the pool. Threads come with the first tasks, each with a small stack."""
        self._metrics.workers_max.set(self._max_workers)
        self._pool = ThreadPoolExecutor(self._max_workers, thread_name_prefix="worker")

    # --- any thread

    def deliver(self, arrival: Arrival) -> None:
        """Hand over an event that this replica owns."""
        self._inbox.put(arrival)

    def wake(self) -> None:
        if not self._woken.is_set():
            self._woken.set()
            self._inbox.put(None)

    @property
    def busy(self) -> int:
        """Slots that are taken."""
        return self._busy

    @property
    def idle(self) -> bool:
        """Whether a worker that came now would be created at once."""
        with self._flight.lock:
            quiet = not any(run.fresh or run.adoptees or run.ready for run in self._flight.runs.values())
            return quiet and self._busy == 0 and not self._stop.is_set()

    @property
    def free(self) -> int:
        return self._max_workers - self._busy

    def leave_all(self) -> None:
        """Lease: this replica was taken for dead, so all that it had in hand is others' now."""
        for run in self._flight.snapshot():
            self._flight.drop(run)
        self._workers.look_up()
        self.wake()

    def leave(self, run: EventRun) -> None:
        """The event is another replica's now."""
        if not run.dropped:
            self._flight.drop(run)
            self._workers.look_up()  # its other workers here would hold their slots until their Pods end

    def adoptees(self) -> list[Task]:
        """Adopted workers that wait for a slot."""
        with self._flight.lock:
            return [task for run in self._flight.runs.values() for task in run.adoptees]

    def settle(self, worker: WorkerId) -> None:
        """PodDeleter: end an adopted worker that waits for a slot, if its Pod has ended."""
        task = self._take_adoptee(worker)
        if task is None:
            return
        ended: Ended | None = None
        try:
            ended = self._workers.settle_if_ended(task)
        except Fenced:
            self.leave(task.run)
        except OttoscalerError as error:
            log.debug("settle_waits", str(error), **_about(task))
        finally:
            with self._flight.lock:
                task.run.active.discard(task.index)
                if ended is None and not task.run.dropped:
                    task.run.adoptees.append(task)
            if ended is not None:
                self._after(task, ended)
            self.wake()

    def _take_adoptee(self, worker: WorkerId) -> Task | None:
        with self._flight.lock:
            run = self._flight.runs.get(worker.event_id)
            for task in run.adoptees if run is not None else ():
                if task.worker == worker:
                    task.run.adoptees.remove(task)
                    task.run.active.add(task.index)
                    return task
        return None

    # --- the dispatcher thread

    def run(self) -> None:
        """Dispatch until the stop event; then what has begun goes on without this thread."""
        while not self._stop.is_set():
            self._beat()
            self.step(self._sleep_for())

    def step(self, seconds: float) -> None:
        """Wait at most so long for something to do, then start all that may be started."""
        try:
            self._receive(self._inbox.get(timeout=seconds))
            while True:
                self._receive(self._inbox.get_nowait())
        except queue.Empty:
            pass
        if self._stop.is_set():
            return
        self._wake_retries()
        while self._may_submit() and not self._stop.is_set():
            task = self._next()
            if task is None:
                break
            self._submit(task)
        self._offer()
        self._metrics.events_in_hand.set(self._flight.in_hand())

    def _receive(self, arrival: Arrival | None) -> None:
        if arrival is None:
            self._woken.clear()
        elif not isinstance(arrival, EventRun):
            self._scale_down(arrival)

    def _sleep_for(self) -> float:
        with self._flight.lock:
            due = [due for run in self._flight.runs.values() for due, _ in run.waiting.values()]
        if not due:
            return IDLE_SECONDS
        return max(0.001, min(IDLE_SECONDS, min(due) - time.monotonic()))

    def _wake_retries(self) -> None:
        now = time.monotonic()
        with self._flight.lock:
            for run in self._flight.runs.values():
                for index in [i for i, (due, _) in run.waiting.items() if due <= now]:
                    run.ready.append(run.waiting.pop(index)[1])

    def _next(self) -> Task | None:
        """The task whose turn it is, or ``None``."""
        with self._flight.lock:
            runs = list(self._flight.runs.values())
            for run in runs:
                if run.adoptees:
                    return self._claim(run, run.adoptees.popleft())
            runs = _alone(runs)
            runs = [run for run in runs if run.ready or run.fresh]
            if not runs:
                return None
            run = min(runs, key=lambda r: (-r.event.priority, self._turns.get(r.event.event_id, 0)))
            self._turn += 1
            if len(self._turns) > 2 * len(runs) + MOST_OLD_TURNS:  # of events that went to other replicas
                self._turns = {i: t for i, t in self._turns.items() if i in self._flight.runs}
            self._turns[run.event.event_id] = self._turn
            if run.ready:
                return self._claim(run, run.ready.popleft())
            index = run.fresh.popleft()
            task = self._claim(run, Task(run, index, 0, began=run.began_first if index == 0 else 0))
            if not run.fresh:
                self._flight.changed()
            return task

    def _claim(self, run: EventRun, task: Task) -> Task:
        run.active.add(task.index)
        run.begun = True
        return task

    def _may_submit(self) -> bool:
        """A slot is free, and the creates that wait for their turn are few: more would only cost threads."""
        return self._busy < self._max_workers and self._beginning < MOST_BEGINNING

    def _submit(self, task: Task) -> None:
        assert self._pool is not None
        self._count(+1, beginning=+1)
        try:
            self._pool.submit(self._work, task)
        except BaseException:
            self._count(-1, beginning=-1)
            raise

    def _under_way(self) -> None:
        """A task has its Pod, or waits for something else than its turn to create one."""
        if self._count(0, beginning=-1):
            self.wake()

    def _count(self, change: int, *, beginning: int = 0) -> bool:
        """Whether there is room now that the dispatcher may be waiting for."""
        with self._flight.lock:
            was_full = self._busy >= self._max_workers
            self._busy += change
            self._beginning += beginning
            self._metrics.workers.set(self._busy)
            return (was_full and change < 0) or (beginning < 0 and self._beginning <= REFILL_BEGINNING)

    def _offer(self) -> None:
        """Let others take what has begun nothing for want of a slot."""
        now = time.monotonic()
        with self._flight.lock:
            late = [
                run
                for run in self._flight.runs.values()
                if not run.begun and not run.offered and now - run.taken_at > OFFER_AFTER_SECONDS
            ]
        for run in late:
            try:
                self.unbegin(run)
                run.offered = self._ledger.offer(run.event.event_id, run.epoch)
            except Fenced:
                self._flight.drop(run)
            except RedisError as error:
                flood.warning(
                    "offer_failed",
                    f"an event cannot be offered: {error}",
                    event_id=run.event.event_id,
                    task_id=run.event.task_id,
                )
                return

    def unbegin(self, run: EventRun) -> None:
        """Take back the first worker's begin, if it came with the taking and nothing came of it yet."""
        with self._flight.lock:
            begun = run.began_first > 0 and 0 in run.fresh
            run.began_first = 0
        if begun:
            self._ledger.unstart(WorkerId(run.event.event_id, 0, 0), run.epoch)

    # --- pool threads

    def _work(self, task: Task) -> None:
        """The one function of a pool thread: never raises, and gives its slot back."""
        ended: Ended | None = None
        under_way = Once(self._under_way)
        try:
            ended = self._workers.work(task, under_way) if not task.run.dropped else Ended(Next.DROPPED)
        except Fenced:
            log.info("event_left_alone", "the event is another replica's now", **_about(task))
            self.leave(task.run)
        except Stopping:
            log.debug("worker_left", "left to the next replica", **_about(task))
        except BaseException as error:  # noqa: BLE001 - one worker's error must not spread to another
            ended = self._mishap(task, error)
        finally:
            under_way()
            room = self._count(-1)
            with self._flight.lock:
                task.run.active.discard(task.index)
            if ended is not None:
                self._after(task, ended)
            if room or ended is None or ended.next is not Next.DONE or task.run.strikes:
                self.wake()

    def _mishap(self, task: Task, error: BaseException) -> Ended | None:
        tell = log.bind(**_about(task))
        tell.error("worker_mishap", "an error of Ottoscaler's own; the worker is taken up again", exc=error)
        if task.mishaps + 1 >= MOST_MISHAPS:
            try:
                return self._workers.give_up(task, f"Ottoscaler failed on it {MOST_MISHAPS} times: {error}")
            except (OttoscalerError, OSError) as last:
                tell.error("worker_left", "it cannot even be given up; it is taken up again", exc=last)
        again = replace(task, adopt=True, uid="", mishaps=task.mishaps + 1)
        with self._flight.lock:
            if not task.run.dropped:
                task.run.waiting[task.index] = (time.monotonic() + MISHAP_PAUSE_SECONDS, again)
        return None

    def _after(self, task: Task, ended: Ended) -> None:
        run = task.run
        with self._flight.lock:
            if ended.next is Next.RETRY and not run.dropped:
                following = Task(run, task.index, task.attempt + 1, avoid_node=ended.avoid_node)
                run.waiting[task.index] = (time.monotonic() + ended.delay, following)
            over = run.idle
        if over:
            self._turns.pop(run.event.event_id, None)
            self._flight.drop(run)

    def join(self, seconds: float) -> bool:
        """Wait for the pool's workers; True where none is left."""
        deadline = time.monotonic() + seconds
        while self._busy and time.monotonic() < deadline:
            self._idle_wait(min(0.05, max(0.0, deadline - time.monotonic())))
        return self._busy == 0

    @staticmethod
    def _idle_wait(seconds: float) -> None:
        threading.Event().wait(seconds)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _about(task: Task) -> dict[str, object]:
    event = task.run.event
    return {"event_id": event.event_id, "task_id": event.task_id, "index": task.index}


def _alone(runs: list[EventRun]) -> list[EventRun]:
    """An event that killed its owners begins alone, so that it takes nobody else's with it again."""
    suspects = [r for r in runs if r.strikes >= ALONE_FROM_STRIKES and not r.progressed]
    return suspects[:1] if suspects else runs
