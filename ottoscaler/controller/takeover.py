"""The takeover thread: it takes over events of replicas that are dead, full or stopped.

It also repairs this replica's own state, where a reply or Redis's data was lost.
:mod:`ottoscaler.ledger.surveys` says which replicas are dead.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ottoscaler.controller.ahead import accept_ahead, room_ahead, takes_a_task_away
from ottoscaler.controller.intake import Intake
from ottoscaler.controller.leaving import Leaving
from ottoscaler.controller.reach import Reach
from ottoscaler.errors import OF_REDIS_ITSELF, BadEvent, BrokenKey, Fenced, RedisError, RedisUnavailable
from ottoscaler.ledger.lease import suspended_clock
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.replicas import DELETED_UNREAD, Survey
from ottoscaler.ledger.surveys import Surveys
from ottoscaler.model import ScaleUp
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.threads import Control, Loop
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun

log = get_logger(__name__)

EVENTS_AT_ONCE = 200  # of one dead owner in one step; the next step takes more
PENDING_AT_ONCE = 100
# How long a replica is silent before its entries that nobody owns are claimed. It is less than a lease,
# because the ledger alone decides who runs them, even if that replica was only frozen.
UNOWNED_AFTER_SECONDS = 5.0
FULL_REPLICAS_WAIT = 0.25  # of a lease; a replica without a free slot waits longer, so that others come first
WAIT_SECONDS = 5.0  # the longest wait for a survey; one comes every second


class Takeover(Loop):
    """``reread_own`` has the listener look through its own pending entries again."""

    passing = (RedisError,)
    first_pause = longest_pause = 0.0  # the next survey is the pause

    def __init__(
        self,
        surveys: Surveys,
        ledger: Ledger,
        registry: RunRegistry,
        intake: Intake,
        leaving: Leaving,
        reach: Reach,
        reread_own: Callable[[], None],
        control: Control,
    ) -> None:
        super().__init__(control)
        self._surveys = surveys
        self._ledger = ledger
        self._registry = registry
        self._intake = intake
        self._leaving = leaving
        self._reach = reach
        self._reread_own = reread_own
        self._survey: Survey | None = None
        self._emptied = False
        self._broken: frozenset[str] = frozenset()  # keys of ours, at the last full survey
        self._unknown: set[str] = set()  # ours by the ledger, but unknown here at the last look
        self._stranded: frozenset[str] = frozenset()  # looked at already

    def wait(self) -> None:
        """Wait for a survey from the lease's thread, WAIT_SECONDS at most."""
        self._survey, emptied = self._surveys.take(WAIT_SECONDS)
        self._emptied = self._emptied or emptied

    def step(self, now: float) -> None:
        """Rewrite the ledgers that Redis lost, then take over events that no live replica holds."""
        survey, self._survey = self._survey, None
        if survey is not None and survey.full:
            self._look_at_broken(frozenset(each.key for each in survey.broken))
        self._rewrite()
        if survey is not None:
            self._take(survey, now)

    def rewrite_lost(self) -> None:
        """Rewrite the ledgers that Redis has lost. In a stop, the handover calls this, since the takeover's
        own thread has ended. Raises RedisError."""
        _, emptied = self._surveys.take(0.0)
        self._emptied = self._emptied or emptied
        self._rewrite()

    def clock(self) -> float:
        return suspended_clock()

    def failed(self, error: Exception) -> None:
        flood.warning("takeover_failed", f"taking over is delayed: {error}")

    def _look_at_broken(self, keys: frozenset[str]) -> None:
        """Have overwritten ledgers written anew. If a key was mended, entries that waited for it are read."""
        ledgers = f"{self._ledger.redis.prefix}event:"
        for key in keys:
            if key.startswith(ledgers):
                self._registry.lose(key.removeprefix(ledgers))
        if self._broken - keys:
            self._reread_own()
        self._broken = keys

    def _take(self, survey: Survey, now: float) -> None:
        able = not self._reach.cut_off(time.monotonic())
        if able:
            self._take_offers(survey)
            self._take_stranded(survey)
        if not survey.full:
            return
        if self._ledger.owner in survey.owners or self._registry.snapshot():
            self._compare_own(self._ledger.owner)
        if not able:
            return
        for owner in survey.owners:
            if owner and owner != self._ledger.owner:
                self._take_from(owner, survey, now)
        self._clear_consumers(survey, now)

    def _take_offers(self, survey: Survey) -> None:
        for event_id in survey.offers:
            if self._stop.is_set():
                return
            self._progress()
            # Ask the ledger, not our memory: an event that we once held may be offered to us again.
            owner = self._ledger.owner_of(event_id)
            room = self._registry.in_hand.room() > 0 and self._registry.free > 0
            if owner is None or owner == self._ledger.owner or (owner and not room):
                continue
            self._adopt(event_id, owner, offered=True, room=room)

    def _take_stranded(self, survey: Survey) -> None:
        """Take scale_downs that another replica was handed and has not taken, as it is frozen or dying.

        Their victims must not wait until that replica's silence is sure. The other entries do, and so does
        what is behind one of them, but for a task's scale_down, which takes that task's later workers too.
        """
        behind = False
        for event_id in survey.stranded:
            if self._stop.is_set() or not room_ahead(self._registry.in_hand):
                return
            self._progress()
            entry = None if event_id in self._stranded else self._ledger.scale_downs.sent(event_id)
            if entry is None or (behind and not takes_a_task_away(entry)):
                behind = True
            else:
                accept_ahead(self._intake, entry)
        self._stranded = frozenset(survey.stranded)

    def _take_from(self, owner: str, survey: Survey, now: float) -> None:
        consumer, _, incarnation = owner.rpartition("/")
        registered = survey.replicas.get(consumer, ("", ""))[0]
        still = self._surveys.still_for(consumer, now)
        if registered in ("", incarnation):
            # During an update of the setting, the other replica's lease may be longer than ours.
            lease = max(self._surveys.lease_seconds, survey.leases.get(consumer, 0.0))
            wait = lease * (1.0 if self._registry.free > 0 else 1.0 + FULL_REPLICAS_WAIT)
            if still <= wait:
                return
        _, beat = self._surveys.heartbeat(consumer)
        for event_id in self._ledger.replicas.owned(owner, EVENTS_AT_ONCE):
            if self._stop.is_set():
                return
            self._progress()
            self._adopt(event_id, owner, beat=beat)

    def _adopt(
        self, event_id: str, owner: str, *, beat: str = "", offered: bool = False, room: bool = True
    ) -> None:
        try:
            taken = self._ledger.take_over(event_id, owner, beat=beat, offered=offered, room=room)
            self._intake.adopt(taken)
        except (Fenced, BadEvent) as error:
            log.debug("event_left_alone", str(error), event_id=event_id)
        except OF_REDIS_ITSELF:
            raise
        except RedisError as error:  # the error of one event must not keep the others from being taken
            flood.error("take_over_failed", str(error), event_id=event_id)

    def _compare_own(self, owner: str) -> None:
        """Compare the events that the ledger says are ours with those known here.

        An event of ours may be unknown here because a reply was lost. It is taken up once it was unknown
        twice in a row. An event known here may be another replica's because we were frozen. It is dropped, so
        that its workers hold no slot.
        """
        # Read before the ledger is asked: otherwise ``owned`` would lack an event that is taken in between.
        runs = self._registry.snapshot()
        owned = set(self._ledger.replicas.owned(owner, EVENTS_AT_ONCE * 10))
        for run in runs:
            event_id = run.event.event_id
            if event_id not in owned and self._ledger.owner_of(event_id) not in (None, owner):
                log.info("event_left_alone", "another replica owns the event now", **run.about)
                self._leaving.leave(run)
        unknown = {i for i in owned if not self._intake.knows(i)}
        for event_id in unknown & self._unknown:
            self._adopt(event_id, owner)
        self._unknown = unknown

    def _clear_consumers(self, survey: Survey, now: float) -> None:
        """Claim entries that silent consumers have read and nobody owns. Then remove the dead consumers."""
        for consumer in set(survey.replicas) | set(survey.consumers):
            lease = max(self._surveys.lease_seconds, survey.leases.get(consumer, 0.0))
            still = self._surveys.still_for(consumer, now)
            if consumer == self._ledger.identity.consumer or still <= min(lease, UNOWNED_AFTER_SECONDS):
                continue
            self._progress()
            incarnation, beat = self._surveys.heartbeat(consumer)
            if survey.consumers.get(consumer):
                self._claim_pending(consumer, incarnation, beat)
            elif still > lease and self._ledger.replicas.forget(consumer, incarnation, beat):
                log.info("replica_forgotten", f"the dead replica {consumer!r} owns nothing and is removed")

    def _claim_pending(self, consumer: str, incarnation: str, beat: str) -> None:
        count = min(PENDING_AT_ONCE, self._registry.in_hand.room())
        if not count:
            return
        try:
            claimed, gone = self._ledger.replicas.claim_pending(consumer, incarnation, beat, count)
        except RedisUnavailable:
            self._reread_own()  # the claim may have taken effect all the same
            raise
        for event_id in gone:
            log.warning("event_dead_lettered", DELETED_UNREAD, event_id=event_id, task_id=event_id)
        if claimed:
            self._reread_own()

    def _rewrite(self) -> None:
        rewritten = []
        for run in self._registry.lost(everything=self._emptied):
            try:
                self._reseed_run(run)
            except BrokenKey as error:  # of one event, or of what it needs to be written
                self._registry.lose(run.event.event_id)
                flood.warning("ledger_not_rewritten", str(error), **run.about)
            else:
                rewritten.append(run)
        self._registry.rewritten(rewritten)
        self._emptied = False

    def _reseed_run(self, run: EventRun) -> None:
        event = self._intake.whole(run)
        if not isinstance(event, ScaleUp):
            return
        before = self._ledger.reseed(event, run.body, run.epoch, dict(run.states))
        if before is not None:
            why = before.partition(";")[0].removeprefix("WRONGTYPE ") or "Redis had lost this event's ledger"
            log.warning("ledger_rewritten", f"{why}; it is rewritten from memory", **run.about)
