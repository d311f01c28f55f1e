"""How it grows: 100 to 5,000 Pods through 1, 3 and 10 replicas on one stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from tests.tools.bench.contest import retrier
from tests.tools.bench.report import fairness
from tests.tools.bench.stage import Service, Stage, Store

PODS = (100, 300, 1000, 3000, 5000)
REPLICAS = (1, 3, 10)
PODS_PER_EVENT = 10  # an event is one replica's, so there must be many of them to be shared
SLOTS = 1500  # of all replicas together: more Pods than slots, so that the stream is what they share


def points(stage: Stage, *, quick: bool) -> Iterator[dict[str, Any]]:
    """One point for each number of Pods and replicas. Replicas are ready before the first XADD."""
    pods = (100, 1000) if quick else PODS
    for replicas in REPLICAS:
        for count in pods:
            with ExitStack() as held:
                store = held.enter_context(stage.redis())
                slots = str(max(1, SLOTS // replicas))
                services = [
                    held.enter_context(stage.service(store, replica=i, OTTO_MAX_WORKERS=slots))
                    for i in range(replicas)
                ]
                for service in services:
                    service.await_ready()
                yield _point(stage, store, services, count)


def _point(stage: Stage, store: Store, services: list[Service], count: int) -> dict[str, Any]:
    time.sleep(1.0)  # whatever a start leaves behind
    stage.witness.forget()
    before = [service.usage() for service in services]
    asked = [service.requests() for service in services]
    begun = store.add(PODS_PER_EVENT, 1.0, events=count // PODS_PER_EVENT)
    stage.witness.wait(f"end of {count}", stage.witness.all_gone(count), retrier(count, 1.0))
    seconds = stage.witness.last_gone - begun
    after = [service.usage() for service in services]
    told = [service.requests() for service in services]
    shares = [t.get("create", 0) - a.get("create", 0) for t, a in zip(told, asked, strict=True)]
    requests = sum(sum(t.values()) - sum(a.values()) for t, a in zip(told, asked, strict=True))
    cpu = sum(a.cpu_seconds - b.cpu_seconds for a, b in zip(after, before, strict=True))
    return {
        "replicas": len(services),
        "pods": count,
        "workers_per_s": count / seconds,
        "cpu_ms_per_worker": cpu * 1000 / count,
        "requests_per_worker": requests / count,
        "fairness": fairness(shares),
        "least_share": min(shares) * len(shares) / count,
        "most_share": max(shares) * len(shares) / count,
        "rss_mib_each": max(usage.rss_mib for usage in after),
    }
