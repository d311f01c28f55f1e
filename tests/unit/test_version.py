"""The package's import, which comes before the signals are blocked, and the version that it can tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ottoscaler


def test_package_reads_its_version_only_when_it_is_asked_for() -> None:
    assert ottoscaler.__version__
    seen = "import sys, ottoscaler; print('importlib.metadata' in sys.modules)"
    root = Path(ottoscaler.__file__).parents[1]
    # -S: what the environment's own site files import counts for nothing here.
    run = [sys.executable, "-S", "-c", seen]
    assert subprocess.run(run, cwd=root, capture_output=True, text=True, check=True).stdout == "False\n"
