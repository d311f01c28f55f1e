"""The Korean pages: what they show to type, and the names that they explain, are the English pages' own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = {"README.ko.md": "README.md"} | {
    f"docs/ko/{name}.md": f"docs/{name}.md" for name in ("quickstart", "events", "results")
}
FENCED = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    \S.*\n(?:^(?:    .*)?\n)*)+", re.MULTILINE)


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    """What a page shows as code, fenced or indented."""
    fenced = FENCED.findall(text(page))
    return fenced + [block.strip() for block in INDENTED.findall(FENCED.sub("", text(page)))]


def names(page: str) -> list[str]:
    """What stands as code in the first column of its tables."""
    rows = re.findall(r"^\| ([^|]*`[^|]*) \|", FENCED.sub("", text(page)), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize(("korean", "english"), PAGES.items())
def test_page_shows_the_same_code_as_the_english_one(korean: str, english: str) -> None:
    assert blocks(korean) == blocks(english) != []


@pytest.mark.parametrize(("korean", "english"), PAGES.items())
def test_page_explains_the_same_names_under_as_many_headings(korean: str, english: str) -> None:
    assert names(korean) == names(english)
    assert re.findall("^#+", FENCED.sub("", text(korean)), re.MULTILINE) == re.findall(
        "^#+", FENCED.sub("", text(english)), re.MULTILINE
    )


@pytest.mark.parametrize(("korean", "english"), PAGES.items())
def test_page_leads_to_files_that_exist_and_to_the_english_one(korean: str, english: str) -> None:
    leads = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text(korean))]
    targets = [(ROOT / korean).parent / link for link in leads if link and "://" not in link]
    assert [target for target in targets if not target.exists()] == []
    assert (ROOT / english).resolve() in [target.resolve() for target in targets]
