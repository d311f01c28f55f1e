"""One run of one contestant: so many workers from the word go to the last deletion, and what it took."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.tools.bench.processes import Process
from tests.tools.bench.stage import Service, Stage, Store

SECONDS_PER_WORKER = 0.2  # slower than any contestant on any cluster that was seen
LEAST_SECONDS = 60.0
RESULT_SECONDS = 10.0  # from the last deletion to the last entry in the results; they come before it


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took, over all of its workers."""

    workers: int
    seconds: float
    cpu_seconds: float
    requests: Mapping[str, int]
    reactions: tuple[float, ...]  # seconds from the end of each Pod to its delete

    @property
    def per_second(self) -> float:
        return self.workers / self.seconds

    @property
    def cpu_ms(self) -> float:
        return self.cpu_seconds * 1000 / self.workers

    def each(self, *verbs: str) -> float:
        """Requests per worker of these verbs, of all of them by default."""
        chosen = verbs or tuple(self.requests)
        return sum(self.requests.get(verb, 0) for verb in chosen) / self.workers


def longest_seconds(workers: int, run_seconds: float) -> float:
    return LEAST_SECONDS + workers * SECONDS_PER_WORKER + run_seconds


def run_bare(stage: Stage, count: int, run_seconds: float = 1.0) -> Run:
    """The ceiling, in a process of its own that is ready before the clock starts."""
    stage.witness.forget()
    with stage.bare(count, run_seconds) as process:
        if process.line().strip() != "ready":
            raise RuntimeError("the bare generator is not ready")
        begun = time.monotonic()
        process.tell("go")
        told = json.loads(process.line())
        seconds = _until_gone(stage, count, run_seconds, begun)
    return Run(count, seconds, told["cpu_seconds"], told["requests"], _reactions(stage))


def run_service(
    stage: Stage, service: Service, store: Store, count: int, run_seconds: float = 1.0, *, events: int = 1
) -> Run:
    """The service, which is running and ready. Raises where a worker has no result."""
    stage.witness.forget()
    before, asked, known = service.usage(), service.requests(), store.results()
    begun = store.add(count // events, run_seconds, events=events)
    seconds = _until_gone(stage, count, run_seconds, begun)
    after, told = service.usage(), service.requests()
    _await_results(store, known + count)
    requests = {verb: number - asked.get(verb, 0) for verb, number in told.items()}
    return Run(count, seconds, after.cpu_seconds - before.cpu_seconds, requests, _reactions(stage))


def run_naive(stage: Stage, count: int, run_seconds: float = 1.0, *, events: int = 1) -> Run:
    """The naive peer, in a process of its own, started and listening before the clock starts."""
    stage.witness.forget()
    with stage.redis() as store, stage.naive(store) as process:
        store.await_reader()
        before = process.usage()
        begun = store.add(count // events, run_seconds, events=events)
        seconds = _until_gone(stage, count, run_seconds, begun)
        cpu = process.usage().cpu_seconds - before.cpu_seconds
        requests = end_naive(process)
    return Run(count, seconds, cpu, requests, _reactions(stage))


def end_naive(process: Process) -> dict[str, int]:
    """Stop it; its requests by verb."""
    process.child.terminate()
    told: dict[str, int] = json.loads(process.line())
    return told


@contextmanager
def serving(stage: Stage, *, start_gate: bool = False) -> Iterator[tuple[Service, Store]]:
    """A ready service with a Redis of its own."""
    with stage.redis() as store, stage.service(store, OTTO_START_GATE=str(start_gate).lower()) as service:
        service.await_ready()
        store.await_reader()
        yield service, store


def _until_gone(stage: Stage, count: int, run_seconds: float, begun: float) -> float:
    seconds = longest_seconds(count, run_seconds)
    stage.witness.wait(f"end of {count} workers", stage.witness.all_gone(count), seconds)
    return stage.witness.last_gone - begun


def _reactions(stage: Stage) -> tuple[float, ...]:
    return tuple(life.reaction for life in stage.witness.lives() if life.terminal and life.deleting)


def _await_results(store: Store, count: int) -> None:
    deadline = time.monotonic() + RESULT_SECONDS
    while (found := store.results()) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} workers should have succeeded, {found} results tell of it")
        time.sleep(0.05)
