"""What the Dockerfile promises, as far as it shows without a container engine."""

from __future__ import annotations

import fnmatch
import json
import re

from ottoscaler.config.settings import Settings
from tests.unit.manifests.kustomize import ROOT, find
from tests.unit.manifests.overlays import objects, pod_spec

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LINES = DOCKERFILE.replace("\\\n", " ").splitlines()
RESULT = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM ")) :]


def arguments(instruction: str, lines: list[str]) -> list[str]:
    return [line.split(None, 1)[1].strip() for line in lines if line.startswith(instruction + " ")]


def test_both_stages_stand_on_one_slim_base_that_a_build_argument_pins() -> None:
    (base,) = [value for value in arguments("ARG", LINES) if value.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+", base)
    assert [value.split()[0] for value in arguments("FROM", LINES)] == ["${PYTHON_IMAGE}"] * 2


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


def test_result_takes_the_environment_alone_and_keeps_no_installer() -> None:
    assert arguments("COPY", RESULT) == ["--from=build /opt/ottoscaler /opt/ottoscaler"]
    assert "pip uninstall" in RESULT[1] + RESULT[2]
    assert "venv --without-pip" in DOCKERFILE


def test_exposed_port_is_the_default_one() -> None:
    assert arguments("EXPOSE", RESULT) == [str(Settings().http_port)]


def test_everything_that_is_copied_passes_the_dockerignore_and_nothing_else_does() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    copied: set[str] = set()
    for value in arguments("COPY", LINES[: len(LINES) - len(RESULT)]):
        copied |= set(value.split()[:-1])
    assert copied == let_through
    for name in copied:
        assert (ROOT / name).exists(), name
        assert not [p for p in ignore if p != "*" and not p.startswith("!") and fnmatch.fnmatch(name, p)]


def test_label_names_the_licence_of_the_package() -> None:
    metadata = (ROOT / "setup.cfg").read_text()
    (licence,) = re.findall(r"^license = (.+)$", metadata, re.M)
    assert f'org.opencontainers.image.licenses="{licence}"' in DOCKERFILE


def test_production_runs_the_version_of_the_package() -> None:
    (version,) = re.findall(r"^version = (.+)$", (ROOT / "setup.cfg").read_text(), re.M)
    spec = find(objects("production"), "Deployment")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"].rsplit(":", 1)[1] == version
