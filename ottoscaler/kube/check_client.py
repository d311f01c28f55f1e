"""The questions that `check` asks the API server, besides those of the service."""

from __future__ import annotations

import json

from ottoscaler.errors import UnusableAnswer
from ottoscaler.kube.client import PodClient
from ottoscaler.kube.decoding import parsed
from ottoscaler.model import JsonObject


class CheckClient(PodClient):
    """Its own questions change nothing on the API server. Each raises KubernetesError."""

    def version(self) -> str:
        """The API server's version, such as v1.30.2."""
        with self._throttle.look(""):
            return str(self._call("get", "GET", "/version").get("gitVersion"))

    def may(self, verb: str, resource: str = "pods") -> tuple[bool, str]:
        """Whether we may do that in this namespace, and the reason, by a SelfSubjectAccessReview."""
        kind, _, part = resource.partition("/")
        asked = {"namespace": self.namespace, "verb": verb, "resource": kind, "subresource": part}
        spec = {"resourceAttributes": asked}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        with self._throttle.look(""):
            status = self._call("review", "POST", path, json.dumps(body).encode()).get("status")
        if not isinstance(status, dict):
            raise UnusableAnswer("review: the answer has no status")
        return bool(status.get("allowed")), str(status.get("reason") or "")

    def dry_run(self, body: bytes) -> JsonObject:
        """The Pod as the API server would accept it. Nothing is created.

        Raises what ``CreateTurn.send`` raises, also for an unknown field. A server older than Kubernetes
        1.25 drops unknown fields instead."""
        headers = self._requests.headers(body)
        path = f"{self._path}?dryRun=All&fieldValidation=Strict&timeout={self._create_seconds:g}s"
        with self._throttle.look(""):
            response = self._requests.send(
                "create", "POST", path, body, headers, self._create_seconds, stream=False
            )
        return parsed("create", response.data)
