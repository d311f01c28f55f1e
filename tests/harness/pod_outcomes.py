"""Decides what becomes of each worker by its index: what one event's one environment cannot say."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from ottoscaler.local.apiserver.statuses import ApiError
from tests.harness.sandbox import Sandbox

LOOK_SECONDS = 0.05

Json = dict[str, Any]


class PodOutcomes:
    """A context in which running Pods have the outcome of their index: ``succeed``, ``fail``, or ``vanish,
    then succeed``: deleted at once by somebody else at the first attempt. To be used with workers that run
    for ever. Every outcome is written as a kubelet or a person would write it, through the API."""

    def __init__(self, place: Sandbox, outcomes: dict[int, str]) -> None:
        self._place = place
        self._outcomes = outcomes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pod-outcomes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            with contextlib.suppress(AssertionError):  # the API server is in trouble, as a test wants it
                self._look()

    def _look(self) -> None:
        for pod in self._place.kube.workers():
            deleting = "deletionTimestamp" in pod["metadata"]
            if pod["status"].get("phase") == "Running" and not deleting:
                self._meet(pod)

    def _meet(self, pod: Json) -> None:
        labels, name = pod["metadata"]["labels"], pod["metadata"]["name"]
        outcome = self._outcomes.get(int(labels["ottoscaler.io/index"]), "succeed")
        if outcome.startswith("vanish") and labels["ottoscaler.io/attempt"] == "0":
            self._vanish(name)
            return
        self._end(pod, 3 if outcome == "fail" else 0)

    def _vanish(self, name: str) -> None:
        if self._place.cluster is not None:  # not as a request, so that the audit shows the service's alone
            with contextlib.suppress(ApiError):
                self._place.cluster.faults.vanish_pod(self._place.kube.namespace, name)
        else:
            self._place.kube.delete_pod(name, grace=0)

    def _end(self, pod: Json, code: int) -> None:
        """As its kubelet would: terminal, with the container's state. A lost race is run again."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for container in pod["status"]["containerStatuses"]:
            began = (container["state"].get("running") or {}).get("startedAt", now)
            reason = "Error" if code else "Completed"
            ended = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now}
            container.update(state={"terminated": ended}, ready=False)
        pod["status"]["phase"] = "Failed" if code else "Succeeded"
        path = f"/api/v1/namespaces/{self._place.kube.namespace}/pods/{pod['metadata']['name']}/status"
        self._place.kube.request("PUT", path, pod)
