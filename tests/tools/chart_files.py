"""Writes what the chart has from elsewhere: ``python -m tests.tools.chart_files`` (``make chart-files``).

- ``README.md``, a table of all values with the comments of ``values.yaml``;
- the settings in ``values.schema.json``, from the service's own table of settings;
- the alerts and the dashboard of ``manifests/monitoring``, for Helm reads nothing outside a chart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ottoscaler.config.settings import SPECS, variable

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ottoscaler"
COPIES = ("prometheusrule.yaml", "dashboard.json")

# Other values set them, or a Secret or the pod does.
ELSEWHERE = frozenset(
    {
        "KUBECONFIG", "NAMESPACE", "OTTO_START_GATE", "OTTO_TEMPLATES_DIR", "POD_UID", "REDIS_CONSUMER",
        "REDIS_DB", "REDIS_HOST", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE", "REDIS_PORT", "REDIS_SENTINELS",
        "REDIS_SENTINEL_MASTER", "REDIS_TLS_CA_FILE", "REDIS_TLS_CERT_FILE", "REDIS_TLS_KEY_FILE",
        "REDIS_URL", "REDIS_USERNAME",
    }
)  # fmt: skip

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_]+):(?P<value>.*)")

# A port is also the container's, which the API server would refuse later and in its own words.
_PORT = "^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$"
_QUANTITY = "[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?"
# Texts of which a pattern can tell that the service would refuse them; an empty one counts as unset.
_TEXTS = (
    ("a DNS label", "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$"),
    ("printable characters without spaces", r"^\S{0,200}$"),
    ("a Kubernetes quantity", f"^({_QUANTITY})?$"),
)

_HEAD = """\
# The chart `ottoscaler`

Ottoscaler reads events from a Redis Stream and runs worker Pods for them. The chart installs the same
objects as the kustomize overlays; a test compares the two. It needs Kubernetes 1.21 or newer and Helm 3
or 4.

    helm install ottoscaler charts/ottoscaler -n ottoscaler --create-namespace -f my-values.yaml

Copy one of the [examples](examples) to `my-values.yaml`:

- `production.yaml`: three replicas, workers in a namespace of their own with quota and limits, Redis
  over TLS. On OpenShift, add `openshift.yaml`.
- `kind.yaml`: for a trial, with a Redis of its own.

Set `image.repository` and `image.tag` to an image that your nodes can pull. No image has been published
yet: `make image` in the repository builds one (docs/kubernetes.md). The notes after the install say
what to type next.

Upgrades and rollbacks are rolling updates that lose nothing. `helm uninstall` leaves the workers'
namespace, the running workers, and the volume of a built-in Redis. A release of another name or
namespace needs `workers.createNamespace: false` for a namespace that is there already.

The chart refuses a value that is not in this table, one of another type, and most of what the API server
or the service would refuse later, with its place (`values.schema.json`).

| value | default | meaning |
|---|---|---|
"""
_FOOT = """
<!-- Written by tests/tools/chart_files.py from values.yaml; do not edit. Write it anew: make chart-files -->
"""


@dataclass(frozen=True)
class Value:
    """One value of ``values.yaml``: its path, its default as YAML on one line, and its comment."""

    path: str
    default: str
    meaning: str


def values() -> Iterator[Value]:
    """Every value that has a comment of its own, in the file's order."""
    text = (CHART / "values.yaml").read_text()
    made: Any = yaml.safe_load(text)
    comment: list[str] = []
    keys: list[str] = []
    for line in text.splitlines():
        found = _KEY.fullmatch(line)
        if line.strip().startswith("#"):
            comment.append(line.strip("# "))
        elif found:
            keys = [*keys[: len(found["indent"]) // 2], found["key"]]
            if comment:
                default = made
                for key in keys:
                    default = default[key]
                yield Value(".".join(keys), json.dumps(default), " ".join(comment))
            comment = []
        else:
            comment = []


def readme() -> str:
    rows = [f"| `{each.path}` | `{each.default}` | {each.meaning} |\n" for each in values()]
    return _HEAD + "".join(rows) + _FOOT


def _setting(name: str, expected: str, meaning: str) -> dict[str, Any]:
    """The schema of a setting, from the words that follow "expected" in the service's own refusal."""
    if name == "OTTO_HTTP_PORT":
        expected = expected.replace("from 0", "from 1")  # the probes need it
    number = re.match(r"an integer from (\d+) to (\d+)$", expected)
    decimal = re.match(r"a number[a-z ]* from ([\d.]+) to ([\d.e+]+)", expected)
    choice = re.fullmatch(r"one of (.*)", expected)
    text = f"{meaning}; {expected}"
    if number:
        bounds = {"minimum": int(number[1]), "maximum": int(number[2])}
        digits = _PORT if name == "OTTO_HTTP_PORT" else "^[0-9]+$"
        return {"description": text, "type": ["integer", "string"], **bounds, "pattern": digits}
    if decimal:
        low, high = (json.loads(decimal[n]) for n in (1, 2))
        pattern = r"^[0-9]+([.][0-9]+)?$"
        bounds = {"minimum": low, "maximum": high}
        return {"description": text, "type": ["number", "string"], **bounds, "pattern": pattern}
    if choice:
        words: list[Any] = re.findall(r"\w+", choice[1].replace(" (or ", ", "))
        # YAML reads a bare true, false or off as a truth value.
        bare = [True, False] if "true" in words else [False] if "off" in words else []
        return {"description": text, "enum": [*words, *bare]}
    made: dict[str, Any] = {"description": text, "type": ["string", "number"]}
    for said, pattern in _TEXTS:
        if said in expected:
            made["pattern"] = pattern
    return made


def schema() -> str:
    """``values.schema.json`` with the settings as the service knows them."""
    made: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    made["properties"]["settings"]["properties"] = {
        variable(name): _setting(variable(name), spec.kind.expected, spec.meaning)
        for name, spec in SPECS.items()
        if variable(name) not in ELSEWHERE
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Everything that this writes, by its path."""
    monitoring = ROOT / "manifests" / "monitoring"
    copies = {CHART / "files" / name: (monitoring / name).read_text() for name in COPIES}
    return {CHART / "README.md": readme(), CHART / "values.schema.json": schema(), **copies}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
