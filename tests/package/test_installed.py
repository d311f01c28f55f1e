"""`pip install ottoscaler`, as a stranger does it, from the wheel and from the sdist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an empty environment into which one of them was installed, with the extra `local`."""
    archive: Path = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    command = [str(folder / "bin" / "pip"), "install", "--quiet", "--no-compile", f"{archive}[local]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def run(*command: str | Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "OTTO", "VIRTUAL"))
    }
    return subprocess.run(
        command, cwd="/", env=clean, capture_output=True, text=True, timeout=seconds, check=False
    )


def test_tells_its_version_and_its_packages_fit_together(installed: Path) -> None:
    assert run(installed / "ottoscaler", "--version").stdout.startswith("ottoscaler ")
    assert run(installed / "pip", "check").returncode == 0


def test_demo_runs_to_its_end_without_the_source(installed: Path) -> None:
    """The embedded cluster, its kubelet, the scripts and the templates are all in it."""
    done = run(installed / "ottoscaler", "demo", seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_client_needs_no_more_than_it_says(installed: Path) -> None:
    assert run(installed / "python", "-c", "import ottoscaler.client").returncode == 0
