"""The table of leftover Pods: what becomes of a Pod that no worker of this process waits for.

It is pure data and two pure functions: ``look_up`` finds the row, and ``render_table`` gives the table for
docs/reliability.md. The sweep acts on the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ottoscaler.tables import any_of, fits, markdown


class EventSays(StrEnum):
    """What the ledger says of the Pod's event."""

    OPEN = "is open"
    FINISHED = "has ended"
    EXPIRED = "ended, and its retention time is over"
    UNKNOWN = "is unknown to Redis"


class IndexSays(StrEnum):
    """What the ledger says of the Pod's index, seen from the Pod's own attempt."""

    THIS_POD = "this attempt, this Pod or none yet"
    ANOTHER_POD = "this attempt, another Pod"
    LATER_ATTEMPT = "a later attempt"
    RESULT = "a result"
    NOTHING = "nothing, or an earlier attempt"


class PodIs(StrEnum):
    """How far the Pod itself is."""

    NOT_ENDED = "has not ended"
    KEPT = "has ended, and is kept for a look"
    ENDED = "has ended"


class Fate(StrEnum):
    """What the sweep does with the Pod."""

    LEAVE = "leave"
    DELETE = "delete"
    REPORT = "report"  # record the result that its labels tell, then delete it


class Sights(StrEnum):
    """How often in a row the sweep must have seen the Pod in this state before it acts."""

    NONE = "-"
    ONE = "1"
    TWO = "2"
    USUAL = "2, beside other replicas 5"


@dataclass(frozen=True, slots=True)
class LeftoverRule:
    """One row. An empty tuple fits every value. The first row that fits decides."""

    events: tuple[EventSays, ...]
    indexes: tuple[IndexSays, ...]
    pods: tuple[PodIs, ...]
    fate: Fate
    sights: Sights
    why: str


_OVER = (IndexSays.LATER_ATTEMPT, IndexSays.RESULT)

# fmt: off
TABLE: tuple[LeftoverRule, ...] = (
    LeftoverRule((), (IndexSays.ANOTHER_POD,), (), Fate.DELETE, Sights.ONE,
        "the attempt's first Pod is the one that counts"),
    LeftoverRule((), (IndexSays.THIS_POD,), (), Fate.LEAVE, Sights.NONE, "the event's owner waits for it"),
    # Its create was on its way when its replica froze. One sight is not enough: between its owner's retry and
    # its delete, every Pod that failed looks like this.
    LeftoverRule((), (IndexSays.LATER_ATTEMPT,), (PodIs.NOT_ENDED,), Fate.DELETE, Sights.TWO,
        "two attempts must not run beside each other"),
    LeftoverRule((), _OVER, (PodIs.KEPT,), Fate.LEAVE, Sights.NONE,
        "its `OTTO_*_POD_TTL_SECONDS` is not over"),
    LeftoverRule((EventSays.FINISHED, EventSays.EXPIRED), (), (PodIs.KEPT,), Fate.LEAVE, Sights.NONE,
        "its `OTTO_*_POD_TTL_SECONDS` is not over"),
    LeftoverRule((), _OVER, (), Fate.DELETE, Sights.USUAL, "its end is recorded, and its own delete failed"),
    LeftoverRule((EventSays.FINISHED,), (), (), Fate.DELETE, Sights.USUAL, "its event's end is recorded"),
    LeftoverRule((), (), (PodIs.NOT_ENDED,), Fate.LEAVE, Sights.NONE,
        "what Redis does not know (any more) is no evidence against a Pod that runs"),
    LeftoverRule((EventSays.EXPIRED,), (), (), Fate.DELETE, Sights.USUAL,
        "its result was told, and has expired"),
    LeftoverRule((EventSays.UNKNOWN,), (), (), Fate.REPORT, Sights.USUAL,
        "Redis lost its event; what its labels tell is told once, then it is deleted"),
    LeftoverRule((EventSays.OPEN,), (), (), Fate.LEAVE, Sights.NONE, "whoever owns the event looks at it"),
)
# fmt: on


def look_up(event: EventSays, index: IndexSays, pod: PodIs) -> LeftoverRule:
    """The first row that fits. Every combination has one."""
    return next(r for r in TABLE if fits(r.events, event) and fits(r.indexes, index) and fits(r.pods, pod))


def render_table() -> str:
    """The table in Markdown for docs/reliability.md, in the order in which rows are tried."""
    head = ("its event", "the ledger has for its index", "the Pod", "what is done", "seen so in a row", "why")
    rows = ((any_of(r.events), any_of(r.indexes), any_of(r.pods), r.fate, r.sights, r.why) for r in TABLE)
    return markdown(head, rows)
