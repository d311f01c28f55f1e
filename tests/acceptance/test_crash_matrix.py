"""The crash matrix, as many rows as CI has time for: every call in some run, each fault in every run.

``python -m tests.tools.crash_matrix`` runs all of it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.harness.cluster_state import local_only
from tests.tools.crash_matrix import FAULTS, LANES, reference, rows, run

EVERY = 40  # rows of each fault
EVERY_GATED = 100  # the same calls, and one more a worker


@local_only
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("gate", "every"), [(False, EVERY), (True, EVERY_GATED)], ids=["plain", "start gate"]
)
def test_no_crash_at_any_outside_call_loses_or_doubles_anything(gate: bool, every: int) -> None:
    matrix = rows(reference(gate=gate), every)
    assert gate or {row.fault for row in matrix} == set(FAULTS)
    with ThreadPoolExecutor(LANES) as lanes:
        outcomes = [outcome for outcome, _ in lanes.map(partial(run, gate=gate), matrix)]
    print(*outcomes, sep="\n")
    assert not [str(outcome) for outcome in outcomes if outcome.problems]
    struck = sum(outcome.struck for outcome in outcomes)
    assert struck >= len(outcomes) * (0.5 if gate else 0.8), "the faults hardly met their calls"
