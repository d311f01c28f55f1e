"""How it grows: 100 to 5,000 Pods through one replica and ten on one stream, and what the ten cost more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from tests.tools.bench.contest import longest_seconds
from tests.tools.bench.noise import Noise
from tests.tools.bench.report import fairness
from tests.tools.bench.stage import Service, Stage, Store
from tests.tools.bench.verdicts import UNCLEAR, Ratio, another_round, rounds_that_count

PODS = (100, 1000, 5000)
QUICK_PODS = (100, 1000)
REPLICAS = (1, 10)
PODS_PER_EVENT = 10  # an event is one replica's, so there must be many of them to be shared
SLOTS = 1500  # of all replicas together: more Pods than slots, so that the stream is what they share
MANY_PODS = 1000  # from here on ten replicas are held to one's cost

MOST_CPU, MOST_BYTES, LEAST_SPEED = 1.5, 1.3, 0.9  # of one replica's
LEAST_FAIRNESS, LEAST_FAIRNESS_OF_FEW = 0.95, 0.9  # Jain's index


def points(stage: Stage, pods: Sequence[int], *, quick: bool) -> Iterator[dict[str, Any]]:
    """One point for each number of Pods, round and number of replicas. There are as many rounds as
    ``another_round`` wants, one if ``quick``. Replicas are ready before the first XADD."""
    for count in pods:
        noises: list[float] = []
        found: list[dict[str, Any]] = []

        def unclear(found: Sequence[dict[str, Any]] = found) -> bool:
            return any(ratio.verdict == UNCLEAR for ratio in compared(found))

        begun = time.monotonic()
        while not noises if quick else another_round(noises, time.monotonic() - begun, unclear):
            number = len(noises) + 1
            both = [{"round": number, **_fresh_point(stage, replicas, count)} for replicas in REPLICAS]
            noises.append(max(point["noise"] for point in both))
            found += both
            yield from both


def _fresh_point(stage: Stage, replicas: int, count: int) -> dict[str, Any]:
    with ExitStack() as held:
        store = held.enter_context(stage.redis())
        slots = str(max(1, SLOTS // replicas))
        services = [
            held.enter_context(stage.service(store, replica=i, OTTO_MAX_WORKERS=slots))
            for i in range(replicas)
        ]
        for service in services:
            service.await_ready()
        with Noise() as heard:
            point = _point(stage, store, services, count)
        return {**point, "noise": heard.cores}


def _point(stage: Stage, store: Store, services: list[Service], count: int) -> dict[str, Any]:
    time.sleep(1.0)  # whatever a start leaves behind
    stage.witness.forget()
    before = [service.usage() for service in services]
    asked = [service.requests() for service in services]
    got = [service.watch_bytes() for service in services]
    begun = store.add(PODS_PER_EVENT, 1.0, events=count // PODS_PER_EVENT)
    stage.witness.wait(f"end of {count}", stage.witness.all_gone(count), longest_seconds(count, 1.0))
    seconds = stage.witness.last_gone - begun
    after = [service.usage() for service in services]
    told = [service.requests() for service in services]
    shares = [t.get("create", 0) - a.get("create", 0) for t, a in zip(told, asked, strict=True)]
    requests = sum(sum(t.values()) - sum(a.values()) for t, a in zip(told, asked, strict=True))
    cpu = sum(a.cpu_seconds - b.cpu_seconds for a, b in zip(after, before, strict=True))
    watched = sum(service.watch_bytes() for service in services) - sum(got)
    return {
        "replicas": len(services),
        "pods": count,
        "workers_per_s": count / seconds,
        "cpu_ms_per_worker": cpu * 1000 / count,
        "watch_kb_per_worker": watched / 1000 / count,
        "requests_per_worker": requests / count,
        "fairness": fairness(shares),
        "least_share": min(shares) * len(shares) / count,
        "most_share": max(shares) * len(shares) / count,
        "rss_mib_each": max(usage.rss_mib for usage in after),
    }


def compared(found: Sequence[dict[str, Any]]) -> list[Ratio]:
    """Ten replicas against one, a row each."""
    return [ratio for count in sorted({point["pods"] for point in found}) for ratio in _rows(found, count)]


def _rows(found: Sequence[dict[str, Any]], count: int) -> list[Ratio]:
    one, ten = (
        {p["round"]: p for p in found if (p["pods"], p["replicas"]) == (count, replicas)}
        for replicas in (REPLICAS[0], REPLICAS[-1])
    )
    both = sorted(one.keys() & ten.keys())
    noises = [max(one[number]["noise"], ten[number]["noise"]) for number in both]
    counts = rounds_that_count(noises)
    rounds = [both[number] for number in counts]
    noise = max((noises[number] for number in counts), default=0.0)
    many = count >= MANY_PODS
    rows = []
    for key, what, unit, limit, at_least in (
        ("cpu_ms_per_worker", "CPU a worker", "ms", MOST_CPU, False),
        ("watch_kb_per_worker", "watch bytes", "kB", MOST_BYTES, False),
        ("workers_per_s", "workers/s", "/s", LEAST_SPEED, True),
    ):
        pairs = tuple((ten[number][key], one[number][key]) for number in rounds)
        named = f"{count} Pods: {what}, ten to one"
        rows.append(Ratio(named, limit if many else None, pairs, noise, at_least, unit))
    least = LEAST_FAIRNESS if many else LEAST_FAIRNESS_OF_FEW
    shares = tuple((ten[number]["fairness"], 1.0) for number in rounds)
    rows.append(Ratio(f"{count} Pods: fairness of ten (Jain)", least, shares, noise, at_least=True))
    return rows
