"""Taking over from the dead, the full and the stopped; the same walk also mends what this replica lost.

A replica is called dead when its heartbeat has stood still for a whole lease in which our own commands to
the same Redis run kept succeeding. Anything else (an error, a restart or failover of Redis, a gap in our
own observation, as after a SIGSTOP) starts the observation anew, or the first replica back after an outage
would take everyone's events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ottoscaler.controller.intake import Intake
from ottoscaler.errors import BadEvent, Fenced, RedisError, RedisUnavailable, Wiped
from ottoscaler.ledger.lease import suspended_clock
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Survey
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.workers.registry import EventRun, Flight

log = get_logger(__name__)

EVENTS_AT_ONCE = 200  # of one dead owner in one step; the next step goes on
PENDING_AT_ONCE = 100
FULL_REPLICAS_WAIT = 0.25  # of a lease more, so that replicas with free slots come first
WAIT_SECONDS = 5.0  # for a survey; surveys come every second


class Observations:
    """Who has stood still for how long. Pure but for the clock that is passed in."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease = lease_seconds
        self._seen: dict[str, tuple[str, str, float]] = {}  # consumer: incarnation, beat, since
        self._last = 0.0

    def forget(self) -> None:
        self._seen.clear()

    def update(self, survey: Survey, now: float) -> None:
        """Take note of a survey. A gap between two surveys proves nothing about anybody."""
        if now - self._last > self._lease / 2:
            self._seen.clear()
        self._last = now
        present = dict(survey.replicas)
        for owner in survey.owners:
            if owner:
                present.setdefault(owner.rsplit("/", 1)[0], ("", ""))
        for consumer in survey.consumers:
            present.setdefault(consumer, ("", ""))
        for consumer in set(self._seen) - set(present):
            del self._seen[consumer]
        for consumer, (incarnation, beat) in present.items():
            known = self._seen.get(consumer)
            if known is None or known[:2] != (incarnation, beat):
                self._seen[consumer] = (incarnation, beat, now)

    def still_for(self, consumer: str, now: float) -> float:
        """Seconds for which the consumer's heartbeat has stood still, as far as seen."""
        known = self._seen.get(consumer)
        return now - known[2] if known else 0.0

    def heartbeat(self, consumer: str) -> tuple[str, str]:
        known = self._seen.get(consumer)
        return (known[0], known[1]) if known else ("", "")


