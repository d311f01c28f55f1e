"""The measurements with many workers at a time: throughput, and what each worker costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ottoscaler.cli.check_kubernetes import GATES_SINCE, is_at_least
from tests.tools.bench.contest import Run, longest_seconds, run_bare, run_naive, run_service, serving
from tests.tools.bench.plan import Plan
from tests.tools.bench.report import Bar, Figure, median, milliseconds
from tests.tools.bench.stage import Service, Stage, Store

PARKED = 1000
PARKED_RUN_SECONDS = 30.0
SETTLE_SECONDS = 2.0  # after a burst of creates, before an idle process is looked at
GATED_REQUESTS = 3.05  # a worker: create, delete, and the patch that takes the gate off
WARM_UP = 50  # workers: the first threads and connections are not what is measured


@dataclass(slots=True)
class Contest:
    """The runs of all contestants at one task, the ceiling and the service in turn."""

    ours: list[Run] = field(default_factory=list)
    bare: list[Run] = field(default_factory=list)
    naive: list[Run] = field(default_factory=list)

    def figure(
        self, what: str, unit: str, of: Callable[[Run], float], bar: Bar | None = None, note: str = ""
    ) -> Figure:
        """The median of each contestant's runs."""
        ours, bare, naive = (median([of(run) for run in runs]) for runs in (self.ours, self.bare, self.naive))
        return Figure(what, unit, ours, bare, naive, bar, note)

    def reaction(self, what: str, share: float) -> Figure:
        ours, bare, naive = (_reaction(runs, share) for runs in (self.ours, self.bare, self.naive))
        return Figure(what, "ms", ours, bare, naive)

    def requests(self, what: str) -> list[Figure]:
        def each(*verbs: str) -> Callable[[Run], float]:
            return lambda run: run.each(*verbs)

        unit = "requests"
        return [
            self.figure(f"requests a worker, {what}", unit, each(), Bar(2.05)),
            self.figure("  creates", unit, each("create")),
            self.figure("  deletes", unit, each("delete")),
            self.figure("  reads (get, list, watch)", unit, each("get", "list", "watch")),
        ]


def _reaction(runs: Sequence[Run], share: float) -> float | None:
    return milliseconds([seconds for run in runs for seconds in run.reactions], share)


def contest(
    stage: Stage, plan: Plan, service: Service, store: Store, count: int, *, events: int = 1
) -> Contest:
    """Let everybody run ``count`` workers of one second, the service's in so many events."""
    made = Contest()
    for _ in range(plan.repeats):
        made.bare.append(run_bare(stage, count))
        made.ours.append(run_service(stage, service, store, count, events=events))
    if plan.peers:
        made.naive.append(run_naive(stage, count, events=events))
    return made


def bursts(stage: Stage, plan: Plan) -> list[Figure]:
    """One event of many workers of one second each, and what the largest took."""
    rows: list[Figure] = []
    with serving(stage) as (service, store):
        run_service(stage, service, store, WARM_UP)
        for count in plan.bursts:
            made = contest(stage, plan, service, store, count)
            bar = Bar(0.9, "share of bare") if count >= 1000 else None
            note = f"median of {plan.repeats}"
            rows.append(made.figure(f"burst of {count}", "workers/s", lambda run: run.per_second, bar, note))
        rows.append(made.figure(f"CPU a worker, {count} of 1 s", "ms CPU", lambda run: run.cpu_ms, Bar(2.5)))
        rows += made.requests(f"{count} of 1 s")
        rows += [made.reaction(f"burst of {count}: end to delete p{p}", p / 100) for p in (50, 99)]
    return rows


def many_events(stage: Stage, plan: Plan) -> list[Figure]:
    """500 events of one worker each, at once."""
    with serving(stage) as (service, store):
        run_service(stage, service, store, WARM_UP)
        made = contest(stage, plan, service, store, 500, events=500)
    note = f"median of {plan.repeats}"
    return [
        made.figure("500 events of one worker", "workers/s", lambda run: run.per_second, note=note),
        made.figure("CPU a worker, 500 events", "ms CPU", lambda run: run.cpu_ms),
    ]


