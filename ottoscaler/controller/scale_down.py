"""Carries out a scale_down: it chooses victims, makes the intent durable, and only then deletes their Pods.

It needs no slot. One thread chooses, so that two scale_downs of one replica never choose the same worker. The
deleter's threads delete the Pods. Victims may belong to any replica: each owner learns of the intent from the
ledger and from the Pod.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from ottoscaler.controller.victims import Begun, VictimChoice
from ottoscaler.errors import Fenced, RedisError, Stopping
from ottoscaler.events.values import told_metadata
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Word
from ottoscaler.model import JsonObject, ScaleDown, WorkerId
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.workers.in_hand import InHand

log = get_logger(__name__)

COUNT_SECONDS = 10.0  # for the ends of its victims to be recorded; victims still going then are counted
FINISH_TRIES = 3  # in a row; then the thread looks after other scale_downs first
LOOK_SECONDS = 0.1  # between two checks whether they are recorded


class ScaleDowns:
    """Carries out the scale_downs that this replica owns, in threads of its own.

    Each counts as in hand until its intents are durable. Then ``wake`` wakes the dispatcher: some workers
    need not begin any more.
    """

    def __init__(
        self,
        ledger: Ledger,
        in_hand: InHand,
        watcher: PodWatcher,
        deleter: PodDeleter,
        *,
        instance: str,
        metrics: Metrics,
        stop: threading.Event,
        wake: Callable[[], None],
    ) -> None:
        self._steps = ledger.scale_downs
        self._in_hand = in_hand
        self._watcher = watcher
        self._deleter = deleter
        self._metrics = metrics
        self._stop = stop
        self._retrier = Retrier(stop)
        self._victims = VictimChoice(ledger, watcher, self._retrier, instance)
        self._wake = wake
        self._chooser = ThreadPoolExecutor(1, thread_name_prefix="scale-down")
        self._ender = ThreadPoolExecutor(1, thread_name_prefix="scale-down-end")
        self._lock = threading.Lock()
        self._owned: dict[str, tuple[int, float]] = {}  # event id: epoch, and since when (monotonic)

    def close(self) -> None:
        for pool in (self._chooser, self._ender):
            pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, event: ScaleDown, epoch: int) -> bool:
        """Have a scale_down carried out. False if that is under way already. Any thread; never waits.

        After ``close`` it is left to the next replica.
        """
        with self._lock:
            if self._epoch_of(event) == epoch:
                return False
            self._owned[event.event_id] = (epoch, time.monotonic())
        self._in_hand.enter(event.event_id)
        with suppress(RuntimeError):  # closed: a listener that hung in Redis came too late, and must not die
            self._chooser.submit(self.apply, event, epoch)
        return True

    def knows(self, event_id: str) -> bool:
        """Whether the scale_down is being carried out here. Any thread."""
        return event_id in self._owned

    def owned(self, *, seconds: float = 0.0) -> list[tuple[str, int]]:
        """The scale_downs being carried out for at least ``seconds``, as event id and epoch. Any thread."""
        latest = time.monotonic() - seconds
        with self._lock:
            return [(event_id, epoch) for event_id, (epoch, since) in self._owned.items() if since <= latest]

    def _epoch_of(self, event: ScaleDown) -> int | None:
        known = self._owned.get(event.event_id)
        return known[0] if known is not None else None

    def _let_go(self, event: ScaleDown, epoch: int) -> None:
        with self._lock:
            if self._epoch_of(event) == epoch:
                del self._owned[event.event_id]
        self._in_hand.leave(event.event_id)

    def apply(self, event: ScaleDown, epoch: int) -> None:
        """Choose the victims and have their Pods deleted. The choosing thread calls this.

        It does not wait for the Pods to go, so no scale_down waits for the Pods of another.
        """
        with self._errors_logged(event, epoch):
            chosen = self._victims.choose(event, epoch)
            victims = self._retrier.call(
                "reading the victims", lambda: self._steps.victims(event.event_id, epoch)
            )
            log.info(
                "scale_down_chosen",
                f"{chosen} workers are cancelled, {len(victims)} of them with Pods",
                **_about(event),
            )
            self._in_hand.leave(event.event_id)
            self._wake()
            deadline = time.monotonic() + COUNT_SECONDS
            self._delete_running(event, epoch, victims, lambda: self._finish(event, epoch, deadline))

    def _delete_running(self, event: ScaleDown, epoch: int, victims: Begun, then: Callable[[], None]) -> None:
        """Have every victim's Pod deleted, except other replicas' Pods that have ended by themselves.

        Their owner may be dead. Whoever takes the event over records their end, which it could not see any
        more if they were gone, and then deletes them.
        """
        unseen = self._victims.unseen(victims)
        if not unseen:
            self._delete_all(event, victims, then)
            return

        def look() -> None:
            with self._errors_logged(event, epoch):
                self._delete_all(event, self._victims.not_ended(victims, unseen), then)

        self._deleter.call(event.event_id, look)

    def _delete_all(self, event: ScaleDown, victims: Begun, then: Callable[[], None]) -> None:
        """Have every victim's Pod deleted. ``then`` is called after the last answer."""
        known = [(worker, found) for worker, uid in victims if (found := uid or self._uid(worker))]
        left = [len(known)]
        lock = threading.Lock()

        def one_gone() -> None:
            with lock:
                left[0] -= 1
                last = left[0] == 0
            if last:
                self._deleter.run(then)

        for worker, uid in known:
            name = self._victims.pod_name(worker)
            view = self._victims.view(worker, uid)
            task_id = event.task_id or (view.task_id if view is not None else None)
            about = {"event_id": worker.event_id, "task_id": task_id, "index": worker.index, "pod": name}
            log.info("pod_cancelled", "the cancelled Pod is being deleted", **about)
            self._deleter.delete(name, uid, one_gone, about, self._watcher.asked_to_go)
        if not known:
            self._deleter.run(then)

    def _uid(self, worker: WorkerId) -> str:
        """The UID of a victim's Pod that is just being created.

        Empty if it is not known yet. Then the replica that creates the Pod deletes it.
        """
        view = self._victims.view(worker, "")
        return view.uid if view is not None else ""

    def _finish(self, event: ScaleDown, epoch: int, deadline: float) -> None:
        """Record the scale_down once every victim has its result, or at ``deadline``. Otherwise look again.

        A victim that had ended before the intent is recorded at once by its owner, and is not counted.
        """
        with self._errors_logged(event, epoch):
            patient = time.monotonic() < deadline
            try:
                answer = self._retrier.call(
                    "finishing a scale_down",
                    lambda: self._steps.finish(event.event_id, epoch, patient=patient),
                    tries=FINISH_TRIES,
                )
            except Fenced:
                raise
            except RedisError as error:  # other Pods must not wait in this thread until Redis is mended
                flood.warning("scale_down_waits", f"a scale_down cannot be recorded yet: {error}")
                self._look_again(event, epoch, deadline)
                return
            if answer.word is Word.MORE:
                self._look_again(event, epoch, deadline)
                return
            if answer.word is Word.OK and answer.duration_ms is not None:
                self._metrics.events_total.inc("scale_down", "succeeded")
                self._metrics.event_duration.observe(answer.duration_ms / 1000)
                log.info(
                    "event_ended",
                    "the scale_down succeeded",
                    **_about(event),
                    metadata=told_metadata(event.metadata),
                    status="succeeded",
                )
            self._let_go(event, epoch)

    def _look_again(self, event: ScaleDown, epoch: int, deadline: float) -> None:
        def look() -> None:
            self._stop.wait(LOOK_SECONDS)
            self._finish(event, epoch, deadline)

        with suppress(RuntimeError):  # closed meanwhile: the event stays owned and is handed over
            self._ender.submit(look)

    @contextmanager
    def _errors_logged(self, event: ScaleDown, epoch: int) -> Iterator[None]:
        """Log the error of one event, so that it ends no thread. At a stop the event stays owned."""
        try:
            yield
        except Fenced:
            log.info("event_left_alone", "another replica owns the scale_down now", **_about(event))
            self._let_go(event, epoch)
        except Stopping:
            log.debug("event_left_alone", "the scale_down is left to the next replica", **_about(event))
        except BaseException as error:  # noqa: BLE001 - an error of one event must not affect another
            log.error("scale_down_failed", "internal error", exc=error, **_about(event))
            self._let_go(event, epoch)  # the takeover takes the event up again


def _about(event: ScaleDown) -> JsonObject:
    return {"event_id": event.event_id, "task_id": event.task_id}
