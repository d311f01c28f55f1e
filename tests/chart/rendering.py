"""What the chart and kustomize make, as objects by kind, namespace and name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.harness.chart_tools import HELM, KUBECTL
from tests.unit.manifests.kustomize import ROOT

Json = dict[str, Any]
Objects = dict[tuple[str, str, str], Json]

CHART = ROOT / "charts" / "ottoscaler"
EXAMPLES = CHART / "examples"
NEWEST = "1.37"


def helm(*arguments: str, values: Json | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; ``values`` as a values file of their own."""
    more = ("--values", "-") if values is not None else ()
    return subprocess.run(
        [str(HELM), *arguments, *more],
        input=yaml.safe_dump(values) if values is not None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def helm_3() -> bool:
    """Whether OTTOSCALER_TEST_HELM names a Helm 3. It words the schema's refusals differently."""
    return helm("version", "--short").stdout.startswith("v3")


def template(
    *examples: str, values: Json | None = None, version: str = NEWEST, release: str = "ottoscaler"
) -> list[Json]:
    """All objects of a release in the namespace ``ottoscaler``."""
    files = [argument for name in examples for argument in ("--values", str(EXAMPLES / f"{name}.yaml"))]
    arguments = ("template", release, str(CHART), "--namespace", "ottoscaler", "--kube-version", version)
    done = helm(*arguments, *files, values=values)
    assert done.returncode == 0, done.stderr
    return [made for made in yaml.safe_load_all(done.stdout) if made]


def refusal(values: Json, version: str = NEWEST) -> str:
    """What helm says to values that it does not take."""
    done = helm("template", "ottoscaler", str(CHART), "--kube-version", version, values=values)
    assert done.returncode != 0, done.stdout
    return done.stderr


def kustomize(directory: Path) -> list[Json]:
    command = [str(KUBECTL), "kustomize", str(directory)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return list(yaml.safe_load_all(text))


def same(made: list[Json]) -> Objects:
    """Objects without what has to differ between the two:

    - Helm's own labels, and its annotation that keeps the workers' namespace;
    - kustomize names ConfigMaps by their content, the chart writes a checksum into the pods' annotations:
      both roll the pods;
    - the release's own namespace, which `helm install --create-namespace` makes before it reads the chart;
    - comments and layout of the templates, which are compared as the Pods that they are.
    """
    objects: Objects = {}
    for item in made:
        metadata = item["metadata"]
        if (item["kind"], metadata["name"]) == ("Namespace", "ottoscaler"):
            continue
        _drop(metadata, "labels", r"helm\.sh/chart|app\.kubernetes\.io/(name|instance|version|managed-by)")
        _drop(metadata, "annotations", r"helm\.sh/resource-policy")
        if item["kind"] == "Deployment":
            _drop(item["spec"]["template"]["metadata"], "annotations", r"checksum/\w+")
            _without_hashes(item)
        if item["kind"] == "ConfigMap":
            metadata["name"] = _unhashed(metadata["name"])
            for name, text in (item.get("data") or {}).items():
                item["data"][name] = yaml.safe_load(text) if name.endswith((".yaml", ".json")) else text
        objects[item["kind"], metadata.get("namespace", ""), metadata["name"]] = item
    return objects


def _drop(metadata: Json, field: str, names: str) -> None:
    kept = {k: v for k, v in (metadata.get(field) or {}).items() if not re.fullmatch(names, k)}
    metadata.pop(field, None)
    if kept:
        metadata[field] = kept


def _unhashed(name: str) -> str:
    return re.sub(r"^(ottoscaler-(?:settings|templates))-[a-z0-9]{10}$", r"\1", name)


def _without_hashes(deployment: Json) -> None:
    spec = deployment["spec"]["template"]["spec"]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["name"] = _unhashed(volume["configMap"]["name"])
    for source in spec["containers"][0]["envFrom"]:
        source["configMapRef"]["name"] = _unhashed(source["configMapRef"]["name"])
