"""Which workers a scale_down takes: their order, and the intents to cancel them, which this makes durable."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from enum import IntEnum

from ottoscaler.errors import KubernetesError, KubernetesUnavailable
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import IndexStage, IndexState, Record, order
from ottoscaler.model import PodView, ScaleDown, WorkerId
from ottoscaler.pods.labels import pod_name
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.logs import flood

VICTIMS_A_SCRIPT = 100  # pairs of event and index in one script: this keeps Redis busy for some 3 ms
# The most events in one script. Each may end in it, and its result carries all its metadata: a hundred events
# with 60 KB each took Redis 0.2 to 1.1 s.
EVENTS_A_SCRIPT = 10
ROUNDS = 3  # of choosing: workers may end or begin between the look and the choice
# The longest wait for a list that tells more of the victims. There are two: for the choice, and before the
# deletes. The victims must be asked to go within 5 s.
LOOK_SECONDS = 1.5
AGAIN_SECONDS = 0.1  # after an error

Victims = list[tuple[str, int]]  # pairs of event and index
Begun = list[tuple[WorkerId, str]]  # victims that have begun, with their Pods' UIDs ('' if unknown)

_NOWHERE: Mapping[str, PodView] = {}


class Rank(IntEnum):
    """How far a worker is. Those of the lowest rank are taken first."""

    NOT_CREATED = 0
    PENDING = 1
    RUNNING = 2


def batches(order: Victims) -> Iterator[Victims]:
    """Cut victims into batches that one script may cancel, in order."""
    batch: Victims = []
    events: set[str] = set()
    for victim in order:
        events.add(victim[0])
        if len(batch) == VICTIMS_A_SCRIPT or len(events) > EVENTS_A_SCRIPT:
            yield batch
            batch, events = [], {victim[0]}
        batch.append(victim)
    if batch:
        yield batch


class VictimChoice:
    """Chooses the victims of this replica's scale_downs. One thread calls ``choose``; any thread may call the
    rest."""

    def __init__(self, ledger: Ledger, watcher: PodWatcher, retrier: Retrier, instance: str) -> None:
        self._ledger = ledger
        self._watcher = watcher
        self._retrier = retrier
        self._instance = instance

    def choose(self, event: ScaleDown, epoch: int) -> int:
        """Make the intents to cancel the victims durable. Returns how many victims there are.

        Raises Fenced or Stopping."""
        # What was seen grows old while Redis is away, so then all is looked at and chosen anew.
        return self._retrier.call("choosing victims", lambda: self._choose(event, epoch))

    def _choose(self, event: ScaleDown, epoch: int) -> int:
        steps = self._ledger.scale_downs
        listed: Mapping[str, PodView] | None = _NOWHERE
        chosen = 0
        for _ in range(ROUNDS):
            records = steps.candidates(event.event_id, event.task_id)
            if listed is not None:  # a server that did not answer is not waited for again
                listed = self._listed(event, records)
            unbegun, begun = self._order(records, listed, keep=event.keep_running)
            # Of workers that begin after the records were read, some may run by now: the next round looks.
            parts = [(part, event.keep_running) for part in batches(unbegun)]
            parts += [(part, False) for part in batches(begun)]
            for part, spare_begun in parts or [([], False)]:  # without victims, it counts those of before
                chosen = steps.cancel(event.event_id, epoch, event.pod_count, part, spare_begun=spare_begun)
                if event.pod_count is not None and chosen >= event.pod_count:
                    return chosen
            if not parts:
                break
        return chosen

    def view(self, worker: WorkerId, uid: str, listed: Mapping[str, PodView] = _NOWHERE) -> PodView | None:
        """The worker's Pod as the watch or ``listed`` shows it, whichever shows it farther along.

        Either may be older than the other. ``uid`` is '' if it is unknown."""
        name = self.pod_name(worker)
        shown = [
            view
            for view in (self._watcher.view(name), listed.get(name))
            # Without a UID in the ledger, only the labels show whether a Pod of that name is ours.
            if view is not None
            and (view.uid == uid if uid else view.installation == self._ledger.installation)
        ]
        return max(shown, key=lambda view: (view.ended, view.running), default=None)

    def pod_name(self, worker: WorkerId) -> str:
        """The name of the worker's Pod."""
        return pod_name(self._instance, worker.event_id, worker.index, worker.attempt)

    def unseen(self, victims: Begun) -> list[str]:
        """The events with a victim whose Pod the watch does not show and no worker here waits for."""
        return sorted(
            {
                worker.event_id
                for worker, uid in victims
                if uid and self.view(worker, uid) is None and not self._watcher.claimed(self.pod_name(worker))
            }
        )

    def not_ended(self, victims: Begun, unseen: list[str]) -> Begun:
        """The victims without those of the events ``unseen`` that have ended by themselves.

        If the API server does not answer in time, all are returned."""
        try:
            listed = self._listed_in_time(unseen)
        except KubernetesError as error:
            flood.warning("victims_unseen", f"whether victims have ended cannot be looked at: {error}")
            return victims
        ended = {view.uid for view in listed.values() if view.ended_by_itself}
        return [(worker, uid) for worker, uid in victims if uid not in ended]

    def _listed_in_time(self, event_ids: list[str]) -> Mapping[str, PodView]:
        """The Pods of these events. A call that fails is tried again while there is time.

        Raises KubernetesError after LOOK_SECONDS at most."""
        deadline = time.monotonic() + LOOK_SECONDS
        while True:
            left = max(deadline - time.monotonic(), AGAIN_SECONDS)
            try:
                return self._watcher.look_at_events(event_ids, cached=True, seconds=left)
            except KubernetesUnavailable as error:
                pause = max(AGAIN_SECONDS, error.retry_after)
                if time.monotonic() + pause >= deadline or self._retrier.stop.wait(pause):
                    raise

    def _listed(self, event: ScaleDown, records: list[Record]) -> dict[str, PodView] | None:
        """By name, the Pods of the events with a worker of which the watch may not tell how far it is.

        Empty if the choice does not depend on them. ``None`` if the API server does not answer.
        """
        keep = event.keep_running
        if event.pod_count is None and not keep:
            return {}
        doubtful = {
            record.event_id
            for record in records
            for index, state in record.indexes.items()
            if index not in record.intents and self._doubtful(record.event_id, index, state, keep=keep)
        }
        try:
            # The API server's cache may be older than the start of a worker that is to be kept. Without the
            # list, that worker would be kept for good, so it is waited for as long as any list.
            seconds = math.inf if keep else LOOK_SECONDS
            look = self._watcher.look_at_events
            return look(sorted(doubtful), cached=not keep, seconds=seconds) if doubtful else {}
        except KubernetesError as error:
            flood.warning("victims_unseen", f"the Pods that it may take cannot be looked at: {error}")
            return None

    def _doubtful(self, event_id: str, index: int, state: IndexState, *, keep: bool) -> bool:
        """Whether a list may tell more of that worker than the watch does."""
        if state.stage is not IndexStage.BEGUN or self._abroad(state):
            return False
        view = self.view(WorkerId(event_id, index, state.attempt), state.uid)
        if view is None:  # a Pod may run before the ledger knows its UID, which matters only to keep it
            return keep or bool(state.uid)
        return not (view.running or view.ended)  # the watch may be 20 ms behind (kube/paced_reads.py)

    def _abroad(self, state: IndexState) -> bool:
        """Whether the worker's Pod is in another namespace, which neither watch nor list shows."""
        return state.namespace not in ("", self._watcher.namespace)

    def _order(
        self, records: list[Record], listed: Mapping[str, PodView] | None, *, keep: bool
    ) -> tuple[Victims, Victims]:
        """The victims without a Pod as far as is known, and the others by their rank.

        In each rank, the newest come first."""
        ranked: list[tuple[Rank, tuple[int, int], int, str]] = []
        for record in records:
            ms, seq = order(record.event_id)
            for index in range(record.count):
                rank = self._rank(record, index, listed, keep=keep)
                if rank is None or (rank is Rank.RUNNING and keep):
                    continue
                ranked.append((rank, (-ms, -seq), -index, record.event_id))
        unbegun: Victims = []
        begun: Victims = []
        for rank, _, index, event_id in sorted(ranked):
            (unbegun if rank is Rank.NOT_CREATED else begun).append((event_id, -index))
        return unbegun, begun

    def _rank(
        self, record: Record, index: int, listed: Mapping[str, PodView] | None, *, keep: bool
    ) -> Rank | None:
        """``None`` if the worker has ended or is being cancelled already."""
        state = record.indexes.get(index)
        if index in record.intents or (state is not None and state.stage is IndexStage.DONE):
            return None
        if state is None or state.stage is IndexStage.WAITING:
            return Rank.NOT_CREATED
        view = self.view(WorkerId(record.event_id, index, state.attempt), state.uid, listed or {})
        if view is not None and view.ended:
            return None  # it ended before any intent
        if view is not None and view.running:
            return Rank.RUNNING
        if (listed is None or self._abroad(state)) and (keep or (view is None and state.uid)):
            return Rank.RUNNING  # if nobody could look, it may be running
        return Rank.PENDING if keep or state.uid or view is not None else Rank.NOT_CREATED
