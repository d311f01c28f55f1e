"""Every bar as a ratio of one run: bare and the service in turn, round after round, in one service."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from tests.tools.bench.bursts import WARM_UP
from tests.tools.bench.contest import run_bare, run_service, serving
from tests.tools.bench.measure import Lone, one, pause
from tests.tools.bench.noise import Noise
from tests.tools.bench.report import percentile
from tests.tools.bench.stage import Service, Stage, Store
from tests.tools.bench.verdicts import LEAST_ROUNDS, Ratio

BURST = 1000
EVENTS = 500
IDLE_SAMPLES = 34  # a round, so that three have a hundred
QUICK_SAMPLES = 10

# name: its bar, whether it is a floor, and how it is found
BARS: dict[str, tuple[float, bool, str]] = {
    "workers/s to bare's": (0.95, True, f"one event of {BURST} workers of 1 s"),
    "CPU a worker to bare's": (1.8, False, "the same runs; bare is Python too, without store or limits"),
    "CPU a worker, events of one to a large one": (1.4, False, f"{EVENTS} workers of 1 s each way"),
    "idle: XADD to ADDED p50, to a lone create's": (1.3, False, "one worker at a time, after a pause"),
    "idle: XADD to ADDED p99, to a lone create's": (2.0, False, "of a round's samples: their largest"),
}


def bars(stage: Stage, *, quick: bool, say: Callable[[str], None]) -> list[Ratio]:
    """The ratios of LEAST_ROUNDS rounds. A bar's limit says nothing where others used the machine."""
    samples = QUICK_SAMPLES if quick else IDLE_SAMPLES
    rounds: dict[str, list[float]] = defaultdict(list)
    noise = 0.0
    lone = Lone(stage, samples * LEAST_ROUNDS)
    with serving(stage) as (service, store):
        run_service(stage, service, store, WARM_UP)
        run_service(stage, service, store, BURST)  # its threads and connections: no round is the first
        for number in range(LEAST_ROUNDS):
            with Noise() as heard:
                _bursts(stage, service, store, rounds)
                _idle(stage, store, lone, range(number * samples, (number + 1) * samples), rounds)
            noise = max(noise, heard.cores)
            say(f"round {number + 1} of {LEAST_ROUNDS}: {heard.cores:.2f} cores used by others")
    return [
        Ratio(what, limit, tuple(rounds[what]), noise, floor, how)
        for what, (limit, floor, how) in BARS.items()
    ]


def _bursts(stage: Stage, service: Service, store: Store, rounds: dict[str, list[float]]) -> None:
    bare = run_bare(stage, BURST)
    ours = run_service(stage, service, store, BURST)
    rounds["workers/s to bare's"].append(ours.per_second / bare.per_second)
    rounds["CPU a worker to bare's"].append(ours.cpu_ms / bare.cpu_ms)
    large = run_service(stage, service, store, EVENTS)
    small = run_service(stage, service, store, EVENTS, events=EVENTS)
    rounds["CPU a worker, events of one to a large one"].append(small.cpu_ms / large.cpu_ms)


def _idle(stage: Stage, store: Store, lone: Lone, numbers: range, rounds: dict[str, list[float]]) -> None:
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
        rounds[f"idle: XADD to ADDED p{percent}, to a lone create's"].append(found / limit)