class Recovery:
    """The recovery thread's work. ``surveyed`` and ``emptied`` are called by the lease thread."""

    def __init__(
        self,
        ledger: Ledger,
        flight: Flight,
        intake: Intake,
        *,
        consumer: str,
        lease_seconds: float,
        free_slots: Callable[[], int],
        reread_own: Callable[[], None],
        leave: Callable[[EventRun], None],
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._flight = flight
        self._intake = intake
        self._consumer = consumer
        self._lease = lease_seconds
        self._free_slots = free_slots
        self._reread_own = reread_own
        self._leave = leave
        self._stop = stop
        self._beat = beat
        self._observations = Observations(lease_seconds)
        self._condition = threading.Condition()
        self._survey: Survey | None = None
        self._emptied = False
        self._unknown: set[str] = set()  # ours by the ledger, unknown here, seen once

    # --- the lease thread

    def surveyed(self, survey: Survey, same_run: bool) -> None:
        """A heartbeat's survey; ``same_run`` is False after an error or another run of Redis."""
        with self._condition:
            if not same_run:
                self._observations.forget()
            if survey.full:
                self._observations.update(survey, suspended_clock())
            if survey.full or (survey.offers and self._survey is None):
                self._survey = survey
            self._condition.notify()

    def emptied(self) -> None:
        """Redis was emptied and knows a new installation: everything in hand is written anew."""
        with self._condition:
            self._emptied = True
            self._condition.notify()

    # --- the recovery thread

    def run(self) -> None:
        while not self._stop.is_set():
            self._beat()
            with self._condition:
                self._condition.wait_for(
                    lambda: self._survey is not None or self._emptied or self._stop.is_set(), WAIT_SECONDS
                )
                survey, self._survey = self._survey, None
                emptied, self._emptied = self._emptied, False
            if self._stop.is_set():
                return
            try:
                self.step(survey, emptied)
            except RedisError as error:
                with self._condition:
                    self._emptied = self._emptied or emptied
                flood.warning("recovery_failed", f"taking over has to wait: {error}")

    def wake(self) -> None:
        with self._condition:
            self._condition.notify()

    def step(self, survey: Survey | None, emptied: bool = False) -> None:
        """Write anew what Redis lost, then take what nobody alive holds."""
        self._reseed(everything=emptied)
        if survey is None:
            return
        self._take_offers(survey)
        if not survey.full:
            return
        now = suspended_clock()
        if self._ledger.owner in survey.owners or self._flight.runs:
            self._compare_own(self._ledger.owner)
        for owner in survey.owners:
            if owner and owner != self._ledger.owner:
                self._take_from(owner, survey, now)
        self._clear_consumers(survey, now)

    def _take_offers(self, survey: Survey) -> None:
        for event_id in survey.offers:
            if self._stop.is_set():
                return
            self._beat()
            # By the ledger, not by our memory: what we once held may have come back to us on offer.
            owner = self._ledger.owner_of(event_id)
            room = self._flight.room() > 0 and self._free_slots() > 0
            if owner is None or owner == self._ledger.owner or (owner and not room):
                continue
            self._adopt(event_id, owner, offered=True, room=room)

    def _take_from(self, owner: str, survey: Survey, now: float) -> None:
        consumer, incarnation = owner.rsplit("/", 1)
        registered = survey.replicas.get(consumer, ("", ""))[0]
        still = self._observations.still_for(consumer, now)
        if registered in ("", incarnation):
            # Theirs may be longer than ours, in mid-update of the setting.
            lease = max(self._lease, survey.leases.get(consumer, 0.0))
            wait = lease * (1.0 if self._free_slots() > 0 else 1.0 + FULL_REPLICAS_WAIT)
            if still <= wait:
                return
        _, beat = self._observations.heartbeat(consumer)
        for event_id in self._ledger.replicas.owned(owner, EVENTS_AT_ONCE):
            if self._stop.is_set():
                return
            self._beat()
            self._adopt(event_id, owner, beat=beat)

    def _adopt(
        self, event_id: str, owner: str, *, beat: str = "", offered: bool = False, room: bool = True
    ) -> None:
        try:
            taken = self._ledger.take_over(event_id, owner, beat=beat, offered=offered, room=room)
            self._intake.adopt(taken)
        except (Fenced, BadEvent) as error:
            log.debug("event_left_alone", str(error), event_id=event_id)
        except (RedisUnavailable, Wiped):
            raise
        except RedisError as error:  # one event's error must not end the walk over the others
            flood.error("take_over_failed", str(error), event_id=event_id)

    def _compare_own(self, owner: str) -> None:
        """Ours by the ledger, but unknown here: a reply was lost. Seen twice, it is taken up. Known here, but
        another's by the ledger (we were frozen meanwhile): its waits here end, so that they hold no slot.
        """
        runs = self._flight.snapshot()  # before the ledger is asked, or what is taken meanwhile would miss
        owned = set(self._ledger.replicas.owned(owner, EVENTS_AT_ONCE * 10))
        for run in runs:
            event_id = run.event.event_id
            if event_id not in owned and self._ledger.owner_of(event_id) not in (None, owner):
                log.info(
                    "event_left_alone",
                    "the event is another replica's now",
                    event_id=event_id,
                    task_id=run.event.task_id,
                )
                self._leave(run)
        unknown = {i for i in owned if not self._flight.knows(i)}
        for event_id in unknown & self._unknown:
            self._adopt(event_id, owner)
        self._unknown = unknown

    def _clear_consumers(self, survey: Survey, now: float) -> None:
        """Entries that dead consumers read and nobody owns; then the consumers themselves."""
        for consumer in set(survey.replicas) | set(survey.consumers):
            lease = max(self._lease, survey.leases.get(consumer, 0.0))
            if consumer == self._consumer or self._observations.still_for(consumer, now) <= lease:
                continue
            self._beat()
            incarnation, beat = self._observations.heartbeat(consumer)
            if survey.consumers.get(consumer):
                if self._flight.room():
                    count = min(PENDING_AT_ONCE, self._flight.room())
                    try:
                        claimed = bool(
                            self._ledger.replicas.claim_pending(consumer, incarnation, beat, count)
                        )
                    except RedisUnavailable:
                        self._reread_own()  # it may have taken effect all the same
                        raise
                    if claimed:
                        self._reread_own()
            elif self._ledger.replicas.forget(consumer, incarnation, beat):
                log.info("replica_forgotten", f"the dead replica {consumer!r} owns nothing and is forgotten")

    def _reseed(self, *, everything: bool) -> None:
        with self._flight.lock:
            lost = set(self._flight.runs) if everything else self._flight.forgotten & set(self._flight.runs)
            runs = [self._flight.runs[event_id] for event_id in lost]
        for run in runs:
            self._reseed_run(run)
        with self._flight.lock:
            self._flight.forgotten -= lost

    def _reseed_run(self, run: EventRun) -> None:
        self._intake.replan(run)
        with self._flight.lock:
            states = dict(run.states)
        if self._ledger.reseed(run.event, run.body, run.epoch, states):
            log.warning(
                "ledger_rewritten",
                "Redis had lost this event's ledger; it is written anew from memory",
                event_id=run.event.event_id,
                task_id=run.event.task_id,
            )
