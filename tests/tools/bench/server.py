"""What the API server itself carries, with nothing of ours in front of it."""

from __future__ import annotations

from tests.tools.bench.contest import run_bare
from tests.tools.bench.plan import Plan
from tests.tools.bench.report import Figure
from tests.tools.bench.stage import Stage

RUN_SECONDS = 10.0  # longer than the creates take, so that no delete comes between them


def creates(stage: Stage, plan: Plan) -> list[Figure]:
    """Creates a second, with the scheduler and the kubelet already at work on those before."""
    run_bare(stage, plan.creates, RUN_SECONDS)
    added = sorted(life.added for life in stage.witness.lives())
    rate = (len(added) - 1) / (added[-1] - added[0])
    note = f"{plan.creates} Pods, first to last ADDED"
    return [Figure("the server: creates", "creates/s", None, rate, note=note)]
