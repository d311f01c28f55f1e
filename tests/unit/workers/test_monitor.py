"""For how long a worker has run that was adopted: no two machines' clocks are compared."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ottoscaler.model import Phase
from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.monitor import _ran_before_adoption

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()


def at(seconds: float) -> str:
    return datetime.fromtimestamp(NOON + seconds, UTC).isoformat()


def ran(now: float, **shown: Any) -> float:
    deps = SimpleNamespace(
        pods=SimpleNamespace(now=lambda: NOON + now), limits=SimpleNamespace(pending_timeout=900.0)
    )
    attempt = cast(Any, SimpleNamespace(deps=deps, created_at=0.0, born_at=float("-inf")))
    view = parse_pod({})._replace(phase=Phase.RUNNING, **shown)
    return _ran_before_adoption(attempt, view, NOON + now)


@pytest.mark.parametrize("ahead", [0, -3600, -5, 5, 3600])
def test_adopted_worker_has_run_for_as_long_whatever_its_nodes_clock_says(ahead: float) -> None:
    node = {"accepted_at": at(11 + ahead), "started_at": at(20 + ahead)}
    assert ran(100, created_at=at(0), bound_at=at(10), **node) == 81


def test_adopted_worker_of_unknown_start_has_run_at_least_since_its_pending_timeout() -> None:
    assert ran(100, created_at=at(0), started_at=at(-3600)) == 0
    assert ran(1000, created_at=at(0), started_at=at(-3600)) == pytest.approx(100)
