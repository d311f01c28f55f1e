"""Kubeconfigs as text, and copies of a sandbox's that lead elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.harness.sandbox import Sandbox


def kubeconfig(cluster: Any = None, user: Any = None, **fields: Any) -> str:
    """A good one, but for what is given."""
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {"token": "t0ps3cret"}}],
    }
    return yaml.safe_dump(document | fields)


def server_of(place: Sandbox) -> str:
    """The URL of the sandbox's API server."""
    return str(yaml.safe_load(Path(place.kube.kubeconfig).read_text())["clusters"][0]["cluster"]["server"])


def leading_to(place: Sandbox, url: str) -> str:
    """The path of a copy of the sandbox's kubeconfig in which the API server has this URL."""
    document = yaml.safe_load(Path(place.kube.kubeconfig).read_text())
    document["clusters"][0]["cluster"]["server"] = url
    path = place.directory / "elsewhere.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return str(path)
