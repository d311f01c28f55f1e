"""Writes the fields that the local API server knows of a Pod, from the Kubernetes client's own models:
``python -m tests.tools.pod_fields``. A test holds the file equal to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from kubernetes.client import models

FILE = Path(__file__).parents[2] / "ottoscaler" / "local" / "apiserver" / "pod_fields.json"

Fields = dict[str, dict[str, str]]


def fields() -> Fields:
    """By type, its fields, each with the type of what it holds; '' where any name may stand in it."""
    made: Fields = {}
    _add("V1Pod", made)
    made["V1Pod"]["status"] = ""  # the kubelets write it, not users
    return made


def _add(name: str, made: Fields) -> None:
    if name in made:
        return
    own = made[name] = {}
    model = getattr(models, name)
    for attribute, spoken in model.openapi_types.items():
        inner = re.sub(r"^[Ll]ist\[(.*)\]$", r"\1", spoken)
        typed = hasattr(models, inner) and hasattr(getattr(models, inner), "openapi_types")
        own[model.attribute_map[attribute]] = inner if typed else ""
        if typed and (name, attribute) != ("V1Pod", "status"):
            _add(inner, made)


def render() -> str:
    made = sorted(fields().items())
    lines = [f"{json.dumps(name)}: {json.dumps(own, sort_keys=True)}" for name, own in made]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(render())
