"""Gives events that this replica cannot begin to other replicas.

Without a free slot, an event is offered. Without Kubernetes, it is released.
"""

from __future__ import annotations

from collections.abc import Sequence

from ottoscaler.controller.reach import Reach
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.errors import Fenced, RedisError
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import Pause
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.workers.registry import RunRegistry
from ottoscaler.workers.run import EventRun

log = get_logger(__name__)

OFFER_AFTER_SECONDS = 5.0  # an event that has begun no worker by then is offered to other replicas
LET_GO_AFTER_LEASES = 1 / 3  # of being cut off. Not at once: the API server may only restart


class Offers:
    """Called by the dispatcher's thread. An error of Redis is logged, and the next step tries again."""

    def __init__(
        self,
        registry: RunRegistry,
        scale_downs: ScaleDowns,
        ledger: Ledger,
        reach: Reach,
        pause: Pause,
        lease_seconds: float,
    ) -> None:
        self._registry = registry
        self._scale_downs = scale_downs
        self._ledger = ledger
        self._reach = reach
        self._pause = pause
        self._let_go_after = min(OFFER_AFTER_SECONDS, lease_seconds * LET_GO_AFTER_LEASES)
        self._going: list[EventRun] = []  # to be released once no thread works on them any more

    def step(self, now: float) -> None:
        """Offer and release the events that are due at ``now`` (monotonic seconds)."""
        downs: list[tuple[str, int]] = []
        if self._reach.cut_off_for(now) > self._let_go_after:
            # One that was just taken, as nobody else reads it, is given the time to make its intents durable.
            downs = self._scale_downs.owned(seconds=self._let_go_after)
            self._let_go()
        try:
            if not self._pause.on:  # in a pause no other replica could begin it either
                for run in self._registry.late(now, OFFER_AFTER_SECONDS):
                    self._offer(run)
            self._release(downs)
        except RedisError as error:
            flood.warning("offer_failed", f"events cannot be offered: {error}")

    def _offer(self, run: EventRun) -> None:
        try:
            run.offered = self._ledger.offer(run.event.event_id, run.epoch)
        except Fenced:
            self._registry.drop(run)

    def _let_go(self) -> None:
        """Have the threads leave the events that have no Pod yet, so that these can be released."""
        runs = self._registry.without_pods()
        if self._reach.watching():
            # Only creates fail. One event is kept, to see when they work again.
            runs = runs[1:]
        self._going += [run for run in runs if not run.leaving]
        for run in runs:
            run.leaving = True

    def _release(self, downs: Sequence[tuple[str, int]]) -> None:
        self._going = [run for run in self._going if not run.dropped]
        idle = [run for run in self._going if not run.active]
        if not idle and not downs:
            return
        self._ledger.release([(run.event.event_id, run.epoch) for run in idle] + list(downs))
        for run in idle:
            self._registry.drop(run)
            log.info(
                "event_let_go", "Kubernetes is unreachable; the event is for other replicas", **run.about
            )
