"""The overlays, as their objects and as the settings that the service would read."""

from __future__ import annotations

from typing import Any

import pytest

from ottoscaler.config import load as config
from ottoscaler.config.settings import Settings
from tests.unit.manifests.kustomize import OVERLAYS, find, render

Json = dict[str, Any]

NAMES = ("kind", "production", "openshift")

every = pytest.mark.parametrize("overlay", NAMES)


def objects(overlay: str) -> list[Json]:
    return render(OVERLAYS / overlay)


def pod_spec(overlay: str) -> Json:
    spec: Json = find(objects(overlay), "Deployment", "ottoscaler")["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> Json:
    (only,) = pod_spec(overlay)["containers"]
    return dict(only)


def settings_data(overlay: str) -> dict[str, str]:
    return dict(find(objects(overlay), "ConfigMap", "ottoscaler-settings")["data"])


def settings(overlay: str) -> Settings:
    """The settings as the service would read them, but for files that only the pod has."""
    data = settings_data(overlay)
    return config.load(
        {k: v for k, v in data.items() if k not in ("OTTO_TEMPLATES_DIR", "REDIS_TLS_CA_FILE")}
    )
