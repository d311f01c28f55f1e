"""The measurements, one function each: from a stage to rows of the table."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.tools.bench import bare, bursts, server, wire
from tests.tools.bench.contest import serving
from tests.tools.bench.plan import Plan
from tests.tools.bench.report import Bar, Figure, median, milliseconds
from tests.tools.bench.stage import Stage, Store
from tests.tools.bench.witness import Life, Witness

SHORT_RUN_SECONDS = 0.05
PAUSE_SECONDS = (0.3, 0.6)  # between two samples of an idle service, at random: no rhythm may help or hurt
SAMPLE_SECONDS = 30.0  # for one Pod to come and go


def start_up(stage: Stage, plan: Plan) -> list[Figure]:
    """From the fork to the first XREADGROUP, and to the first 200 of /readyz."""
    ready, reading, naive = [], [], []
    for _ in range(plan.starts):
        with stage.redis() as store, stage.service(store) as service:
            ready.append(service.await_ready())
        with stage.redis() as store, stage.service(store) as service:
            reading.append(store.await_reader() - service.started_at)
        if plan.peers:
            with stage.redis() as store, stage.naive(store) as process:
                naive.append(store.await_reader() - process.started_at)
    note = f"median of {plan.starts} starts"
    return [
        Figure("start to ready", "s", median(ready), bar=Bar(1.5), note=note),
        Figure("start to the first read", "s", median(reading), naive=median(naive), bar=Bar(1.5), note=note),
    ]


# --- idle


def idle(stage: Stage, plan: Plan) -> list[Figure]:
    """One worker at a time after a pause, in turn with a lone create: XADD to ADDED, and end to delete."""
    lone = Lone(stage, plan.samples)
    lone_seconds, seconds = [], []
    stage.witness.forget()
    with serving(stage) as (_, store):
        for number in range(plan.samples):
            pause()
            lone_seconds.append(lone.sample(number))
            pause()
            seconds.append(one(stage, store))
        ours = _reactions(stage.witness, "otto-agent-bench-")
        limits = _reactions(stage.witness, "otto-agent-lone-")
    naive, naive_reactions = _idle_naive(stage, plan) if plan.peers else ([], [])
    note = f"{plan.samples} samples; bare: a lone create"
    rows = []
    for share, bar in ((0.5, Bar(2, "over bare")), (0.95, None), (0.99, Bar(15, "over bare"))):
        what = f"idle: XADD to ADDED p{share * 100:.0f}"
        rows.append(_latency(what, (seconds, lone_seconds, naive), share, bar, note))
        note = ""
    for share, most in ((0.5, 10), (0.95, None), (0.99, 50)):
        what = f"idle: end to delete p{share * 100:.0f}"
        bar = Bar(most) if most else None
        rows.append(_latency(what, (ours, limits, naive_reactions), share, bar, ""))
    return rows


def _latency(
    what: str, seconds: tuple[list[float], list[float], list[float]], share: float, bar: Bar | None, note: str
) -> Figure:
    ours, limits, naive = (milliseconds(each, share) for each in seconds)
    return Figure(what, "ms", ours, limits, naive, bar, note)


def _idle_naive(stage: Stage, plan: Plan) -> tuple[list[float], list[float]]:
    stage.witness.forget()
    with stage.redis() as store, stage.naive(store):
        store.await_reader()
        seconds = []
        for _ in range(max(10, plan.samples // 4)):  # each of them takes 2 s and more
            pause()
            seconds.append(one(stage, store))
        return seconds, _reactions(stage.witness, "otto-agent-naive-")


def one(stage: Stage, store: Store) -> float:
    """One worker by an event; seconds from before the XADD to its ADDED event."""
    before = len(stage.witness.lives())
    begun = store.add(1, SHORT_RUN_SECONDS)
    stage.witness.wait("end of a worker", stage.witness.all_gone(before + 1), SAMPLE_SECONDS)
    return stage.witness.lives()[-1].added - begun


class Lone:
    """A create with nobody before or behind it: what the API server takes when it was left alone."""

    def __init__(self, stage: Stage, count: int) -> None:
        self._stage = stage
        self._path = f"/api/v1/namespaces/{stage.namespace}/pods"
        self._pods = bare.bodies(stage.namespace, "lone", count, SHORT_RUN_SECONDS)
        self._connection = wire.Connection(stage.where)

    def sample(self, number: int) -> float:
        """Create, see it end, delete; seconds from the create's first byte to its ADDED event."""
        name, body = self._pods[number]
        witness, connection = self._stage.witness, self._connection
        begun = connection.send("POST", self._path, body)
        status, answer = connection.answer()
        if status != 201:
            raise RuntimeError(f"HTTP status {status} on a lone create: {answer[:300]!r}")
        witness.wait("end of a lone Pod", lambda _: self._life(name).terminal > 0, SAMPLE_SECONDS)
        connection.request("DELETE", f"{self._path}/{name}")
        witness.wait("lone Pod gone", lambda _: self._life(name).deleting > 0, SAMPLE_SECONDS)
        return self._life(name).added - begun

    def _life(self, name: str) -> Life:
        found = self._stage.witness.lives(name)
        return found[0] if found else Life(name)


def pause() -> None:
    time.sleep(random.uniform(*PAUSE_SECONDS))


def _reactions(witness: Witness, prefix: str) -> list[float]:
    return [life.reaction for life in witness.lives(prefix) if life.terminal and life.deleting]


ALL: dict[str, Callable[[Stage, Plan], list[Figure]]] = {
    "server": server.creates,
    "start": start_up,
    "idle": idle,
    "burst": bursts.bursts,
    "events": bursts.many_events,
    "gate": bursts.start_gate,
    "parked": bursts.parked,
}
