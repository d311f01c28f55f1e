"""Requests to the API server, as a test's own observer: over HTTP, by the adapter's own connection code."""

from __future__ import annotations

import json
from typing import Any

from ottoscaler.kube.credentials import Access
from tests.harness.waiting import wait_for

ANSWER_SECONDS = 20.0  # for one answer to a test: of Redis, the API server or a replica

Json = dict[str, Any]


class Kube:
    """One namespace of an API server."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self._access = Access(kubeconfig, 4)

    def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        headers = {**self._access.headers(), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._access.pool().request(
            method,
            self._access.url(path),
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=ANSWER_SECONDS,
            retries=3,
        )
        return answer.status, json.loads(answer.data)

    def text(self, path: str) -> str:
        """An answer that is no JSON, such as a log; empty where there is none."""
        url, headers = self._access.url(path), self._access.headers()
        answer = self._access.pool().request("GET", url, headers=headers, timeout=ANSWER_SECONDS, retries=3)
        return str(answer.data.decode()) if answer.status == 200 else ""

    def pods(self) -> list[Json]:
        """All Pods of the namespace."""
        status, answer = self.request("GET", f"/api/v1/namespaces/{self.namespace}/pods")
        assert status == 200, answer
        return list(answer["items"])

    def workers(self, event_id: str | None = None) -> list[Json]:
        """Worker Pods, of one event or of all, in the order of their indexes."""
        found = [p for p in self.pods() if p["metadata"].get("labels", {}).get("app") == "otto-agent"]
        if event_id is not None:
            found = [p for p in found if p["metadata"]["labels"]["ottoscaler.io/event-id"] == event_id]
        return sorted(found, key=lambda p: int(p["metadata"]["labels"]["ottoscaler.io/index"]))

    def create_pod(self, pod: Json) -> Json:
        """A Pod of the test's own. A young namespace may not have its service account's token yet."""

        def create() -> Json | None:
            status, answer = self.request("POST", f"/api/v1/namespaces/{self.namespace}/pods", pod)
            if status == 500 and answer.get("reason") == "ServerTimeout":
                return None
            assert status == 201, answer
            return answer

        return wait_for(create, "the Pod is created") or {}

    def delete_pod(self, name: str, grace: int | None = None) -> None:
        body: Json = {} if grace is None else {"gracePeriodSeconds": grace}
        self.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{name}", body)

    def set_status(self, name: str, status: Json) -> None:
        """Write a Pod's status as a kubelet or a controller would, also where one writes it just now."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}"

        def put() -> bool:
            code, pod = self.request("GET", path)
            assert code == 200, pod
            pod["status"] = {**pod.get("status", {}), **status}
            code, answer = self.request("PUT", f"{path}/status", pod)
            assert code in (200, 409), answer
            return code == 200

        wait_for(put, f"the status of {name} is written")
