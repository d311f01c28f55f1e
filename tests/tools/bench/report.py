"""From measurements to a table, a JSON file and a verdict on each bar. Nothing here measures anything."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

SCHEMA = 1
MISSING = "-"

Against = Literal["itself", "at least", "share of bare", "over bare"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit of docs/performance.md.

    ``itself``: the service's figure is at most ``limit``; ``at least``: no less. ``over bare``: at most
    ``limit`` above bare's. ``share of bare``: at least that share of bare's.
    """

    limit: float
    against: Against = "itself"

    def met(self, service: float | None, bare: float | None) -> bool | None:
        """``None`` where it cannot be told, since a figure is missing."""
        if service is None or (bare is None and self.against not in ("itself", "at least")):
            return None
        if self.against == "at least":
            return service >= self.limit
        if self.against == "itself":
            return service <= self.limit
        assert bare is not None
        if self.against == "over bare":
            return service - bare <= self.limit
        return service >= bare * self.limit

    def text(self) -> str:
        if self.against == "over bare":
            return f"bare + {_number(self.limit)}"
        if self.against == "share of bare":
            return f">= {self.limit:.0%} of bare"
        return f"{'>=' if self.against == 'at least' else '<='} {_number(self.limit)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: the same quantity of the service, of the ceiling and of the naive peer, in one unit."""

    what: str
    unit: str
    service: float | None
    bare: float | None = None
    naive: float | None = None
    bar: Bar | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Service over bare."""
        if self.service is None or not self.bare:
            return None
        return self.service / self.bare

    @property
    def met(self) -> bool | None:
        return self.bar.met(self.service, self.bare) if self.bar is not None else None


@dataclass(slots=True)
class Report:
    """All figures of one run, with where they come from."""

    about: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)  # of a scaling run, a point each
    ratios: list[Any] = field(default_factory=list)  # of a run of bars (verdicts.Ratio)

    def document(self) -> dict[str, Any]:
        rows = [{**asdict(f), "ratio": f.ratio, "met": f.met} for f in self.figures]
        return {
            "schema": SCHEMA,
            "about": self.about,
            "figures": rows,
            "scaling": self.series,
            "bars": [ratio.document() for ratio in self.ratios],
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.document(), indent=1) + "\n")

    def text(self) -> str:
        """The table for people; ratios first. Then the points of a scaling run."""
        about = ", ".join(f"{name} {value}" for name, value in self.about.items())
        parts = [about]
        if self.figures:
            parts.append(table(("/ bare", "bar", "met", "what", "service", "bare", "naive", "unit", "note"),
                               [_row(figure) for figure in self.figures], left=(3, 7, 8)))  # fmt: skip
        if self.series:
            names = tuple(self.series[0])
            rows = [tuple(_number(point[name]) for name in names) for point in self.series]
            parts.append(table(names, rows, left=()))
        return "\n\n".join(parts)


def _row(figure: Figure) -> tuple[str, ...]:
    verdict = {True: "yes", False: "NO", None: MISSING}[figure.met]
    return (
        _number(figure.ratio, places=2),
        figure.bar.text() if figure.bar is not None else MISSING,
        verdict if figure.bar is not None else "",
        figure.what,
        _number(figure.service),
        _number(figure.bare),
        _number(figure.naive),
        figure.unit,
        figure.note,
    )


def _number(value: float | None, places: int | None = None) -> str:
    """Three digits that count; whole numbers as they are."""
    if value is None:
        return MISSING
    if places is not None:
        return f"{value:.{places}f}"
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """Columns as wide as their widest cell; those in ``left`` are aligned at the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(aligned).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of all do not exceed (nearest rank); ``None`` for none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float | None:
    return percentile(values, 0.5)


def milliseconds(seconds: Sequence[float], share: float) -> float | None:
    """A percentile of times in seconds, in milliseconds."""
    found = percentile(seconds, share)
    return found * 1000 if found is not None else None


def fairness(shares: Sequence[float]) -> float:
    """Jain's index of what each replica did: 1 where all did the same, 1/n where one did all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
