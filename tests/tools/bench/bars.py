"""Every bar as a ratio of one run: bare and the service in turn, round after round.

Each round starts the service anew. Two processes of one program differ by some 8 % for as long as they live
(docs/performance.md), so rounds of one process would agree with each other and not with the next run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tests.tools.bench.bursts import WARM_UP
from tests.tools.bench.contest import Run, run_bare, run_service, serving
from tests.tools.bench.measure import Lone, one, pause
from tests.tools.bench.noise import Noise
from tests.tools.bench.report import percentile
from tests.tools.bench.stage import Service, Stage, Store
from tests.tools.bench.verdicts import MOST_ROUNDS, UNCLEAR, Ratio, another_round, rounds_that_count

BURST = 1000
EVENTS = 500
IDLE_SAMPLES = 34  # a round, so that three have a hundred
QUICK_SAMPLES = 10
SUBJECTS = ("burst", "events", "idle")


@dataclass(frozen=True, slots=True)
class Row:
    """What a ratio is of, its bar, and how it is found."""

    subject: str
    limit: float | None
    at_least: bool
    unit: str
    how: str


ROWS: dict[str, Row] = {
    "workers/s to bare's": Row("burst", 0.95, True, "/s", f"one event of {BURST} workers of 1 s"),
    "creates/s to bare's": Row("burst", None, True, "/s", "the same runs, first to last ADDED"),
    "CPU a worker to bare's": Row("burst", 1.8, False, "ms", "the same runs"),
    "CPU a worker, events of one to a large one": Row(
        "events", 1.4, False, "ms", f"{EVENTS} workers of 1 s each way"
    ),
    "workers/s, events of one to a large one": Row("events", None, True, "/s", "the same runs"),
    "idle: XADD to ADDED p50, to a lone create's": Row(
        "idle", 1.3, False, "ms", "one worker at a time, after a pause"
    ),
    "idle: XADD to ADDED p99, to a lone create's": Row(
        "idle", 2.0, False, "ms", "of a round's samples: their largest"
    ),
}

Pairs = dict[str, list[tuple[float, float]]]


def bars(stage: Stage, subjects: Collection[str], *, quick: bool, say: Callable[[str], None]) -> list[Ratio]:
    """The ratios of LEAST_ROUNDS quiet rounds, or of more where these disagree or others used the machine, as
    far as ``another_round`` allows."""
    samples = QUICK_SAMPLES if quick else IDLE_SAMPLES
    pairs: Pairs = defaultdict(list)
    noises: list[float] = []
    lone = Lone(stage, samples * MOST_ROUNDS)

    def unclear() -> bool:
        return any(ratio.verdict == UNCLEAR for ratio in _ratios(subjects, pairs, noises))

    begun = time.monotonic()
    while another_round(noises, time.monotonic() - begun, unclear):
        number = len(noises)
        with serving(stage) as (service, store):
            run_service(stage, service, store, WARM_UP)
            if set(subjects) & {"burst", "events"}:
                run_service(stage, service, store, BURST)  # its threads and connections
            with Noise() as heard:
                if "burst" in subjects:
                    _burst(stage, service, store, pairs)
                if "events" in subjects:
                    _events(stage, service, store, pairs)
                if "idle" in subjects:
                    _idle(stage, store, lone, range(number * samples, (number + 1) * samples), pairs)
        noises.append(heard.cores)
        say(f"round {number + 1}: {heard.cores:.2f} cores used by others")
    return _ratios(subjects, pairs, noises)


def _ratios(subjects: Collection[str], pairs: Pairs, noises: list[float]) -> list[Ratio]:
    counts = rounds_that_count(noises)
    noise = max(noises[number] for number in counts)
    return [
        Ratio(
            what,
            row.limit,
            tuple(pairs[what][number] for number in counts),
            noise,
            row.at_least,
            row.unit,
            row.how,
        )
        for what, row in ROWS.items()
        if row.subject in subjects
    ]


def _burst(stage: Stage, service: Service, store: Store, pairs: Pairs) -> None:
    bare, bare_creates = run_bare(stage, BURST), _creates_per_second(stage)
    ours, our_creates = run_service(stage, service, store, BURST), _creates_per_second(stage)
    pairs["workers/s to bare's"].append((ours.per_second, bare.per_second))
    pairs["creates/s to bare's"].append((our_creates, bare_creates))
    pairs["CPU a worker to bare's"].append((ours.cpu_ms, bare.cpu_ms))


def _creates_per_second(stage: Stage) -> float:
    added = sorted(life.added for life in stage.witness.lives())
    return (len(added) - 1) / (added[-1] - added[0])


def _events(stage: Stage, service: Service, store: Store, pairs: Pairs) -> None:
    large: Run = run_service(stage, service, store, EVENTS)
    small = run_service(stage, service, store, EVENTS, events=EVENTS)
    pairs["CPU a worker, events of one to a large one"].append((small.cpu_ms, large.cpu_ms))
    pairs["workers/s, events of one to a large one"].append((small.per_second, large.per_second))


def _idle(stage: Stage, store: Store, lone: Lone, numbers: range, pairs: Pairs) -> None:
    stage.witness.forget()
    limits, ours = [], []
    for number in numbers:
        pause()
        limits.append(lone.sample(number))
        pause()
        ours.append(one(stage, store))
    for share, percent in ((0.5, 50), (0.99, 99)):
        found, limit = percentile(ours, share), percentile(limits, share)
        assert found is not None
        assert limit is not None
        pairs[f"idle: XADD to ADDED p{percent}, to a lone create's"].append((found * 1000, limit * 1000))
