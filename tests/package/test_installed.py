"""`pip install ottoscaler`, as a stranger does it, from the wheel and from the sdist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.package.conftest import ROOT

pytestmark = pytest.mark.timeout(1800)

# Debian's own, as a stranger has it: often an older one than that of the tests.
SYSTEM = Path("/usr/bin/python3.11")
STRANGERS = str(SYSTEM if SYSTEM.exists() else sys.executable)


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
    assert "Without a clone: `python -m ottoscaler.local up`, `ottoscaler demo --page`." in done.stdout


def test_demo_s_last_words_hold_without_a_clone(installed: Path) -> None:
    assert "--exec" in run(installed / "python", "-m", "ottoscaler.local", "up", "--help").stdout
    assert "--page" in run(installed / "ottoscaler", "demo", "--help").stdout


def test_client_needs_no_more_than_it_says(wheel: Path, tmp_path: Path) -> None:
    """As docs/python.md has it; redis brings what it needs itself (async-timeout before Python 3.11.3)."""
    (line,) = re.findall(r"`(pip install .*&& .*)` in a clone", (ROOT / "docs" / "python.md").read_text())
    assert line.split(" && ") == ["pip install redis", "pip install --no-deps ."]
    subprocess.run([STRANGERS, "-m", "venv", str(tmp_path)], check=True, timeout=300)
    for what in (["redis"], ["--no-deps", str(wheel)]):
        subprocess.run([tmp_path / "bin" / "pip", "install", "--quiet", *what], check=True, timeout=900)
    used = run(tmp_path / "bin" / "python", "-c", "import ottoscaler.client")
    assert used.returncode == 0, used.stderr
