"""Carrying out a scale_down: choose victims, make the intent durable, only then ask their Pods to go.

It needs no slot. One thread chooses, so that two scale_downs of one replica never choose against each
other; a few delete. Victims may belong to any replica: each learns of it from the ledger and from its Pod.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from ottoscaler.errors import Fenced, KubernetesError, PodGone, Stopping
from ottoscaler.flight import Flight
from ottoscaler.ledger import Ledger, Record
from ottoscaler.model import Phase, PodView, ScaleDown, WorkerId
from ottoscaler.patience import Patience
from ottoscaler.pods import Pods
from ottoscaler.podspec import pod_name
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.watcher import PodWatcher

log = get_logger(__name__)

DELETERS = 8  # threads that ask for Pods to go; the governor bounds all calls together
VICTIMS_A_SCRIPT = 1000  # pairs of event and index in one script, to keep Redis responsive
ROUNDS = 3  # of choosing, where workers ended or began between the look and the choice


class ScaleDowns:
    """Applies scale_downs. ``submit`` returns at once; the work is done in threads of its own."""

    def __init__(
        self,
        ledger: Ledger,
        flight: Flight,
        pods: Pods,
        watcher: PodWatcher,
        *,
        instance: str,
        metrics: Metrics,
        stop: threading.Event,
        wake: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._flight = flight
        self._pods = pods
        self._watcher = watcher
        self._instance = instance
        self._metrics = metrics
        self._patience = Patience(stop)
        self._wake = wake
        self._chooser: ThreadPoolExecutor | None = None
        self._deleters: ThreadPoolExecutor | None = None

    def start(self) -> None:
        self._chooser = ThreadPoolExecutor(1, thread_name_prefix="scale-down")
        self._deleters = ThreadPoolExecutor(DELETERS, thread_name_prefix="delete")

    def close(self) -> None:
        for pool in (self._chooser, self._deleters):
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, event: ScaleDown, epoch: int) -> None:
        """Any thread: have a scale_down carried out that this replica owns."""
        assert self._chooser is not None
        self._chooser.submit(self._apply, event, epoch)

    def sweep(self, name: str, uid: str, done: Callable[[], None]) -> None:
        """Reconciler: delete a Pod whose end is durable, in a deleting thread; ``done`` is always called."""
        assert self._deleters is not None
        self._deleters.submit(self._sweep, name, uid, done)

    def run_aside(self, job: Callable[[], None]) -> None:
        """Reconciler: something that waits for Kubernetes, in a deleting thread."""
        assert self._deleters is not None
        self._deleters.submit(job)

    def _sweep(self, name: str, uid: str, done: Callable[[], None]) -> None:
        try:
            self._pods.delete(name, uid)
            log.info("pod_swept", "a Pod whose end is recorded was left over and is deleted", pod=name)
        except PodGone:
            log.debug("pod_swept", "the Pod has gone by itself", pod=name)
        except KubernetesError as error:
            log.debug("sweep_failed", f"the Pod is tried again later: {error}", pod=name)
        finally:
            done()

    def _apply(self, event: ScaleDown, epoch: int) -> None:
        try:
            self._carry_out(event, epoch)
        except Fenced:
            log.info("event_left_alone", "the scale_down is another replica's now", event_id=event.event_id)
        except Stopping:
            return  # handed over with the rest
        except BaseException as error:  # noqa: BLE001 - one event's error must not end the thread
            log.error("scale_down_failed", "an error of Ottoscaler's own", exc=error, event_id=event.event_id)
        self._flight.end_down(event.event_id, epoch)

    def _carry_out(self, event: ScaleDown, epoch: int) -> None:
        call = self._patience.call
        if event.task_id is not None:
            task_id = event.task_id
            call("writing a tombstone", lambda: self._ledger.tombstone(event.event_id, epoch, task_id))
        chosen = self._choose(event, epoch)
        victims = call("reading the victims", lambda: self._ledger.victims(event.event_id, epoch))
        log.info(
            "scale_down_chosen",
            f"{chosen} workers are to go, {len(victims)} of them with Pods",
            event_id=event.event_id,
            task_id=event.task_id,
        )
        self._flight.down_applied(event.event_id)
        self._wake()
        assert self._deleters is not None
        gone: list[Future[None]] = [self._deleters.submit(self._delete, v, uid) for v, uid in victims]
        wait(gone)
        for future in gone:
            future.result()
        answer = call("finishing a scale_down", lambda: self._ledger.finish_down(event.event_id, epoch))
        if answer.word == "ok" and answer.duration_ms is not None:
            self._metrics.events_total.inc("scale_down", "succeeded")
            self._metrics.event_duration.observe(answer.duration_ms / 1000)
            log.info(
                "event_ended", "the scale_down succeeded", event_id=event.event_id, task_id=event.task_id
            )

    def _choose(self, event: ScaleDown, epoch: int) -> int:
        chosen = 0
        for _ in range(ROUNDS):
            records = self._patience.call(
                "looking for victims", lambda: self._ledger.candidates(event.event_id, event.task_id)
            )
            order = self._order(records, keep_running=event.keep_running)
            for at in range(0, len(order), VICTIMS_A_SCRIPT) or (0,):
                part = order[at : at + VICTIMS_A_SCRIPT]
                chosen = self._patience.call(
                    "choosing victims",
                    lambda part=part: self._ledger.cancel(event.event_id, epoch, event.pod_count, part),  # type: ignore[misc]
                )
                if event.pod_count is not None and chosen >= event.pod_count:
                    return chosen
            if not order:
                break
        return chosen

    def _order(self, records: list[Record], *, keep_running: bool) -> list[tuple[str, int]]:
        """Not yet created, Pending, Running; the newest first within each."""
        ranked: list[tuple[int, tuple[int, int], int, str]] = []
        for record in records:
            for index in range(record.count):
                rank = self._rank(record, index)
                if rank is None or (rank == 2 and keep_running):
                    continue
                ms, _, seq = record.event_id.partition("-")
                ranked.append((rank, (-int(ms), -int(seq)), -index, record.event_id))
        return [(event_id, -index) for _, _, index, event_id in sorted(ranked)]

    def _rank(self, record: Record, index: int) -> int | None:
        state = record.indexes.get(index)
        if index in record.intents or (state is not None and state.kind == "done"):
            return None
        if state is None or state.kind == "waiting":
            return 0
        view = self._view(WorkerId(record.event_id, index, state.attempt), state.uid)
        if view is None:
            return 1 if state.uid else 0
        if view.terminal:
            return None  # it ended before any intent
        return 2 if view.phase is Phase.RUNNING else 1

    def _view(self, worker: WorkerId, uid: str) -> PodView | None:
        view = self._watcher.view(pod_name(self._instance, worker.event_id, worker.index, worker.attempt))
        return view if view is not None and (not uid or view.uid == uid) else None

    def _delete(self, worker: WorkerId, uid: str) -> None:
        """Ask for a victim's Pod to go. One that is not known yet is deleted by whoever creates it."""
        name = pod_name(self._instance, worker.event_id, worker.index, worker.attempt)
        if not uid:
            view = self._view(worker, "")
            if view is None:
                return
            uid = view.uid
        try:
            self._patience.call("deleting a victim", lambda: self._pods.delete(name, uid))
            log.info(
                "pod_cancelled",
                "the Pod was asked to go",
                event_id=worker.event_id,
                index=worker.index,
                pod=name,
            )
        except PodGone:
            log.debug(
                "pod_cancelled", "the Pod had gone", event_id=worker.event_id, index=worker.index, pod=name
            )
