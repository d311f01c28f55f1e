"""Chart and kustomize overlays render the same objects; ``rendering.same`` says what has to differ."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import Json, kustomize, same, template
from tests.unit.manifests.kustomize import OVERLAYS, ROOT

EXAMPLES = {
    "kind": ("kind",),
    "production": ("production",),
    "openshift": ("production", "openshift"),
}
COMPONENTS: dict[str, Json] = {
    "start-gate": {"startGate": {"enabled": True}},
    "logs-off": {"settings": {"OTTO_LOGS": "off", "OTTO_MAX_LOGS": "off"}},
}
MONITORING = {
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}


@pytest.mark.parametrize("overlay", EXAMPLES)
def test_example_renders_what_the_overlay_does(overlay: str) -> None:
    assert same(template(*EXAMPLES[overlay])) == same(kustomize(OVERLAYS / overlay))


@pytest.mark.parametrize("component", COMPONENTS)
def test_value_does_what_the_component_does(component: str, tmp_path: Path) -> None:
    overlay = shutil.copytree(ROOT / "manifests", tmp_path / "manifests") / "overlays" / "production"
    file = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["components"].append(f"../../components/{component}")
    file.write_text(yaml.safe_dump(kustomization))
    assert same(template("production", values=COMPONENTS[component])) == same(kustomize(overlay))


def test_chart_on_a_server_before_1_27_renders_the_overlay_without_that_component(tmp_path: Path) -> None:
    overlay = shutil.copytree(ROOT / "manifests", tmp_path / "manifests") / "overlays" / "production"
    file = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["components"].remove("../../components/kubernetes-1.27")
    file.write_text(yaml.safe_dump(kustomization))
    assert same(template("production", version="1.26.9")) == same(kustomize(overlay))


def test_monitoring_is_what_the_manifests_have() -> None:
    made = same(template("production", values={"monitoring": MONITORING}))
    expected = same(kustomize(ROOT / "manifests" / "monitoring"))
    for (kind, _, name), item in expected.items():
        item["metadata"]["namespace"] = "ottoscaler"  # `kubectl apply -n ottoscaler` gives it
        assert made[kind, "ottoscaler", name] == item
    assert len(made) == len(same(template("production"))) + len(expected)
