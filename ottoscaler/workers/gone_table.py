"""The table of gone Pods: whether a worker's Pod is gone from the API, by what is known of its presence.

It is pure data and pure functions: ``look_up`` finds the row, and ``render_table`` gives the table for
docs/reliability.md. ``monitor.is_gone`` acts on the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ottoscaler.model import PodView
from ottoscaler.tables import any_of, fits, markdown


class Presence(StrEnum):
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
class GoneRule:
    """One row. An empty tuple fits every value. The first row that fits decides."""

    presences: tuple[Presence, ...]
    last: tuple[LastSeen, ...]
    gone: Gone
    why: str


# fmt: off
TABLE: tuple[GoneRule, ...] = (
    GoneRule((Presence.ANSWERED_GONE,), (), Gone.YES, "nothing is more certain"),
    GoneRule((Presence.TOLD_DELETED,), (LastSeen.ENDED,), Gone.YES, "no container of it can run any more"),
    GoneRule((Presence.TOLD_DELETED,), (LastSeen.GOING_UNBOUND,), Gone.YES,
        "no node had it, so nothing of it ran"),
    GoneRule((Presence.TOLD_DELETED,), (LastSeen.GOING_UNSTARTED,), Gone.IF_CANCELLED,
        "after a scale_down no attempt follows that could run beside it"),
    GoneRule((Presence.TOLD_DELETED,), (), Gone.ASK,
        "the watch says DELETED also of a Pod that lives on without a label that is selected by"),
    GoneRule((Presence.UNSEEN,), (), Gone.ASK, "it lost a label, so the watch will never tell its end"),
    GoneRule((Presence.UNSEEN_BY_NONE,), (), Gone.NO, "a list is about to tell"),
    GoneRule((Presence.UNSEEN_LATELY,), (), Gone.NO, "it was there, and is looked at again in time"),
    GoneRule((Presence.SHOWN,), (), Gone.NO, "the watch will tell"),
)
# fmt: on


# Each worker looks up several times, so the row for every combination is found once, here.
_DECIDING = {
    (presence, last): next(row for row in TABLE if fits(row.presences, presence) and fits(row.last, last))
    for presence in Presence
    for last in LastSeen
}


def look_up(presence: Presence, last: LastSeen) -> GoneRule:
    """The first row that fits. Every combination has one."""
    return _DECIDING[presence, last]


def last_seen(view: PodView | None) -> LastSeen:
    """How the Pod was last seen, as a value of the table. Pure."""
    if view is not None and view.terminal:
        return LastSeen.ENDED
    if view is None or not view.deleting or view.started:
        return LastSeen.ALIVE
    return LastSeen.GOING_UNSTARTED if view.node else LastSeen.GOING_UNBOUND


def render_table() -> str:
    """The table in Markdown for docs/reliability.md, in the order in which rows are tried."""
    rows = ((any_of(r.presences), any_of(r.last), r.gone, r.why) for r in TABLE)
    return markdown(("what is known", "the Pod as last seen", "verdict", "why"), rows)
