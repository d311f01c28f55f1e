"""Our manifests on a real API server: moved to a test's own namespace, sent, and acted upon."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from tests.harness.observer import Kube
from tests.harness.sandbox import Sandbox
from tests.unit.manifests.kustomize import OVERLAYS, find, render
from tests.unit.manifests.overlays import settings_data

Json = dict[str, Any]

PLURALS = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses"}
TOKEN_SECONDS = 3600
# What 1.20, which is older than our manifests, calls it; the fields that we use are the same.
OLDER = {"policy/v1": "policy/v1beta1"}
# Fields that came after 1.20, and the first minor version that keeps each (docs/kubernetes.md).
NEWER = {
    "unhealthyPodEvictionPolicy": 27,
    "matchLabelKeys": 27,
    "startupProbe.terminationGracePeriodSeconds": 25,
    "livenessProbe.terminationGracePeriodSeconds": 25,
}


def moved(overlay: str, namespace: str) -> list[Json]:
    """An overlay's objects with everything in one namespace; Namespaces themselves stay as they are."""
    made = render(OVERLAYS / overlay)
    for item in made:
        if "namespace" in item["metadata"]:
            item["metadata"]["namespace"] = namespace
        for subject in item.get("subjects", []):
            subject["namespace"] = namespace
    return made


def post(kube: Kube, item: Json, *, dry_run: bool = False) -> tuple[int, Json]:
    """Create an object, or have it checked only; in a version that this API server serves."""
    item = copy.deepcopy(item)
    version = item["apiVersion"]
    if version in OLDER and kube.request("GET", f"/apis/{version}")[0] == 404:
        version = item["apiVersion"] = OLDER[version]
    path = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    if "namespace" in item["metadata"]:
        path += f"/namespaces/{item['metadata']['namespace']}"
    plural = PLURALS.get(item["kind"], item["kind"].lower() + "s")
    return kube.request("POST", f"{path}/{plural}{'?dryRun=All' if dry_run else ''}", item)


def lost(sent: Any, kept: Any, where: str = "") -> list[str]:
    """The fields that were sent and did not come back as they were: unknown ones are dropped in silence."""
    if isinstance(sent, dict):
        pairs = [(value, (kept or {}).get(name), f"{where}.{name}") for name, value in sent.items()]
        return [path for value, other, path in pairs for path in lost(value, other, path)]
    if isinstance(sent, list):
        if not isinstance(kept, list) or len(sent) != len(kept):
            return [where]
        pairs = [(value, kept[i], f"{where}[{i}]") for i, value in enumerate(sent)]
        return [path for value, other, path in pairs for path in lost(value, other, path)]
    return [] if sent == kept else [where]


def minor_version(kube: Kube) -> int:
    return int(kube.request("GET", "/version")[1]["minor"].rstrip("+"))


def unexpectedly_lost(sent: Json, kept: Json, minor: int) -> list[str]:
    """Lost fields but for those that this API server is too old for."""
    newer = tuple(f".{field}" for field, first in NEWER.items() if first > minor)
    return [path for path in lost(sent, kept) if not path.endswith(newer)]


class Installed:
    """An overlay's account, rights and limits in a sandbox's namespace, and the environment of its pods."""

    def __init__(self, place: Sandbox, overlay: str) -> None:
        self.place = place
        self.overlay = overlay
        self.objects = moved(overlay, place.kube.namespace)
        self.kubeconfig = place.directory / "account.kubeconfig"
        self._templates = place.directory / "templates"
        self._cluster_wide: list[Json] = []

    def install(self, *kinds: str) -> None:
        for item in self.objects:
            if item["kind"] in kinds:
                status, answer = post(self.place.kube, item)
                assert status in (201, 409), answer
                if status == 201 and "namespace" not in item["metadata"]:
                    self._cluster_wide.append(answer)
        self.kubeconfig.write_text(yaml.safe_dump(self._account()))
        self._templates.mkdir(exist_ok=True)
        for name, text in find(self.objects, "ConfigMap", "ottoscaler-templates")["data"].items():
            (self._templates / name).write_text(text)

    def remove_cluster_wide(self) -> None:
        """What was made here and does not go with the namespace."""
        for item in self._cluster_wide:
            path = f"/apis/{item['apiVersion']}/{PLURALS[item['kind']]}/{item['metadata']['name']}"
            assert self.place.kube.request("DELETE", path)[0] == 200

    def settings(self) -> dict[str, Any]:
        """What the pods' ConfigMap sets, with paths and addresses of the test in place of the cluster's."""
        data = settings_data(self.overlay)
        for name in ("REDIS_TLS_CA_FILE", "REDIS_HOST", "OTTO_HTTP_PORT", "OTTO_LOG_FORMAT"):
            data.pop(name, None)
        return data | {
            "KUBECONFIG": str(self.kubeconfig),
            "NAMESPACE": self.place.kube.namespace,
            "OTTO_TEMPLATES_DIR": str(self._templates),
        }

    def _account(self) -> Json:
        """A kubeconfig with nothing but the service account's token, as the kubelet would mount it."""
        account = find(self.objects, "ServiceAccount")["metadata"]
        path = f"/api/v1/namespaces/{account['namespace']}/serviceaccounts/{account['name']}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        }
        status, answer = self.place.kube.request("POST", path, request)
        assert status == 201, answer
        config: Json = yaml.safe_load(Path(self.place.kube.kubeconfig).read_text())
        (user,) = config["users"]
        user["user"] = {"token": answer["status"]["token"]}
        return config
