"""Which workers a scale_down takes: their order, and the intents to cancel them, which this makes durable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum

from ottoscaler.errors import KubernetesError
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import IndexStage, Record
from ottoscaler.model import PodView, ScaleDown, WorkerId
from ottoscaler.pods.labels import pod_name
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.logs import flood

VICTIMS_A_SCRIPT = 100  # pairs of event and index in one script: this keeps Redis busy for some 3 ms
# The most events in one script. Each may end in it, and its result carries all its metadata: a hundred events
# with 60 KB each took Redis 0.2 to 1.1 s.
EVENTS_A_SCRIPT = 10
ROUNDS = 3  # of choosing: workers may end or begin between the look and the choice

Victims = list[tuple[str, int]]  # pairs of event and index

_NOWHERE: Mapping[str, PodView] = {}


class Rank(IntEnum):
    """How far a worker is. Those of the lowest rank are taken first."""

    NOT_CREATED = 0
    PENDING = 1
    RUNNING = 2


def batches(order: Victims) -> Iterator[Victims]:
    """Cut victims into batches that one script may cancel, in order. Without victims, one empty batch."""
    batch: Victims = []
    events: set[str] = set()
    for victim in order:
        events.add(victim[0])
        if len(batch) == VICTIMS_A_SCRIPT or len(events) > EVENTS_A_SCRIPT:
            yield batch
            batch, events = [], {victim[0]}
        batch.append(victim)
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
        steps = self._ledger.scale_downs
        chosen = 0
        for _ in range(ROUNDS):
            records = self._retrier.call(
                "looking for victims",
                lambda: steps.candidates(event.event_id, event.task_id),
            )
            order = self._order(records, self._elsewhere(event, records), keep_running=event.keep_running)
            for part in batches(order):
                chosen = self._retrier.call(
                    "choosing victims",
                    lambda part=part: steps.cancel(event.event_id, epoch, event.pod_count, part),  # type: ignore[misc]
                )
                if event.pod_count is not None and chosen >= event.pod_count:
                    return chosen
            if not order:
                break
        return chosen

    def view(self, worker: WorkerId, uid: str, elsewhere: Mapping[str, PodView] = _NOWHERE) -> PodView | None:
        """The worker's Pod as the watch, or else ``elsewhere``, shows it. ``uid`` is '' if it is unknown."""
        name = self.pod_name(worker)
        view = self._watcher.view(name) or elsewhere.get(name)
        if view is None or (uid and view.uid != uid):
            return None
        # Without a UID in the ledger, only the labels show whether a Pod of that name is ours.
        return view if uid or view.installation == self._ledger.installation else None

    def pod_name(self, worker: WorkerId) -> str:
        """The name of the worker's Pod."""
        return pod_name(self._instance, worker.event_id, worker.index, worker.attempt)

    def _elsewhere(self, event: ScaleDown, records: list[Record]) -> dict[str, PodView] | None:
        """Other replicas' Pods, which the watch does not show, by name.

        Empty if the order does not depend on them. ``None`` if the API server does not answer.
        """
        if event.pod_count is None and not event.keep_running:
            return {}
        hidden = {
            record.event_id
            for record in records
            for index, state in record.indexes.items()
            if state.stage is IndexStage.BEGUN
            and state.uid
            and self.view(WorkerId(record.event_id, index, state.attempt), state.uid) is None
        }
        try:
            return self._watcher.look_at_events(sorted(hidden)) if hidden else {}
        except KubernetesError as error:
            flood.warning("victims_unseen", f"other replicas' Pods cannot be looked at: {error}")
            return None

    def _order(
        self, records: list[Record], elsewhere: Mapping[str, PodView] | None, *, keep_running: bool
    ) -> Victims:
        """The victims by their rank. In each rank, the newest come first."""
        ranked: list[tuple[Rank, tuple[int, int], int, str]] = []
        for record in records:
            for index in range(record.count):
                rank = self._rank(record, index, elsewhere)
                if rank is None or (rank is Rank.RUNNING and keep_running):
                    continue
                ms, _, seq = record.event_id.partition("-")
                ranked.append((rank, (-int(ms), -int(seq)), -index, record.event_id))
        return [(event_id, -index) for _, _, index, event_id in sorted(ranked)]

    def _rank(self, record: Record, index: int, elsewhere: Mapping[str, PodView] | None) -> Rank | None:
        """``None`` if the worker has ended or is being cancelled already."""
        state = record.indexes.get(index)
        if index in record.intents or (state is not None and state.stage is IndexStage.DONE):
            return None
        if state is None or state.stage is IndexStage.WAITING:
            return Rank.NOT_CREATED
        view = self.view(WorkerId(record.event_id, index, state.attempt), state.uid, elsewhere or {})
        if view is None and state.uid:
            return (
                Rank.RUNNING if elsewhere is None else Rank.PENDING
            )  # if nobody could look, it may be running
        if view is None:
            return Rank.NOT_CREATED
        if view.ended:
            return None  # it ended before any intent
        return Rank.RUNNING if view.running else Rank.PENDING