def start_gate(stage: Stage, plan: Plan) -> list[Figure]:
    """The largest burst without and with OTTO_START_GATE in turn, each time in a new service."""
    if not is_at_least(stage.version, GATES_SINCE):
        return [no_gates(stage.version)]
    count = plan.bursts[-1]
    ungated, gated = Contest(), Contest()
    for _ in range(plan.repeats):
        for made, held in ((ungated, False), (gated, True)):
            with serving(stage, start_gate=held) as (service, store):
                run_service(stage, service, store, WARM_UP)
                made.ours.append(run_service(stage, service, store, count))
    return price_of_the_gate(ungated, gated, count)


def no_gates(version: str) -> Figure:
    """The row of a server that would drop the gate, and so show a price that nobody pays."""
    return Figure("start gate", "-", None, note=f"not measured: needs Kubernetes 1.27, this is {version}")


def price_of_the_gate(ungated: Contest, gated: Contest, count: int) -> list[Figure]:
    """Each quantity without the gate, and under it with the gate and their ratio."""
    rows: list[Figure] = []
    for what, unit, of, bar, gated_bar in (
        (f"burst of {count}", "workers/s", lambda run: run.per_second, None, None),
        (f"CPU a worker, {count} of 1 s", "ms CPU", lambda run: run.cpu_ms, None, None),
        (f"requests a worker, {count} of 1 s", "requests", Run.each, Bar(2.05), Bar(GATED_REQUESTS)),
    ):
        without = ungated.figure(f"{what}, no gate", unit, of, bar, f"median of {len(ungated.ours)}")
        held = gated.figure(f"{what}, start gate", unit, of, gated_bar)
        if held.service is not None and without.service:
            held = replace(held, note=f"{held.service / without.service:.2f} of no gate")
        rows += [without, held]
    rows.append(gated.figure("  patches", "requests", lambda run: run.each("patch")))
    return rows


def parked(stage: Stage, plan: Plan) -> list[Figure]:
    """1,000 workers that run for a while: what their waiting costs, and their requests to the end."""
    run_seconds = PARKED_RUN_SECONDS + plan.parked_seconds  # so that none ends while we look
    made = Contest()
    with serving(stage) as (service, store):
        stage.witness.forget()
        before, asked = service.usage(), service.requests()
        begun = store.add(PARKED, run_seconds)
        stage.witness.wait("1,000 running", stage.witness.all_running(PARKED), longest_seconds(PARKED, 0))
        time.sleep(SETTLE_SECONDS)
        first, at = service.usage(), time.monotonic()
        time.sleep(plan.parked_seconds)
        last, looked = service.usage(), time.monotonic() - at
        still = PARKED - stage.witness.ended
        stage.witness.wait("end of all", stage.witness.all_gone(PARKED), longest_seconds(PARKED, run_seconds))
        requests = {verb: n - asked.get(verb, 0) for verb, n in service.requests().items()}
        cpu = service.usage().cpu_seconds - before.cpu_seconds
        made.ours.append(Run(PARKED, stage.witness.last_gone - begun, cpu, requests, ()))
    if plan.peers:
        made.naive.append(run_naive(stage, PARKED, run_seconds))
    share = (last.cpu_seconds - first.cpu_seconds) / looked * 100
    what = f"1000 of {run_seconds:.0f} s"
    return [
        Figure("RSS with 1,000 running", "MiB", first.rss_mib, bar=Bar(150)),
        Figure("threads with 1,000 running", "threads", float(first.threads)),
        Figure(f"{still} parked", "% of a core", share, bar=Bar(1), note=f"over {looked:.0f} s"),
        made.figure(f"CPU a worker, {what}", "ms CPU", lambda run: run.cpu_ms),
        *made.requests(what),
    ]
