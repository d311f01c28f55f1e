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
    def strikes(self) -> int: ...
    @property
    def progressed(self) -> bool: ...
    @property
    def turn(self) -> int: ...


C = TypeVar("C", bound=Candidate)


def next_of(candidates: Iterable[C]) -> C | None:
    """By priority, and between equals whoever had its last turn longest ago."""
    return min(_alone(list(candidates)), key=lambda c: (-c.priority, c.turn), default=None)


def _alone(candidates: list[C]) -> list[C]:
    """An event that killed its owners begins alone, so that it takes nobody else's with it again."""
    suspects = [c for c in candidates if c.strikes >= ALONE_FROM_STRIKES and not c.progressed]
    return suspects[:1] if suspects else candidates
