"""The Grafana dashboard against the metrics it shows and the kustomization that ships it."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

from ottoscaler.telemetry.metric_specs import SPECS
from tests.tools.dashboard.render import COLUMNS, FILE, render
from tests.unit.manifests.kustomize import ROOT, find
from tests.unit.manifests.kustomize import render as rendered

DASHBOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
ALL = DASHBOARD["panels"]
PANELS = [panel for panel in ALL if panel["type"] != "row"]
PARTS = re.compile(r"_(bucket|sum|count)$")


def metrics_of(panel: dict[str, Any]) -> set[str]:
    """The metrics that its queries name, a histogram's parts as the histogram."""
    text = " ".join(target["expr"] for target in panel["targets"])
    named = re.findall(r"\b((?:ottoscaler|process)_[a-z_]+)", text)
    return {name if name in SPECS else PARTS.sub("", name) for name in named}


def test_file_is_what_its_source_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), "run: python -m tests.tools.dashboard"


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_every_panel_has_a_unit_a_description_and_metrics_that_exist(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert len(panel["description"]) > 30
    assert metrics_of(panel)
    assert {name for name in metrics_of(panel) if name.startswith("ottoscaler_")} <= SPECS.keys()
    assert all(target["legendFormat"] for target in panel["targets"])
    # Whoever picks a namespace must see nothing of another one.
    for chosen in re.findall(r"\{([^{}]*)\}", " ".join(target["expr"] for target in panel["targets"])):
        assert 'namespace=~"$namespace"' in chosen


def test_every_metric_is_on_some_panel() -> None:
    shown = set().union(*(metrics_of(panel) for panel in PANELS))
    assert SPECS.keys() - shown == set()


def test_panels_have_names_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert len({panel["id"] for panel in ALL}) == len(ALL)
    taken: set[tuple[int, int]] = set()
    for panel in ALL:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken
        taken |= cells
    assert all(one["gridPos"]["y"] <= other["gridPos"]["y"] for one, other in pairwise(ALL))


def test_kustomize_ships_it_with_the_sidecars_label() -> None:
    shipped = find(rendered(ROOT / "manifests" / "monitoring"), "ConfigMap")
    assert shipped["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(shipped["data"]["dashboard.json"]) == DASHBOARD
