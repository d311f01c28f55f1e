"""Templates in a ConfigMap that is patched while the service runs, on the real control plane.

No real kubelet is there, so a thread of the test is what mounts the ConfigMap: it reads the object from the
API server, and writes its data into a directory as a kubelet's atomic writer does. Everything else is real.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.configmap import publish
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.template_story import Roll, texts
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.real

NAME = "ottoscaler-templates"
LOOK_SECONDS = 0.5  # a kubelet looks once a minute


class ConfigMap:
    """The object, and its volume."""

    def __init__(self, place: Sandbox, directory: Path) -> None:
        self._kube = place.kube
        self._path = f"/api/v1/namespaces/{place.kube.namespace}/configmaps"
        self._directory = directory
        self._version = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sync, name="configmap-volume", daemon=True)

    @contextmanager
    def mounted(self, data: Mapping[str, str]) -> Iterator[None]:
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": dict(data)}
        status, answer = self._kube.request("POST", self._path, made)
        assert status == 201, answer
        self._thread.start()
        wait_for((self._directory / "..data").exists, "it is mounted")
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(10)

    def update(self, data: Mapping[str, str]) -> None:
        """What `kubectl apply` does, in the words of a read and a write."""
        status, now = self._kube.request("GET", f"{self._path}/{NAME}")
        assert status == 200, now
        status, answer = self._kube.request("PUT", f"{self._path}/{NAME}", {**now, "data": dict(data)})
        assert status == 200, answer

    def _sync(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            status, now = self._kube.request("GET", f"{self._path}/{NAME}")
            if status == 200 and now["metadata"]["resourceVersion"] != self._version:
                self._version = now["metadata"]["resourceVersion"]
                publish(self._directory, now.get("data") or {})


def test_a_patched_configmap_is_taken_up_in_mid_flight(tmp_path: Path) -> None:
    directory = tmp_path / "templates"
    with sandbox(OTTO_TEMPLATES_DIR=str(directory)) as place:
        volume = ConfigMap(place, directory)
        with volume.mounted(texts(default="one")):
            Roll(place, place.start(), volume.update).play()
