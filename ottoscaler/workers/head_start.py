"""The head start of an idle replica's first worker.

A replica that has nothing else to do creates an event's first worker as soon as it has read the event. Two
things would delay that worker so much that the producer notices. One is a second round trip to Redis, to
begin the worker in the ledger after the event was taken there. The other is the listener's own next step,
which holds the interpreter while the worker's thread needs it. So the script that takes the event also begins
its first worker in the ledger, and the listener sleeps for a millisecond. The Pod's JSON is made while Redis
runs that script.

Such a begin counts only under the same grant of the lease and for half a second after the event was taken,
since a scale_down may come later. A replica that gives the event away before it has started that worker takes
the begin back. Otherwise the next owner would have to skip the attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

LASTS_SECONDS = 0.5  # after the event was taken; later, its first worker asks the ledger like any other
STEP_ASIDE_SECONDS = 0.001  # the listener sleeps: its log line and next read would delay the create by 0.2 ms


@dataclass(frozen=True, slots=True)
class HeadStart:
    """The ledger began an event's first worker when it took the event, under this grant of the lease."""

    grant: int
    taken_at: float  # monotonic

    def counts(self, grant: int, now: float) -> bool:
        """Whether the begin still counts at ``now`` (monotonic seconds), under the present ``grant``."""
        return grant == self.grant and now - self.taken_at <= LASTS_SECONDS
