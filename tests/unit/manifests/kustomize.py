"""As much of kustomize as our manifests use, so that they are tested also where there is no kubectl.

Names keep no content hash. ``test_manifests`` compares it with ``kubectl kustomize`` where that is there.
"""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
OVERLAYS = ROOT / "manifests" / "overlays"

Json = dict[str, Any]

_KNOWN = {
    "apiVersion", "kind", "resources", "components", "namespace", "images", "replicas", "configMapGenerator",
    "patches", "replacements",
}  # fmt: skip
_CLUSTER_WIDE = ("Namespace", "PriorityClass")
_LOCAL_ONLY = "config.kubernetes.io/local-config"
_MERGE_KEYS = {"volumeMounts": "mountPath", "containers": "name", "env": "name", "volumes": "name"}


def render(directory: Path) -> list[Json]:
    """All objects of a kustomization, or an error where it uses something that is not known here."""
    objects: list[Json] = []
    _build(directory, "Kustomization", objects)
    return objects


def _build(directory: Path, kind: str, objects: list[Json]) -> None:
    """Add to ``objects`` and change them; a component changes those of who names it."""
    (kustomization,) = _documents((directory / "kustomization.yaml").read_text())
    if kustomization["kind"] != kind:
        raise ValueError(f"{directory} is a {kustomization['kind']}, where a {kind} is named")
    unknown = kustomization.keys() - _KNOWN
    if unknown:
        raise ValueError(f"{directory} uses {', '.join(sorted(unknown))}, of which nothing is known here")
    for resource in kustomization.get("resources", []):
        path = directory / resource
        objects += render(path) if path.is_dir() else _documents(path.read_text())
    for component in kustomization.get("components", []):
        _build(directory / component, "Component", objects)
    for generator in kustomization.get("configMapGenerator", []):
        _generate(directory, generator, objects)
    for patch in kustomization.get("patches", []):
        _patch(directory, patch, objects)
    for replacement in kustomization.get("replacements", []):
        _replace(replacement, objects)
    objects[:] = [made for made in objects if not _is_local(made)]
    for made in objects:
        if kustomization.get("namespace") and made["kind"] not in _CLUSTER_WIDE:
            made["metadata"]["namespace"] = kustomization["namespace"]
    _set_images_and_replicas(kustomization, objects)


def _documents(text: str) -> list[Any]:
    """The documents of a YAML text, the caller's own. The same few files are read hundreds of times."""
    return copy.deepcopy(_parsed(text))


@cache
def _parsed(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def find(objects: list[Json], kind: str, name: str = "") -> Json:
    """The only object of that kind and name."""
    (found,) = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    return found


def _generate(directory: Path, generator: Json, objects: list[Json]) -> None:
    data: dict[str, str] = {}
    for file in generator.get("envs", []):
        lines = (directory / file).read_text().splitlines()
        data |= dict(line.split("=", 1) for line in lines if line.strip() and not line.startswith("#"))
    for file in generator.get("files", []):
        data[Path(file).name] = (directory / file).read_text()
    data |= dict(literal.split("=", 1) for literal in generator.get("literals", []))
    if generator.get("behavior") == "merge":
        find(objects, "ConfigMap", generator["name"])["data"] |= data
        return
    options = generator.get("options", {})
    metadata = {"name": generator["name"]} | {
        k: options[k] for k in ("labels", "annotations") if k in options
    }
    objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(directory: Path, patch: Json, objects: list[Json]) -> None:
    """A strategic merge names its target itself; a JSON patch (RFC 6902) is a list and is given one."""
    (change,) = _documents(patch["patch"] if "patch" in patch else (directory / patch["path"]).read_text())
    if isinstance(change, list):
        target = find(objects, patch["target"]["kind"], patch["target"]["name"])
        for operation in change:
            _operate(target, operation)
        return
    target = find(objects, change["kind"], change["metadata"]["name"])
    target.update(_merged(target, change))


def _operate(target: Any, operation: Json) -> None:
    """One operation of a JSON patch, of those that our manifests use."""
    _, *way, last = operation["path"].split("/")
    if "~" in operation["path"]:
        raise ValueError(f"nothing is known here of the operation {operation}")
    for step in way:
        target = target[int(step) if isinstance(target, list) else step]
    key: Any = int(last) if isinstance(target, list) and last != "-" else last
    if operation["op"] == "add" and key == "-":
        target.append(operation["value"])
    elif operation["op"] == "add" and isinstance(target, dict):
        target[key] = copy.deepcopy(operation["value"])
    elif operation["op"] == "remove":
        del target[key]
    elif operation["op"] != "test" or target[key] != operation["value"]:
        raise ValueError(f"the operation {operation} fails, or nothing is known of it here")


def _is_local(made: Json) -> bool:
    return bool(made["metadata"].get("annotations", {}).get(_LOCAL_ONLY) == "true")


def _replace(replacement: Json, objects: list[Json]) -> None:
    """A whole value, or the part before a delimiter, of every field that a path with ``*`` names."""
    source = replacement["source"]
    value: Any = find(objects, source["kind"], source["name"])
    for step in source["fieldPath"].split("."):
        value = value[step]
    for target in replacement["targets"]:
        options = target.get("options", {})
        if options.get("index", 0) != 0:
            raise ValueError(f"nothing is known here of the options {options}")
        for path in target["fieldPaths"]:
            *way, last = path.split(".")
            parents: list[Any] = [find(objects, target["select"]["kind"])]
            for step in way:
                parents = [c for p in parents for c in (p if step == "*" else [p[step]])]
            for parent in parents:
                _, found, rest = parent[last].partition(options.get("delimiter") or parent[last])
                parent[last] = value + (found + rest if "delimiter" in options else "")


def _merged(old: Any, new: Any, field: str = "") -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _merged(old.get(name), value, name) for name, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list) and field in _MERGE_KEYS:
        key = _MERGE_KEYS[field]
        kept = {item[key]: item for item in old}
        changed = {item[key]: _merged(kept.get(item[key]), item) for item in new}
        return [*({**kept, **changed}[name] for name in {**changed, **kept})]
    return copy.deepcopy(new)


def _set_images_and_replicas(kustomization: Json, objects: list[Json]) -> None:
    workloads = [made for made in objects if "template" in made.get("spec", {})]
    for workload in workloads:
        for container in workload["spec"]["template"]["spec"]["containers"]:
            for image in kustomization.get("images", []):
                if container["image"] == image["name"]:
                    container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
        for replicas in kustomization.get("replicas", []):
            if workload["metadata"]["name"] == replicas["name"]:
                workload["spec"]["replicas"] = replicas["count"]
