"""The chart on a real API server: install, upgrade, rollback and uninstall, as helm does them.

Each test has two namespaces of its own, for the release and its workers. ``make chart-test`` fetches helm.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import chart_tools
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for
from tests.real.manifests import OLDER, PLURALS, Json, minor_version
from tests.unit.manifests.kustomize import ROOT

pytestmark = pytest.mark.real

CHART = ROOT / "charts" / "ottoscaler"
RUNS_ON = {"sim/run-seconds": "inf"}  # to the fake kubelet


class Release:
    """One release in the sandbox's namespace, its workers in another."""

    def __init__(self, place: Sandbox) -> None:
        self.kube = place.kube
        self.namespace = place.kube.namespace
        self.workers = f"{self.namespace}-workers"
        self.chart = self._chart(place.directory)
        self._values = place.directory / "values.yaml"

    def _chart(self, directory: Path) -> Path:
        """The chart itself; for an older server, with policy/v1 rewritten and without newer fields."""
        if minor_version(self.kube) >= 21:
            return CHART
        copy = shutil.copytree(CHART, directory / "chart")
        (copy / "Chart.yaml").write_text(re.sub(r"kubeVersion: .*", "", (CHART / "Chart.yaml").read_text()))
        for file in (copy / "templates").glob("*.yaml"):
            text = file.read_text().replace(*next(iter(OLDER.items())))
            file.write_text(re.sub(r"^ {12}terminationGracePeriodSeconds: 5\n", "", text, flags=re.MULTILINE))
        return copy

    def helm(self, *arguments: str, values: Json | None = None, fails: bool = False) -> str:
        """Run helm; what it says. ``values`` come on top of production's."""
        files: tuple[str, ...] = ()
        if values is not None:
            names = {name: {"name": f"{self.namespace}-{name}"} for name in ("service", "workers")}
            ours = {"workers": {"namespace": self.workers}, "priorities": names, "podAnnotations": RUNS_ON}
            self._values.write_text(yaml.safe_dump({**values, **ours}))
            files = ("--values", str(CHART / "examples" / "production.yaml"), "--values", str(self._values))
        done = subprocess.run(
            [str(chart_tools.HELM), *arguments, "--namespace", self.namespace, *files],
            env={"KUBECONFIG": str(self.kube.kubeconfig), "HOME": str(self._values.parent)},
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert (done.returncode != 0) == fails, done.stderr + done.stdout
        return done.stderr if fails else done.stdout

    def get(self, version: str, kind: str, name: str, namespace: str | None = None) -> tuple[int, Json]:
        path = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        where = f"/namespaces/{namespace or self.namespace}" if namespace != "" else ""
        plural = PLURALS.get(kind, kind.lower() + "s")
        return self.kube.request("GET", f"{path}{where}/{plural}/{name}")

    def deployment(self) -> Json:
        status, answer = self.get("apps/v1", "Deployment", "ottoscaler")
        assert status == 200, answer
        return answer

    def settings(self) -> dict[str, Any]:
        status, answer = self.get("v1", "ConfigMap", "ottoscaler-settings")
        assert status == 200, answer
        return dict(answer["data"])

    def replica_sets(self) -> int:
        """How many versions of the pods there have been."""
        _, answer = self.kube.request("GET", f"/apis/apps/v1/namespaces/{self.namespace}/replicasets")
        return len(answer["items"])


@pytest.fixture
def release(place: Sandbox) -> Iterator[Release]:
    made = Release(place)
    yield made
    made.helm("uninstall", "ottoscaler", "--ignore-not-found")
    made.kube.request("DELETE", f"/api/v1/namespaces/{made.workers}")


def test_release_is_installed_upgraded_rolled_back_and_uninstalled(release: Release) -> None:
    said = release.helm("install", "ottoscaler", str(release.chart), values={})
    create = re.search(r"kubectl -n (\S+) create secret generic ottoscaler-redis", said)
    assert create
    assert create[1] == release.namespace
    assert f"kubectl -n {release.namespace} rollout status deployment/ottoscaler" in said
    assert release.deployment()["spec"]["replicas"] == 3
    assert release.get("v1", "Namespace", release.workers, "")[0] == 200
    assert release.get("rbac.authorization.k8s.io/v1", "Role", "ottoscaler", release.workers)[0] == 200
    wait_for(lambda: release.replica_sets() == 1, "the pods of the first version")

    # One changed setting is one more version of the pods; the same values again are none.
    changed = {"settings": {"OTTO_MAX_WORKERS": 100}, "replicas": 4}
    release.helm("upgrade", "ottoscaler", str(release.chart), values=changed)
    assert release.settings()["OTTO_MAX_WORKERS"] == "100"
    assert release.deployment()["spec"]["replicas"] == 4
    wait_for(lambda: release.replica_sets() == 2, "the pods of the second version")
    release.helm("upgrade", "ottoscaler", str(release.chart), values=changed)
    generation = release.deployment()["metadata"]["generation"]

    # A mistake is refused before anything is changed.
    said = release.helm(
        "upgrade", "ottoscaler", str(release.chart), values={"settings": {"OTTO_MAX_WORKER": 5}}, fails=True
    )
    assert re.search(r"dditional propert(ies|y) '?OTTO_MAX_WORKER'? (is )?not allowed", said)
    assert release.deployment()["metadata"]["generation"] == generation

    release.helm("rollback", "ottoscaler", "1")
    assert release.settings()["OTTO_MAX_WORKERS"] == "200"
    assert release.deployment()["spec"]["replicas"] == 3
    wait_for(lambda: release.replica_sets() == 2, "the pods of the first version again")

    release.helm("uninstall", "ottoscaler")
    wait_for(lambda: release.get("apps/v1", "Deployment", "ottoscaler")[0] == 404, "the Deployment is gone")
    assert release.get("rbac.authorization.k8s.io/v1", "Role", "ottoscaler", release.workers)[0] == 404
    assert release.get("v1", "ServiceAccount", "ottoscaler")[0] == 404
    # Else the workers that run would be killed.
    status, namespace = release.get("v1", "Namespace", release.workers, "")
    assert (status, namespace["status"]["phase"]) == (200, "Active")
    release.helm("install", "ottoscaler", str(release.chart), values={})
    assert release.get("rbac.authorization.k8s.io/v1", "Role", "ottoscaler", release.workers)[0] == 200


def test_notes_leave_the_secret_out_where_it_is_there(release: Release) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ottoscaler-redis"}}
    path = f"/api/v1/namespaces/{release.namespace}/secrets"
    assert release.kube.request("POST", path, secret)[0] == 201
    said = release.helm("install", "ottoscaler", str(release.chart), values={})
    assert "create secret" not in said
    assert "python -m ottoscaler check" in said
