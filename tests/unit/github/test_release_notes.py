"""What a release says is the changelog's section for it, and a release without one does not go out."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

from tests.unit.manifests.kustomize import ROOT

section = runpy.run_path(str(ROOT / ".github" / "release_notes.py"))["section"]
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- Soon.

## [0.2.0] - 2026-01-02

### Fixed

- This one.

## [0.1.0] - 2025-01-02

- The first.

[0.2.0]: https://example.com/compare/v0.1.0...v0.2.0
"""


def test_section_ends_where_the_next_one_or_the_links_begin() -> None:
    assert section("0.2.0", CHANGELOG) == "### Fixed\n\n- This one.\n"
    assert section("0.1.0", CHANGELOG) == "- The first.\n"


def test_release_candidate_takes_its_versions_section_or_what_is_unreleased() -> None:
    assert section("0.2.0rc1", CHANGELOG) == section("0.2.0", CHANGELOG)
    assert "Soon." in section("0.3.0rc1", CHANGELOG)


@pytest.mark.parametrize("version", ["0.3.0", "0.2", "0.20.0"])
def test_version_without_a_section_is_refused_with_what_to_add(version: str) -> None:
    with pytest.raises(
        ValueError, match=rf"no section for {re.escape(version)}: add '## \[{re.escape(version)}\]"
    ):
        section(version, CHANGELOG)


def test_our_changelog_has_its_unreleased_section_first() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0].startswith("[Unreleased]")
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading)


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_has_least_rights_and_actions_by_commit(path: Path) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}, "a job that says nothing has no right"
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        if job["permissions"].get("contents") == "write":
            assert name == "release"
    for used in re.findall(r"uses: (\S+.*)", text):
        assert used.startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


def test_pythons_of_ci_are_those_of_the_classifiers() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    classified = re.findall(r"Python :: (3\.\d+)$", (ROOT / "setup.cfg").read_text(), re.M)
    assert workflow["jobs"]["checks"]["strategy"]["matrix"]["python"] == classified
