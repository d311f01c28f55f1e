"""Whose turn it is among the events that have a worker to start. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

ALONE_FROM_STRIKES = 2  # such an event begins alone, until it has made progress


class Candidate(Protocol):
    """An event with a worker to start."""

    @property
    def priority(self) -> int: ...
    @property
    def progressed(self) -> bool: ...
    @property
    def turn(self) -> int: ...


C = TypeVar("C", bound=Candidate)


def next_of(candidates: Iterable[C], suspects: Iterable[C]) -> C | None:
    """By priority, and between equals whoever had its last turn longest ago.

    ``suspects`` are those that killed their owners, also such as have nothing to start: the first of them
    that has made no progress yet begins alone, so that it takes nobody else's with it again.
    """
    candidates = list(candidates)
    for suspect in suspects:
        if not suspect.progressed:
            return suspect if suspect in candidates else None
    return min(candidates, key=lambda c: (-c.priority, c.turn), default=None)
