"""Whose turn it is among the events that have a worker to start. Pure.

Turns are numbered. An event gets a number when it arrives, and a new one with each start of one of its
workers. The event with the lowest number is next. So each event has one start in a round, whatever its size,
and a new event queues behind the present round.
"""

from __future__ import annotations

from collections.abc import Iterable

from ottoscaler.workers.run import EventRun

RETRY_WAITS_TURNS = 30  # then a due retry may start before its event's turn, at most at every second start


def next_of(candidates: Iterable[EventRun], turn: int, *, went_ahead: bool) -> EventRun | None:
    """The event whose worker is next. Its due retries start before its other workers.

    Not every event need be a candidate. Of each priority, the event with the lowest turn, the one whose retry
    became due first, and all suspects are enough. ``turn`` is the number that the chosen event will get.
    ``went_ahead``: the last start was a retry ahead of its turn.
    """
    first: EventRun | None = None
    late: EventRun | None = None
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


def _due(candidate: EventRun) -> tuple[int, int]:
    return candidate.retry_due if candidate.retry_due is not None else 0, candidate.turn


def _fewest_strikes(chosen: EventRun, candidates: Iterable[EventRun]) -> EventRun:
    """The suspect with the fewest strikes, so that suspects are tried in turn.

    An innocent one then makes progress and is no suspect any more. Otherwise it could get five strikes while
    another event kills the process.
    """
    suspects = (c for c in candidates if c.suspect and c.priority == chosen.priority)
    return min(suspects, key=lambda c: (c.strikes, c.turn))
