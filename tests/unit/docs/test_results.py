"""docs/results.md: every status and reason of the code, and every field that a contract test has seen."""

from __future__ import annotations

import re
from pathlib import Path

from ottoscaler.model import Reason, Status
from tests.integration.test_results_contract import EVENT, WORKER
from tests.tools.result_words import STATUSES, render_reasons, render_statuses

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")


def fields_under(heading: str) -> list[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z_:A-Z]+)` \|", section, re.MULTILINE)


def test_page_has_every_status_and_reason_that_the_code_has() -> None:
    assert set(STATUSES) == set(Status)
    for name, rendered in (("statuses", render_statuses()), ("reasons", render_reasons())):
        mark = f"<!-- generated: tests.tools.result_words.render_{name} -->\n\n"
        assert PAGE.partition(mark)[2].startswith(rendered)
    assert all(f"| `{reason.value}` |" in render_reasons() for reason in Reason)
    assert "|  |" not in render_reasons()


def test_page_has_every_field_in_the_entrys_order() -> None:
    assert fields_under("A worker's entry") == WORKER
    assert fields_under("An event's entry") == [*EVENT, "of"]
    assert fields_under("A dead letter") == ["event_id", "task_id", "error", "at", "field:NAME"]


def test_other_pages_lead_to_it() -> None:
    for page in (DOCS.parent / "README.md", DOCS / "events.md"):
        assert "results.md)" in page.read_text(encoding="utf-8")
