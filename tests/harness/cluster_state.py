"""What several acceptance tests look at or do alike: ledgers, Pods on their way out, worlds for a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.sandbox import REAL, Sandbox, sandbox

FOREVER = "inf"  # a simulated worker that runs until it is deleted
NEVER_STARTS: dict[str, str] = {"SIM_START_DELAY": "600"}  # its Pod stays Pending


def local_only(test: Callable[..., None]) -> Callable[..., None] | None:
    """Collect a test only on the local cluster: it needs faults that a real one has no switch for."""
    return None if REAL else test


def served(**settings: Any) -> Any:
    """A fixture: one sandbox with one ready replica for all tests of a module."""

    @pytest.fixture(scope="module")
    def place() -> Iterator[Sandbox]:
        with sandbox(**settings) as made:
            made.start()
            yield made

    return place


def ledger(place: Sandbox, event_id: str) -> dict[str, str]:
    """What Redis holds of an event."""
    found: dict[str, str] = place.redis.hgetall(f"otto:scale:events:ottoscaler:event:{event_id}")
    return found


def intents(place: Sandbox, event_id: str) -> list[int]:
    """The indexes of an event that stand to be cancelled."""
    return sorted(int(name[2:]) for name in ledger(place, event_id) if name.startswith("c:"))


def deleting(place: Sandbox, event_id: str) -> list[dict[str, Any]]:
    """The event's Pods that have been asked to go."""
    return [p for p in place.kube.workers(event_id) if p["metadata"].get("deletionTimestamp")]


def phases(place: Sandbox, event_id: str) -> dict[int, str]:
    """index: phase of the event's Pods that nobody has asked to go."""
    return {
        int(p["metadata"]["labels"]["ottoscaler.io/index"]): p["status"].get("phase", "")
        for p in place.kube.workers(event_id)
        if not p["metadata"].get("deletionTimestamp")
    }


def set_phase(place: Sandbox, pod: dict[str, Any], phase: str, **status: Any) -> None:
    """Write a Pod's end as a kubelet or a controller would."""
    place.kube.set_status(pod["metadata"]["name"], {"phase": phase, **status})


def ended_container(pod: dict[str, Any], **terminated: Any) -> list[dict[str, Any]]:
    """The container statuses of a Pod whose worker ended so."""
    at = pod["metadata"]["creationTimestamp"]
    state = {"exitCode": 1, "reason": "Error", "startedAt": at, "finishedAt": at, **terminated}
    return [
        {
            **one,
            "ready": False,
            "state": {"terminated": state} if one["name"] == "worker" else one["state"],
        }
        for one in pod["status"]["containerStatuses"]
    ]


def process_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
