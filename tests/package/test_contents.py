"""What is in the wheel and the sdist, against what git has."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.package.conftest import ROOT

pytestmark = pytest.mark.timeout(900)


def tracked(folder: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def test_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == tracked("ottoscaler")
    for kind in (".lua", ".yaml", "py.typed", "ottoscaler/local/apiserver/server.py", "telemetry/page/"):
        assert [name for name in names if kind in name], kind


def test_sdist_has_what_the_wheel_is_built_from(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked("ottoscaler") <= names
    assert {"setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/"))]


def test_metadata_names_the_version_the_licence_and_the_pythons(wheel: Path, sdist: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    told = email.message_from_bytes(archive.read(name))
    assert wheel.name == f"ottoscaler-{told['Version']}-py3-none-any.whl"
    assert sdist.name == f"ottoscaler-{told['Version']}.tar.gz"
    assert told["License-Expression"] == "Apache-2.0" or told["License"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    classifiers = told.get_all("Classifier") or []
    pythons = {
        line.rpartition(" ")[2]
        for line in classifiers
        if line.startswith("Programming Language") and "." in line
    }
    assert pythons == {"3.11", "3.12", "3.13", "3.14", "3.15"}


USE = """
import sys, urllib.request
import ottoscaler
from ottoscaler.ledger import records
from ottoscaler.local import LocalCluster
assert ottoscaler.__file__.startswith(sys.argv[1]), ottoscaler.__file__
cluster = LocalCluster("simulated", redis=False).start()
cluster.stop()
"""


def test_wheel_alone_starts_the_embedded_cluster_and_tells_its_version(wheel: Path, tmp_path: Path) -> None:
    """Without its packages from PyPI: those of this environment stand behind it."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    options = {"cwd": "/", "env": environment, "capture_output": True, "text": True, "timeout": 120}
    used = subprocess.run([sys.executable, "-c", USE, tmp_path], check=False, **options)  # type: ignore[call-overload]
    assert used.returncode == 0, used.stderr
    told = subprocess.run([sys.executable, "-m", "ottoscaler", "--version"], check=True, **options)  # type: ignore[call-overload]
    assert told.stdout.split() == ["ottoscaler", wheel.name.split("-")[1]]
