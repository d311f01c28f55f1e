"""What the decision tables share: those of failures, refusals, leftover Pods, gone Pods and names.

The rows of a table are tried in order, and the first that fits decides. The docs show every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


def fits(accepted: tuple[T, ...], value: T) -> bool:
    """Whether a cell of a row accepts the value. An empty cell accepts every value. Any thread; pure."""
    return not accepted or value in accepted


def any_of(accepted: Iterable[StrEnum]) -> str:
    """How the docs write such a cell."""
    return "; or ".join(accepted) or "any"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that ends in a newline."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
