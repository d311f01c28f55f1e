"""A bar as a ratio of one run: its rounds, their spread, and a verdict, refused where it could be wrong.

Nothing here measures anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.tools.bench.report import median, table

LEAST_ROUNDS = 3
MOST_ROUNDS = 7
MORE_ROUNDS_SECONDS = 300.0  # a run that has taken so long begins no round beyond the first three
MOST_NOISE = 0.2  # cores used by others, beyond which a ratio tells of them too
# So many rounds for each one that may say otherwise. Were a ratio as often above its bar as below it, three
# rounds would agree by chance in a quarter of all runs, and six with one exception in a fifth.
ROUNDS_FOR_AN_EXCEPTION = 6
UNCLEAR = "unclear: the rounds disagree"


def another_round(noises: Sequence[float], seconds: float, unclear: Callable[[], bool]) -> bool:
    """Whether to begin one more round after those with such ``noises``, ``seconds`` after the first began.

    LEAST_ROUNDS quiet ones are wanted. Noisy ones are replaced, and more are added while a verdict is
    ``unclear``, within MOST_ROUNDS and MORE_ROUNDS_SECONDS."""
    if len(noises) < LEAST_ROUNDS:
        return True
    if len(noises) >= MOST_ROUNDS or seconds >= MORE_ROUNDS_SECONDS:
        return False
    return sum(1 for noise in noises if noise <= MOST_NOISE) < LEAST_ROUNDS or unclear()


def rounds_that_count(noises: Sequence[float]) -> list[int]:
    """The numbers of the quiet rounds; of all where those are too few, so that the verdict says noisy."""
    quiet = [number for number, noise in enumerate(noises) if noise <= MOST_NOISE]
    return quiet if len(quiet) >= LEAST_ROUNDS else list(range(len(noises)))


@dataclass(frozen=True, slots=True)
class Ratio:
    """The same ratio from each interleaved round, and how many cores others used meanwhile (the most of all
    rounds). ``pairs``: of each round the figure, and the one it is measured against (1 where it is a ratio by
    itself). ``at_least``: the bar is a floor, else a ceiling. Without a ``limit``, the row has no bar."""

    what: str
    limit: float | None
    pairs: tuple[tuple[float, float], ...]
    noise: float
    at_least: bool = False
    unit: str = ""
    note: str = ""

    @property
    def rounds(self) -> tuple[float, ...]:
        return tuple(ours / theirs for ours, theirs in self.pairs)

    @property
    def verdict(self) -> str:
        """``yes`` or ``NO`` where every round says so, or all but one of six or more; else why neither."""
        if len(self.rounds) < LEAST_ROUNDS:
            return f"too few: {len(self.rounds)} rounds of {LEAST_ROUNDS}"
        if self.noise > MOST_NOISE:
            return f"noisy: {self.noise:.1f} cores used by others"
        if self.limit is None:
            return "no bar"
        met = [each >= self.limit if self.at_least else each <= self.limit for each in self.rounds]
        exceptions = len(met) // ROUNDS_FOR_AN_EXCEPTION
        if met.count(False) <= exceptions:
            return "yes"
        return "NO" if met.count(True) <= exceptions else UNCLEAR

    def document(self) -> dict[str, Any]:
        told = {"rounds": self.rounds, "median": median(self.rounds), "verdict": self.verdict}
        return {**asdict(self), **told}

    def figures(self) -> str:
        """Both sides' medians, ``a to b UNIT``; empty for what is a ratio by itself."""
        ours, theirs = (median([pair[side] for pair in self.pairs]) for side in (0, 1))
        if not self.unit or ours is None or theirs is None:
            return ""
        return f"{ours:.3g} to {theirs:.3g} {self.unit}"

    def bar(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}" if self.limit is not None else "-"


@dataclass(frozen=True, slots=True)
class Peer:
    """What another program took, measured another time, with how; never beside a ratio of this run."""

    what: str
    ours: str
    theirs: str


# docs/comparison.md, "Measured beside KEDA", tells all of it.
KEDA_HOW = (
    "KEDA 2.20.2 ScaledJob (redis-streams, poll 1 s) and Ottoscaler, one after the other on one Kubernetes "
    "1.36.2 with a fake kubelet and Redis 7.0.15, two cores, 26 November 2026; NOT of this run "
    "(docs/comparison.md)"
)
KEDA = (
    Peer("idle: XADD to ADDED p50 / p99, ms", "8.5 / 19", "471 / 996"),
    Peer("1,000 entries, workers/s", "44 to 56", "32 to 38"),
    Peer("own CPU a worker, ms", "3.9 to 5.3", "2.1 to 3.6"),
    Peer("CPU of all processes a worker, ms", "30 to 38", "55 to 102"),
)


def render(ratios: Sequence[Ratio]) -> str:
    """The table for people, and below it the peer's."""
    rows = [
        (
            f"{median(ratio.rounds) or 0:.2f}",
            f"{min(ratio.rounds, default=0):.2f} to {max(ratio.rounds, default=0):.2f}",
            ratio.bar(),
            ratio.verdict,
            ratio.what,
            ratio.figures(),
            ratio.note,
        )
        for ratio in ratios
    ]
    peers = [(peer.what, peer.ours, peer.theirs) for peer in KEDA]
    return "\n\n".join(
        (
            table(("ratio", "rounds", "bar", "met", "what", "medians", "note"), rows, left=(3, 4, 5, 6)),
            table(("beside KEDA", "Ottoscaler", "KEDA"), peers, left=(0,)) + f"\n{KEDA_HOW}",
        )
    )
