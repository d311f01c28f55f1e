"""The table of sights: whether a worker's Pod is gone from the API, by what was seen of it.

Pure data and two functions without input or output: ``look_up`` finds the row, ``render_table`` writes the
table into docs/reliability.md. ``monitor.is_gone`` acts on the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ottoscaler.model import PodView


class Sight(StrEnum):
    """What is known of the Pod's presence."""

    SHOWN = "the watch shows it"
    ANSWERED_GONE = "the API server answered that it is gone"
    TOLD_DELETED = "the watch said DELETED"
    UNSEEN_LATELY = "the watch does not show it, a look within 5 s found it"
    UNSEEN = "the watch does not show it, the last look is older"
    UNSEEN_BY_NONE = "the same, while the watch is broken"


class LastSeen(StrEnum):
    """How the Pod was last seen."""

    ENDED = "terminal"
    GOING_UNBOUND = "being deleted, never started, on no node"
    GOING_UNSTARTED = "being deleted, never started, on a node"
    ALIVE = "otherwise, or not at all"


class Gone(StrEnum):
    """The verdict."""

    NO = "there"
    YES = "gone"
    IF_CANCELLED = "gone if it was cancelled, else ask"
    ASK = "ask the API server"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule. An empty tuple stands for any; the first row that fits decides."""

    sights: tuple[Sight, ...]
    last: tuple[LastSeen, ...]
    gone: Gone
    why: str

    def fits(self, sight: Sight, last: LastSeen) -> bool:
        return sight in self.sights and (not self.last or last in self.last)


# fmt: off
TABLE: tuple[Row, ...] = (
    Row((Sight.ANSWERED_GONE,), (), Gone.YES, "nothing is more certain"),
    Row((Sight.TOLD_DELETED,), (LastSeen.ENDED,), Gone.YES, "no container of it can run any more"),
    Row((Sight.TOLD_DELETED,), (LastSeen.GOING_UNBOUND,), Gone.YES, "no node had it, so nothing of it ran"),
    Row((Sight.TOLD_DELETED,), (LastSeen.GOING_UNSTARTED,), Gone.IF_CANCELLED,
        "after a scale_down no attempt follows that could run beside it"),
    Row((Sight.TOLD_DELETED,), (), Gone.ASK,
        "the watch says DELETED also of a Pod that lives on without a label that is selected by"),
    Row((Sight.UNSEEN,), (), Gone.ASK, "it lost a label, so the watch will never tell its end"),
    Row((Sight.UNSEEN_BY_NONE,), (), Gone.NO, "a list is about to tell"),
    Row((Sight.UNSEEN_LATELY,), (), Gone.NO, "it was there, and is looked at again in time"),
    Row((Sight.SHOWN,), (), Gone.NO, "the watch will tell"),
)
# fmt: on


# Each worker looks up several times, so the rows are gone through once.
_DECIDING = {
    (sight, last): next(row for row in TABLE if row.fits(sight, last)) for sight in Sight for last in LastSeen
}


def look_up(sight: Sight, last: LastSeen) -> Row:
    """The first row that fits; the table has one for every combination."""
    return _DECIDING[sight, last]


def last_seen(view: PodView | None) -> LastSeen:
    """The class of what the Pod last showed. Pure."""
    if view is not None and view.terminal:
        return LastSeen.ENDED
    if view is None or not view.deleting or view.started:
        return LastSeen.ALIVE
    return LastSeen.GOING_UNSTARTED if view.node else LastSeen.GOING_UNBOUND


def render_table() -> str:
    """docs/reliability.md: the table in Markdown, in the order in which it is read."""
    head = ["| what is known | the Pod as last seen | verdict | why |", "|---|---|---|---|"]
    rows = [f"| {_words(r.sights)} | {_words(r.last)} | {r.gone} | {r.why} |" for r in TABLE]
    return "\n".join(head + rows) + "\n"


def _words(values: Iterable[StrEnum]) -> str:
    return "; or ".join(values) or "any"
