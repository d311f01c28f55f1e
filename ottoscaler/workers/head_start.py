"""The head start of an idle replica's first worker.

A replica that has nothing else to do creates an event's first worker at the moment it has read the event. Two
things would cost that worker time which the producer notices: a second round trip to Redis, to begin the
worker in the ledger right after the event was taken there; and the listener's own next steps, which hold the
interpreter while the worker's thread wants it. So the script that takes the event also begins its first
worker, and the listener steps aside for a millisecond. Such a begin counts only as long as nothing was waited
for since: under the same grant of the lease, and within half a second of the taking, as a scale_down may have
come in between. Who lets the event go before that worker was submitted takes the begin back, or the next
owner would have to skip the attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

LASTS_SECONDS = 0.5  # after the event was taken; then its first worker asks the ledger as any other
STEP_ASIDE_SECONDS = 0.001  # for the listener: its log line and next read would hold the create up by 0.2 ms


@dataclass(frozen=True, slots=True)
class HeadStart:
    """The ledger has begun an event's first worker, under this grant of the lease, when it took the event."""

    grant: int
    taken_at: float  # monotonic

    def counts(self, grant: int, now: float) -> bool:
        """Whether the begin still stands for one asked for ``now``, under the present grant."""
        return grant == self.grant and now - self.taken_at <= LASTS_SECONDS
