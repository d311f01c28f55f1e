"""docs/metrics.md against the code that makes the metrics."""

from __future__ import annotations

import re

from ottoscaler.telemetry.metric_specs import SPECS
from tests.tools.metrics_page import anchor, render
from tests.unit.manifests.kustomize import ROOT

DOCS = ROOT / "docs"


def test_page_is_what_the_code_writes() -> None:
    written = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert written == render(), "its last lines say how to write it anew"


def test_every_metric_says_what_a_bad_value_means() -> None:
    assert [name for name, spec in SPECS.items() if len(spec.bad) < 30 or not spec.meaning] == []


def test_every_section_of_the_runbook_that_it_points_at_exists() -> None:
    headings = re.findall(r"^#+ (.*)$", (DOCS / "operations.md").read_text(encoding="utf-8"), re.MULTILINE)
    pointed = set(re.findall(r"\(operations\.md#([^)]*)\)", render()))
    assert len(pointed) > 10
    assert pointed <= {anchor(heading) for heading in headings}
