"""Whose turn it is among the events that have a worker to start. Pure.

Turns are numbered: an event's arrival takes a number, and so does each start of a worker of it. The event
with the lowest number is next, so that each has one start a round, whatever its size, and who arrives queues
behind the present round.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

SUSPECT_FROM_STRIKES = 2  # deaths of owners without progress
RETRY_WAITS_TURNS = 30  # then a due retry goes ahead of its event's turn, at every second start at most


class Candidate(Protocol):
    """An event with a worker to start.

    ``turn`` is the number of its last turn, ``retry_due`` the number at which the first of its due retries
    became due. A ``suspect`` killed its owners and has made no progress since.
    """

    @property
    def priority(self) -> int: ...
    @property
    def strikes(self) -> int: ...
    @property
    def suspect(self) -> bool: ...
    @property
    def turn(self) -> int: ...
    @property
    def retry_due(self) -> int | None: ...


C = TypeVar("C", bound=Candidate)


def next_of(candidates: Iterable[C], turn: int, *, went_ahead: bool) -> C | None:
    """The event whose worker is next; its due retries come before its other workers.

    It is enough to hand in, of each priority, the one with the lowest turn, the one whose retry became due
    first, and all suspects. ``turn`` is the number that it will get; ``went_ahead``: the last start was a
    retry ahead of its turn.
    """
    first: C | None = None
    late: C | None = None
    for each in candidates:
        if first is None or each.priority > first.priority:
            first, late = each, None
        elif each.priority < first.priority:
            continue
        elif each.turn < first.turn:
            first = each
        due = each.retry_due
        if due is not None and turn - due > RETRY_WAITS_TURNS and (late is None or _due(each) < _due(late)):
            late = each
    chosen = late if late is not None and not went_ahead else first
    return _fewest_strikes(chosen, candidates) if chosen is not None and chosen.suspect else chosen


def _due(candidate: Candidate) -> tuple[int, int]:
    return candidate.retry_due if candidate.retry_due is not None else 0, candidate.turn


def _fewest_strikes(chosen: C, candidates: Iterable[C]) -> C:
    """The suspects take the blame in turn: an innocent one clears itself, and is not struck five times while
    something else kills the process."""
    suspects = (c for c in candidates if c.suspect and c.priority == chosen.priority)
    return min(suspects, key=lambda c: (c.strikes, c.turn))
