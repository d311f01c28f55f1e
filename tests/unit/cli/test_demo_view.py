"""What the demo shows adds up."""

from __future__ import annotations

import io

import pytest

from ottoscaler.cli.demo_view import MARKS, Scene, View, Worker
from ottoscaler.model import Phase
from ottoscaler.pods.view import parse_pod

NOW = "2026-01-01T00:00:02.000Z"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_of_a_pod_has_a_mark_of_its_own(phase: Phase) -> None:
    pod = {"metadata": {"name": "a"}, "status": {"phase": phase.value}}
    assert Worker.of_pod(parse_pod(pod), NOW).state in MARKS


def test_counts_of_a_burst_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene("A burst", "", {"pod_count": "30"})
    workers = [Worker.waiting(index) for index in range(30)]
    workers[:3] = [
        Worker(index, state, 0.0, "") for index, state in enumerate(("running", "pending", "failed"))
    ]
    View(io.StringIO()).frame(scene, workers)
    counted = [int(word) for word in capsys.readouterr().out.split() if word.isdigit()]
    assert sum(counted) == 30
