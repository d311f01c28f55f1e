"""The table of leftover Pods: what becomes of a Pod that no worker of this process waits for.

Pure data and two functions without input or output: ``look_up`` finds the row, ``render_table`` writes the
table into docs/reliability.md. The sweep acts on the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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
    REPORT = "report"  # its result, from its labels; then delete it


class Sights(StrEnum):
    """How often in a row the sweep must have seen the Pod so before it acts."""

    NONE = "-"
    ONE = "1"
    TWO = "2"
    USUAL = "2, beside other replicas 5"


@dataclass(frozen=True, slots=True)
class Case:
    """One rule. An empty tuple stands for any; the first row that fits decides."""

    events: tuple[EventSays, ...]
    indexes: tuple[IndexSays, ...]
    pods: tuple[PodIs, ...]
    fate: Fate
    sights: Sights
    why: str

    def fits(self, event: EventSays, index: IndexSays, pod: PodIs) -> bool:
        return (
            (not self.events or event in self.events)
            and (not self.indexes or index in self.indexes)
            and (not self.pods or pod in self.pods)
        )


_OVER = (IndexSays.LATER_ATTEMPT, IndexSays.RESULT)

# fmt: off
TABLE: tuple[Case, ...] = (
    Case((), (IndexSays.ANOTHER_POD,), (), Fate.DELETE, Sights.ONE,
        "the attempt's first Pod is the one that counts"),
    Case((), (IndexSays.THIS_POD,), (), Fate.LEAVE, Sights.NONE, "the event's owner waits for it"),
    # Its create was on its way when its replica froze. Not on sight: between its owner's retry and its
    # delete, every Pod that failed looks so.
    Case((), (IndexSays.LATER_ATTEMPT,), (PodIs.NOT_ENDED,), Fate.DELETE, Sights.TWO,
        "two attempts must not run beside each other"),
    Case((), _OVER, (PodIs.KEPT,), Fate.LEAVE, Sights.NONE, "its `OTTO_*_POD_TTL_SECONDS` is not over"),
    Case((EventSays.FINISHED,), (), (PodIs.KEPT,), Fate.LEAVE, Sights.NONE,
        "its `OTTO_*_POD_TTL_SECONDS` is not over"),
    Case((), _OVER, (), Fate.DELETE, Sights.USUAL, "its end is recorded, and its own delete failed"),
    Case((EventSays.FINISHED,), (), (), Fate.DELETE, Sights.USUAL, "its event's end is recorded"),
    Case((), (), (PodIs.NOT_ENDED,), Fate.LEAVE, Sights.NONE,
        "what Redis does not know (any more) is no evidence against a Pod that runs"),
    Case((EventSays.EXPIRED,), (), (), Fate.DELETE, Sights.USUAL, "its result was told, and has expired"),
    Case((EventSays.UNKNOWN,), (), (), Fate.REPORT, Sights.USUAL,
        "Redis lost its event; what its labels tell is told once, then it is deleted"),
    Case((EventSays.OPEN,), (), (), Fate.LEAVE, Sights.NONE, "whoever owns the event looks at it"),
)
# fmt: on


def look_up(event: EventSays, index: IndexSays, pod: PodIs) -> Case:
    """The first row that fits; the table has one for every combination."""
    return next(row for row in TABLE if row.fits(event, index, pod))


def render_table() -> str:
    """docs/reliability.md: the table in Markdown, in the order in which it is read."""
    lines = [
        "| its event | the ledger has for its index | the Pod | what is done | seen so in a row | why |",
        "|---|---|---|---|---|---|",
    ]
    for row in TABLE:
        cells = (_words(row.events), _words(row.indexes), _words(row.pods), row.fate, row.sights, row.why)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _words(values: Iterable[StrEnum]) -> str:
    return "; or ".join(values) or "any"
