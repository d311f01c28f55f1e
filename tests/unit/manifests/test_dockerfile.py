"""What the Dockerfile promises, as far as it shows without a container engine."""

from __future__ import annotations

import configparser
import fnmatch
import json
import re

import pytest
from packaging.requirements import Requirement

from ottoscaler.config.settings import Settings
from tests.unit.manifests.kustomize import ROOT, find
from tests.unit.manifests.overlays import objects, pod_spec

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LINES = DOCKERFILE.replace("\\\n", " ").splitlines()
RESULT = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM ")) :]


def arguments(instruction: str, lines: list[str]) -> list[str]:
    return [line.split(None, 1)[1].strip() for line in lines if line.startswith(instruction + " ")]


def test_build_stands_on_one_slim_base_that_a_build_argument_pins_and_the_result_on_nothing() -> None:
    (base,) = [value for value in arguments("ARG", LINES) if value.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+", base)
    assert arguments("FROM", LINES) == ["${PYTHON_IMAGE} AS build", "scratch"]


def test_python_is_the_first_process_without_a_shell_in_between() -> None:
    assert [json.loads(value) for value in arguments("ENTRYPOINT", RESULT)] == [
        ["python", "-m", "ottoscaler"]
    ]
    assert arguments("CMD", RESULT) == []


def test_image_runs_as_the_user_that_the_deployment_asks_for() -> None:
    security = pod_spec("production")["securityContext"]
    assert arguments("USER", RESULT) == [f"{security['runAsUser']}:{security['runAsGroup']}"]


def test_nothing_is_written_at_run_time() -> None:
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(arguments("ENV", RESULT))


def test_result_is_what_was_laid_out_and_nothing_runs_in_it() -> None:
    assert arguments("COPY", RESULT) == ["--from=build /rootfs/ /"]
    assert arguments("RUN", RESULT) == []


def test_packages_are_installed_by_hash_alone() -> None:
    installs = re.findall(r"install [^&]*", " ".join(arguments("RUN", LINES)))
    locked = [each for each in installs if "--require-hashes" in each]
    assert len(locked) == 2
    assert all("--no-deps" in each and "--only-binary :all:" in each for each in locked)
    assert all("--no-index" in each for each in installs if each not in locked)


@pytest.mark.parametrize("name", ["requirements.lock.txt", "requirements-build.lock.txt"])
def test_lock_names_a_version_and_hashes_for_each_package(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().split("make lock\n")[1].strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ (; .*)?\\\n", entry), entry
        assert entry.count("--hash=sha256:") >= 1


def test_lock_has_every_package_that_setup_cfg_asks_for() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    wanted = [Requirement(line) for line in metadata["options"]["install_requires"].split("\n") if line]
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock.txt").read_text(), re.M))
    for requirement in wanted:
        assert requirement.specifier.contains(locked[requirement.name.lower()]), requirement


def test_exposed_port_is_the_default_one() -> None:
    assert arguments("EXPOSE", RESULT) == [str(Settings().http_port)]


def test_everything_that_is_copied_passes_the_dockerignore_and_nothing_else_does() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    copied: set[str] = set()
    for value in arguments("COPY", LINES[: len(LINES) - len(RESULT)]):
        copied |= {name.partition("/")[0] for name in value.split()[:-1]}
    assert copied == let_through
    for name in copied:
        assert (ROOT / name).exists(), name
        assert not [p for p in ignore if p != "*" and not p.startswith("!") and fnmatch.fnmatch(name, p)]


def test_label_names_the_licence_of_the_package() -> None:
    metadata = (ROOT / "setup.cfg").read_text()
    (licence,) = re.findall(r"^license = (.+)$", metadata, re.M)
    assert f'org.opencontainers.image.licenses="{licence}"' in DOCKERFILE


def test_production_names_the_newest_version_of_the_changelog() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    spec = find(objects("production"), "Deployment")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"].rsplit(":", 1)[1] == (released or ["0.1.0"])[0]
