"""How it grows: 100 to 5,000 Pods through one replica and ten on one stream, and what the ten cost more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from tests.tools.bench.contest import retrier
from tests.tools.bench.report import Bar, Figure, fairness, median
from tests.tools.bench.stage import Service, Stage, Store

PODS = (100, 1000, 5000)
REPLICAS = (1, 10)
ROUNDS = 3  # interleaved, so that what else the machine does meets one and ten alike
PODS_PER_EVENT = 10  # an event is one replica's, so there must be many of them to be shared
SLOTS = 1500  # of all replicas together: more Pods than slots, so that the stream is what they share
MANY_PODS = 1000  # from here on ten replicas are held to one's cost

MOST_CPU, MOST_BYTES, LEAST_SPEED = 1.5, 1.3, 0.9  # of one replica's
LEAST_FAIRNESS, LEAST_FAIRNESS_OF_FEW = 0.95, 0.9  # Jain's index


def points(stage: Stage, *, quick: bool) -> Iterator[dict[str, Any]]:
    """One point for each round, number of Pods and of replicas. Replicas are ready before the first XADD."""
    for number in range(1 if quick else ROUNDS):
        for count in (100, 1000) if quick else PODS:
            for replicas in REPLICAS:
                with ExitStack() as held:
                    store = held.enter_context(stage.redis())
                    slots = str(max(1, SLOTS // replicas))
                    services = [
                        held.enter_context(stage.service(store, replica=i, OTTO_MAX_WORKERS=slots))
                        for i in range(replicas)
                    ]
                    for service in services:
                        service.await_ready()
                    yield {"round": number + 1, **_point(stage, store, services, count)}


def _point(stage: Stage, store: Store, services: list[Service], count: int) -> dict[str, Any]:
    time.sleep(1.0)  # whatever a start leaves behind
    stage.witness.forget()
    before = [service.usage() for service in services]
    asked = [service.requests() for service in services]
    got = [service.watch_bytes() for service in services]
    begun = store.add(PODS_PER_EVENT, 1.0, events=count // PODS_PER_EVENT)
    stage.witness.wait(f"end of {count}", stage.witness.all_gone(count), retrier(count, 1.0))
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


def compared(found: Sequence[dict[str, Any]]) -> list[Figure]:
    """Ten replicas against one, a row each: the median of the rounds' ratios, with the least and the most."""
    return [figure for count in sorted({point["pods"] for point in found}) for figure in _rows(found, count)]


def _rows(found: Sequence[dict[str, Any]], count: int) -> list[Figure]:
    one, ten = (
        {p["round"]: p for p in found if (p["pods"], p["replicas"]) == (count, replicas)}
        for replicas in (REPLICAS[0], REPLICAS[-1])
    )
    many = count >= MANY_PODS
    rows = []
    for key, what, bar in (
        ("cpu_ms_per_worker", "CPU a worker", Bar(MOST_CPU)),
        ("watch_kb_per_worker", "watch bytes", Bar(MOST_BYTES)),
        ("workers_per_s", "workers/s", Bar(LEAST_SPEED, "at least")),
    ):
        ratios = [ten[number][key] / one[number][key] for number in sorted(one.keys() & ten.keys())]
        rows.append(_figure(f"{count} Pods: {what}, ten to one", ratios, bar if many else None))
    least = LEAST_FAIRNESS if many else LEAST_FAIRNESS_OF_FEW
    indexes = [point["fairness"] for point in ten.values()]
    rows.append(_figure(f"{count} Pods: fairness of ten (Jain)", indexes, Bar(least, "at least")))
    return rows


def _figure(what: str, values: Sequence[float], bar: Bar | None) -> Figure:
    note = f"{min(values):.2f} to {max(values):.2f} over {len(values)}" if values else ""
    return Figure(what, "", median(values), bar=bar, note=note)
