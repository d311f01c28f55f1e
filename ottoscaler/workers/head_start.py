"""The head start of an idle replica's first worker.

A replica that has nothing else to do creates an event's first worker as soon as it has read the event. Two
things would delay that worker so much that the producer notices. One is a second round trip to Redis, to
begin the worker in the ledger after the event was taken there. The other is what the listener does next,
which holds the interpreter while the worker's thread needs it. So the script that takes the event also begins
its first worker in the ledger, and the listener sleeps for a millisecond after it.

That worker is also handed on before Redis has answered. As soon as the script's words are sent, a slot is
reserved for the worker, and the listener opens its create: it sends the request but for its last byte. The
API server checks who asks while Redis works, and creates nothing before that byte (docs/adr/0013). The
dispatcher starts the worker's thread, which waits for Redis's answer, takes its turn and sends the byte.
Where a create cannot be opened without waiting, the thread makes its request ready meanwhile.

If the answer is anything but "new, and its first worker has begun", the run is dropped, the thread gives its
slot back and drops the open request, and the answer is followed as if nothing had been handed on. Until the
answer, the registry does not know the event: it only counts the slot. So the event is in no list of runs that
are handed over, offered, cancelled or written anew, and it never takes the place of a known one. After the
answer, the run goes the way of any other, with its other workers. The lease is checked directly before the
create, as for any worker.

Such a begin counts only under the same grant of the lease and for half a second after the event was taken,
since a scale_down may come later. Where the worker could not be handed on after all, or stops before its
create was sent, the begin is taken back. Otherwise the next owner would have to skip the attempt.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from ottoscaler.kube.pod_api import CreateTurn
from ottoscaler.pods.plan import PodPlan

LASTS_SECONDS = 0.5  # after the event was taken; later, its first worker asks the ledger like any other
STEP_ASIDE_SECONDS = 0.001  # the listener sleeps: its log line and next read would delay the create by 0.2 ms


class ReadyCreate(NamedTuple):
    """The request of a create, and the plan that it was made of."""

    plan: PodPlan
    turn: CreateTurn


class HeadStart:
    """The ledger is to begin an event's first worker when it takes the event, under this grant of the lease.

    The intake tells what Redis answered. The worker's thread waits for that, and asks whether it counts.
    """

    def __init__(self, grant: int, taken_at: float) -> None:
        self.grant = grant
        self.taken_at = taken_at  # monotonic, of the moment before the ledger was asked
        self.ready: ReadyCreate | None = None  # the intake sets it before the worker is handed on
        self._stands = False
        self._unanswered = threading.Lock()  # a bare lock wakes its waiter sooner than an Event
        self._unanswered.acquire()

    def tell(self, *, stands: bool) -> None:
        """Say whether the event was taken and its first worker begun. To be called once."""
        self._stands = stands
        self._unanswered.release()

    def stands(self) -> bool:
        """Wait for Redis's answer. Returns whether the event was taken and its first worker begun.

        The Redis client bounds this wait: it gives up any command after some seconds.
        """
        with self._unanswered:
            return self._stands

    def end(self) -> None:
        """Drop the create's request, unless it was sent. The worker's thread calls this, perhaps twice."""
        if self.ready is not None:
            self.ready.turn.drop()

    def counts(self, grant: int, now: float) -> bool:
        """Whether the begin still counts at ``now`` (monotonic seconds), under the present ``grant``."""
        return grant == self.grant and now - self.taken_at <= LASTS_SECONDS
