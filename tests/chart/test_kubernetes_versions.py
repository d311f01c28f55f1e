"""Manifests and chart against the published schemas of Kubernetes, strictly: an unknown field is a fault.

For 1.21, the oldest version that both are for, and the oldest and the newest that kubernetes-validate knows.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from tests.chart.rendering import Json, kustomize, template
from tests.harness.chart_tools import faults_in_1_21
from tests.unit.manifests.kustomize import ROOT
from tests.unit.manifests.overlays import NAMES

OLDEST, NEWEST = (
    ".".join(version.split(".")[:2]) for version in (utils.all_versions()[0], utils.latest_version())
)
BEFORE = "kubernetes-1.27"  # the component that older versions are used without
CUSTOM = ("PodMonitor", "PrometheusRule")  # of the Prometheus Operator, not of Kubernetes
EVERYTHING: Json = {
    "startGate": {"enabled": True},
    "redis": {
        "secret": {"usernameKey": "user", "passwordKey": "password", "passwordAsFile": True},
        "sentinel": {"master": "otto", "nodes": ["a:26379", "b:26380"]},
        "tls": {"certKey": "tls.crt", "keyKey": "tls.key"},
    },
    "imagePullSecrets": [{"name": "registry"}],
    "networkPolicy": {
        "service": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "workers": {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
    },
    "monitoring": {"dashboard": {"enabled": True}},
    "serviceAccount": {"annotations": {"iam.example.com/role": "otto"}},
    "nodeSelector": {"pool": "system"},
    "tolerations": [{"key": "system", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "ci"},
    "disruptionBudget": {"maxUnavailable": "50%"},
}

BUILTIN: Json = {"redis": {"builtin": {"enabled": True, "storageClassName": "fast"}, "tls": {"caKey": ""}}}


def faults(made: list[Json], version: str) -> list[str]:
    found: list[str] = []
    for item in made:
        if item["kind"] in CUSTOM:
            continue
        name = f"{item['kind']} {item['metadata']['name']}"
        if version == "1.21":
            found += [f"{name}: {fault}" for fault in faults_in_1_21(item)]
            continue
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except utils.ValidationError as error:
            found.append(f"{name}: {error.message}")
    return found


def overlay(name: str, version: str, directory: Path) -> Path:
    """The overlay as a cluster of that version is given it."""
    copy = shutil.copytree(ROOT / "manifests", directory / "manifests") / "overlays"
    if version_tuple(version) < (1, 27):
        for file in copy.rglob("kustomization.yaml"):
            kustomization = yaml.safe_load(file.read_text())
            kept = [line for line in kustomization.get("components", []) if not line.endswith(BEFORE)]
            file.write_text(yaml.safe_dump({**kustomization, "components": kept}))
    return copy / name


def version_tuple(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.mark.parametrize("version", ["1.21", OLDEST, "1.27", NEWEST])
@pytest.mark.parametrize("name", NAMES)
def test_overlay_has_no_field_that_its_kubernetes_does_not_know(
    name: str, version: str, tmp_path: Path
) -> None:
    assert faults(kustomize(overlay(name, version, tmp_path)), version) == []


@pytest.mark.parametrize("version", ["1.21", OLDEST, "1.27", NEWEST])
@pytest.mark.parametrize("examples", [(), ("kind",), ("production",), ("production", "openshift")])
def test_chart_has_no_field_that_its_kubernetes_does_not_know(
    examples: tuple[str, ...], version: str
) -> None:
    assert faults(template(*examples, version=version), version) == []


@pytest.mark.parametrize("version", ["1.21", OLDEST, "1.27", NEWEST])
def test_chart_with_every_value_has_no_field_that_its_kubernetes_does_not_know(version: str) -> None:
    values: dict[str, Any] = dict(EVERYTHING)
    if version_tuple(version) < (1, 27):
        del values["startGate"]
    for given in (values, {**values, **BUILTIN}):
        assert faults(template("production", values=given, version=version), version) == []


@pytest.mark.parametrize("version", ["1.21", OLDEST, NEWEST])
def test_unknown_field_would_be_found(version: str) -> None:
    made = template(version=version)
    (deployment,) = (item for item in made if item["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["nodeSelectr"] = {}
    (fault,) = faults(made, version)
    assert "nodeSelectr" in fault


def test_schemas_are_not_among_the_packages_that_the_service_imports() -> None:
    # The Kubernetes client imports kubernetes_validate where it finds it: 2 s of CPU at every start.
    command = [sys.executable, "-c", "import kubernetes, sys; print('kubernetes_validate' in sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
