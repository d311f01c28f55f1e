"""The head start of an idle replica's first worker.

A replica that has nothing else to do creates an event's first worker as soon as Redis has taken the event.
Three things would delay that worker so much that the producer notices: a second round trip to Redis, to begin
the worker in the ledger after the event was taken there; the wake-ups of two threads before the request can
be made; and what the API server does with a request before it creates anything.

So the script that takes the event also begins its first worker in the ledger. While Redis works on that, the
listener opens the worker's create: it sends the request but for its last byte. The API server checks who
asks, and creates nothing before that byte (docs/adr/0013). If Redis answers "new, and its first worker has
begun", the listener reserves a slot for the worker, makes the checks that precede every create, and sends the
byte. Then it hands the worker on with the request, and the worker's thread reads the answer.

If Redis answers anything else, the open request is dropped, and the answer is followed as if there had been
none. If the create could not be opened, or may not be completed at once, the worker's thread sends the whole
request like any other. The begin then counts only under the same grant of the lease and for half a second
after the event was taken, since a scale_down may come later. Where the worker could not be handed on after
all, or stops before its create was sent, the begin is taken back. Otherwise the next owner would have to skip
the attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ottoscaler.kube.pod_api import CreateTurn
from ottoscaler.kube.subscription import Subscription
from ottoscaler.pods.plan import PodPlan

LASTS_SECONDS = 0.5  # after the event was taken; later, its first worker asks the ledger like any other


class OpenCreate(NamedTuple):
    """A create that the listener has opened, and what it was made of."""

    plan: PodPlan
    turn: CreateTurn


class SentCreate(NamedTuple):
    """A create that the listener has sent, and the subscription to its Pod."""

    plan: PodPlan
    turn: CreateTurn
    subscription: Subscription
    at: float  # monotonic, when its last byte was sent


@dataclass(slots=True, eq=False)
class HeadStart:
    """The ledger is to begin an event's first worker when it takes the event, under this grant.

    One thread at a time uses it: the listener, then the worker's.
    """

    grant: int
    taken_at: float  # monotonic, of the moment before the ledger was asked
    opened: OpenCreate | None = None  # until it is sent or dropped
    sent: SentCreate | None = None

    def drop(self) -> None:
        """Give up a create that was opened and not sent."""
        opened, self.opened = self.opened, None
        if opened is not None:
            opened.turn.leave()

    def fresh(self, now: float) -> bool:
        """Whether the event was taken so lately that the begin counts at ``now`` (monotonic seconds)."""
        return now - self.taken_at <= LASTS_SECONDS

    def counts(self, grant: int, now: float) -> bool:
        """Whether the begin still counts at ``now``, under the present ``grant``."""
        return grant == self.grant and self.fresh(now)
