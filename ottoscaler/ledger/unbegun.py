"""Counts and logs what a script has ended without a Pod: cancelled workers, and events that ended with them.

No worker's thread hears of these.
"""

from __future__ import annotations

from typing import Any

from ottoscaler.ledger.records import text
from ottoscaler.model import Reason, Status
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.telemetry.metrics import Metrics

log = get_logger(__name__)

WORDS = 5  # that tell of one event: its id, status, milliseconds, task and metadata


class UnbegunEnds:
    """Thread-safe."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def tell(self, answer: list[Any]) -> None:
        """Tell of a number of workers, and of the events in the words behind it."""
        if answer[0]:
            self._metrics.workers_total.inc(Status.CANCELLED, Reason.CANCELLED, amount=answer[0])
        for at in range(1, len(answer), WORDS):
            event_id, status, duration, task_id, metadata = map(text, answer[at : at + WORDS])
            self._metrics.events_total.inc("scale_up", status)
            self._metrics.event_duration.observe(int(duration) / 1000)
            log.info(
                "event_ended",
                f"the event {Status(status).words}",
                event_id=event_id,
                task_id=task_id,
                metadata=metadata if metadata != "{}" else None,
                status=status,
                duration_ms=int(duration),
            )
