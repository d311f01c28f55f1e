"""A short storm from fixed seeds; ``make chaos MINUTES=30`` is the long one."""

from __future__ import annotations

import pytest

from tests.harness.cluster_state import local_only
from tests.tools.chaos import chaos

SEEDS = [7]
SECONDS = 8.0
EVENTS = 25


@local_only
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(200)
def test_storm_breaks_no_invariant(seed: int) -> None:
    report = chaos(seed, SECONDS, EVENTS)
    print(report)
    assert not report.problems, str(report)
    assert sum(report.faults.values()) >= 5, "hardly a storm"
    assert report.events == EVENTS
