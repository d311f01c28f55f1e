"""The sweep: it compares Pods that no worker of this process waits for with the ledger.

controller/leftovers.py says what becomes of each. A Pod of another installation is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ottoscaler.controller.leftovers import EventSays, Fate, IndexSays, LeftoverRule, PodIs, Sights, look_up
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.ledger.lease import Lease
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import EventState, IndexStage, IndexState, Word, outcome_of
from ottoscaler.ledger.upkeep import Standing
from ottoscaler.model import Outcome, Phase, PodView
from ottoscaler.pods.verdict import judge, vanished
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.telemetry.metrics import Metrics

log = get_logger(__name__)

USUAL_SIGHTS = 2  # how often a leftover Pod is seen before it is deleted
# How often if another replica may be about to delete it: 12 s, as deletes may wait on a busy API server. With
# 2, in a burst through ten replicas that all watched its Pods, every worker cost a needless delete.
SIGHTS_BESIDE_OTHERS = 5


class Sweep:
    """One thread at a time calls it. The deletes that it starts run in the deleter's threads.

    ``claimed`` tells whether a worker of this process waits for a Pod of that name, and ``shared`` whether
    another replica's worker may wait for a Pod, if there are other replicas.
    """

    def __init__(
        self,
        ledger: Ledger,
        claimed: Callable[[str], bool],
        shared: Callable[[PodView], bool],
        lease: Lease,
        deleter: PodDeleter,
        metrics: Metrics,
        *,
        instance: str,
        ttl: Mapping[Phase, float],
        now: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._claimed = claimed
        self._shared = shared
        self._lease = lease
        self._deleter = deleter
        self._metrics = metrics
        self._instance = instance
        self._ttl = ttl  # phase: seconds for which a Pod that ended in it is kept
        self._now = now  # monotonic; a Pod's own end time is by its node's clock, maybe hours off
        self._ended_since: dict[str, float] = {}  # UID: when a Pod was first seen ended
        self._sights: dict[str, int] = {}  # UID: how often in a row it was seen left over
        self._going: set[str] = set()  # UIDs whose delete is under way

    def step(self, views: Iterable[PodView]) -> None:
        """Compare every Pod that nobody waits for once. ``views``: all Pods of the instance as last seen.

        Raises RedisError. Earlier sights still count at the next step then.
        """
        views = [v for v in views if self._concerns_us(v)]
        seen: dict[str, int] = {}
        for view, (event, _owner, state, _intent) in zip(views, self._states(views), strict=True):
            self._act(view, self._row(view, event, state), seen)
        self._sights = seen
        there = {view.uid for view in views}
        self._ended_since = {uid: at for uid, at in self._ended_since.items() if uid in there}

    def look_at_arrivals(self, views: list[PodView]) -> None:
        """Delete the Pods whose attempt was over before they appeared. Raises RedisError.

        One sight is enough: nobody can be deleting a Pod that has only just appeared.
        """
        views = [v for v in views if self._concerns_us(v)]
        for view, (event, owner, state, _intent) in zip(views, self._states(views), strict=True):
            late_here = view.owner in self._ledger.identity.incarnations  # ours, from when it was frozen
            if event is EventState.OPEN and owner != self._ledger.owner and not late_here:
                continue  # its owner sees it too
            row = self._row(view, event, state)
            if row.fate is Fate.DELETE:
                log.warning(
                    "pod_late", f"{view.uid} arrived after its attempt had ended; it is deleted", **view.about
                )
                self._delete(view, row)

    def _states(self, views: list[PodView]) -> list[Standing]:
        workers = [(v.worker.event_id, v.worker.index) for v in views if v.worker is not None]
        return self._ledger.upkeep.states(workers)

    def _concerns_us(self, view: PodView) -> bool:
        return (
            view.worker is not None
            and view.instance == self._instance
            and view.installation in self._lease.held_installations
            and not view.deleting
            and view.uid not in self._going
            and not self._claimed(view.name)
        )

    def _row(self, view: PodView, event: EventState, state: IndexState | None) -> LeftoverRule:
        return look_up(self._event_says(view, event), _index_says(view, state), self._pod_is(view))

    def _event_says(self, view: PodView, event: EventState) -> EventSays:
        if event is EventState.BELOW:  # this installation's mark tells nothing of an earlier one's events
            expired = view.installation == self._ledger.installation
            return EventSays.EXPIRED if expired else EventSays.UNKNOWN
        known = {EventState.OPEN: EventSays.OPEN, EventState.FINISHED: EventSays.FINISHED}
        return known.get(event, EventSays.UNKNOWN)

    def _pod_is(self, view: PodView) -> PodIs:
        if not view.terminal:
            return PodIs.NOT_ENDED
        now = self._now()
        since = self._ended_since.setdefault(view.uid, now)
        return PodIs.KEPT if now - since < self._ttl.get(view.phase, 0.0) else PodIs.ENDED

    def _act(self, view: PodView, row: LeftoverRule, seen: dict[str, int]) -> None:
        if row.fate is Fate.LEAVE:
            return
        sights = self._sights.get(view.uid, 0) + 1
        if sights < self._enough(row.sights, view):
            seen[view.uid] = sights
        elif row.fate is Fate.REPORT:
            self._report(view, row)
        else:
            if row.sights is Sights.ONE:
                log.warning(
                    "duplicate_pod", f"{view.uid}: this attempt already has another Pod", **view.about
                )
            self._delete(view, row)

    def _enough(self, sights: Sights, view: PodView) -> int:
        if sights is Sights.USUAL:
            shared = self._lease.peers and self._shared(view)
            return SIGHTS_BESIDE_OTHERS if shared else USUAL_SIGHTS
        return {Sights.NONE: 0, Sights.ONE: 1, Sights.TWO: 2}[sights]

    def _delete(self, view: PodView, row: LeftoverRule) -> None:
        self._going.add(view.uid)
        log.info("pod_swept", f"{view.uid}: a leftover Pod is deleted: {row.why}", **view.about)
        self._deleter.delete(view.name, view.uid, lambda: self._going.discard(view.uid), view.about)

    def _report(self, view: PodView, row: LeftoverRule) -> None:
        """Redis has lost this Pod's event: record once what its labels tell, then delete the Pod."""
        assert view.worker is not None
        outcome = _outcome(view)
        word = self._ledger.upkeep.report_orphan(view.worker, view.uid, view.task_id, view.metadata, outcome)
        if word is Word.OK:
            self._metrics.workers_total.inc(outcome.status.value, outcome.reason.value)
        if word in (Word.OK, Word.RECORDED):
            log.warning(
                "orphan_reported",
                f"the worker {outcome.status.words}; Redis had lost its event",
                **view.about,
            )
            self._delete(view, row)


def _index_says(view: PodView, state: IndexState | None) -> IndexSays:
    assert view.worker is not None
    if state is None or state.attempt < view.worker.attempt:
        return IndexSays.RESULT if state is not None and state.stage is IndexStage.DONE else IndexSays.NOTHING
    if state.attempt > view.worker.attempt:
        return IndexSays.LATER_ATTEMPT
    if state.stage is IndexStage.DONE:
        return IndexSays.RESULT
    if state.stage is IndexStage.BEGUN:
        return IndexSays.ANOTHER_POD if state.uid and state.uid != view.uid else IndexSays.THIS_POD
    return IndexSays.NOTHING


def _outcome(view: PodView) -> Outcome:
    judgement = (
        judge(view, age_seconds=0, waiting_seconds=0, pending_timeout_seconds=1)
        if view.terminal
        else vanished(view)
    )
    return outcome_of(judgement, view)
