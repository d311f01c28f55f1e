"""docs/architecture.md against the listing of the source."""

from __future__ import annotations

import re

import pytest

from ottoscaler.ledger.broken_keys import KINDS
from tests.tools.modules_page import PAGE, render
from tests.unit.manifests.kustomize import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCE = ROOT / "ottoscaler"


def test_every_file_that_it_names_exists() -> None:
    files = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.*")}
    names = files | {path.rpartition("/")[2] for path in files}
    assert set(re.findall(r"`([a-z_/0-9]+\.(?:py|lua))`", TEXT)) - names == set()


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in SOURCE.glob("*/__init__.py")))
def test_every_folder_has_its_paragraph(folder: str) -> None:
    assert re.search(rf"^\*\*.*`{folder}/`.*\*\*", TEXT, re.MULTILINE)


def test_every_module_with_a_lock_is_among_the_owners() -> None:
    owners = TEXT.partition("## Who owns which state")[2].partition("## ")[0]
    folders = ("controller", "workers", "ledger", "kube")
    locked = {
        path.relative_to(SOURCE).as_posix()
        for folder in folders
        for path in (SOURCE / folder).glob("*.py")
        if re.search(r"threading\.(Lock|RLock|Condition)\(", path.read_text(encoding="utf-8"))
    }
    assert {path for path in locked if f"`{path}`" not in owners} == set()


def test_every_module_and_script_is_in_the_list_of_modules() -> None:
    """``python -m tests.tools.modules_page`` writes it anew."""
    listed, written = (
        re.findall(r"^(?:## (\S+)/|\| `(\S+)`)", page, re.MULTILINE)
        for page in (PAGE.read_text(encoding="utf-8"), render())
    )
    assert listed == written


@pytest.mark.parametrize("page", ["architecture.md", "operations.md"])
def test_every_key_in_redis_is_explained(page: str) -> None:
    """What each holds, and what it costs where another program has overwritten it."""
    rows = re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    explained = {name.replace("*", "results") for row in rows for name in re.findall("`([^`]+)`", row)}
    explained |= {"places:dead"} if "places:results" in explained else set()
    assert set(KINDS) - explained == set()
