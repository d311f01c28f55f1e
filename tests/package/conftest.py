"""The wheel and the sdist, built as a release builds them.

``make package-check`` sets ``OTTOSCALER_TEST_PACKAGE=short``: what is in them, in some 20 s.
``make package-test`` sets ``full``: also each of them installed into an empty environment, and used.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORM = os.environ.get("OTTOSCALER_TEST_PACKAGE", "")
collect_ignore_glob = {"short": ["test_installed.py"], "full": []}.get(FORM, ["test_*.py"])


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of what is committed: from a clone, so nothing else gets in."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True, timeout=120)
    command = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(folder / "clone")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "absent from the `packages`" not in done.stdout + done.stderr, "data that setuptools may leave out"
    return folder / "dist"


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    (found,) = dist.glob("*.tar.gz")
    return found
