"""Admission webhooks before one namespace's Pods: on a real server real ones, on the local one its faults."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from .client import MERGE, Namespace, pod, until

WEBHOOK = "webhook.example.com"
GROUP = "/apis/admissionregistration.k8s.io/v1"


class Admission(Protocol):
    """What can happen to the creates of Pods in the namespace, until the test ends."""

    def deny(self, message: str, status: int, reason: str = "") -> None: ...
    def fail(self) -> None:
        """It does not answer in time."""

    def relabel(self, labels: dict[str, str | None]) -> None: ...
    def rename(self, name: str, prefix: str) -> None:
        """The Pod ``name`` is called ``prefix`` and ``name`` instead."""

    def delay(self, seconds: float) -> None: ...


class LocalAdmission:
    """The local cluster's faults, given over HTTP."""

    def __init__(self, namespace: Namespace) -> None:
        self._server = namespace.server
        self._path = f"/namespaces/{namespace.name}/pods"

    def _post(self, fault: str, **more: Any) -> None:
        reply = self._server.call("POST", "/faults", {"fault": fault, "path": self._path, **more})
        assert reply.code == 200, reply.body

    def deny(self, message: str, status: int, reason: str = "") -> None:
        self._post("deny_admission", message=message, status=status, reason=reason, webhook=WEBHOOK)

    def fail(self) -> None:
        self._post("fail_admission", webhook=WEBHOOK)

    def relabel(self, labels: dict[str, str | None]) -> None:
        self._post("relabel", labels=labels)

    def rename(self, name: str, prefix: str) -> None:
        self._post("rename", prefix=prefix)

    def delay(self, seconds: float) -> None:
        self._post("slow_admission", seconds=seconds)

    def close(self) -> None:
        self._server.call("DELETE", "/faults")


class RealAdmission:
    """A webhook server of the test's own, over TLS, and its configuration in the cluster."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self._namespace, self._server = namespace, namespace.server
        self.answer: dict[str, Any] = {"allowed": True}
        self.seconds = 0.0
        certificate, key = _certificate(directory)
        self._authority = base64.b64encode(certificate.read_bytes()).decode()
        handler = type("Handler", (_Webhook,), {"admission": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self._made: list[str] = []
        labels = {"metadata": {"labels": {"webhooks": namespace.name}}}
        assert self._server.call("PATCH", namespace.path, labels, MERGE).code == 200

    def deny(self, message: str, status: int, reason: str = "") -> None:
        told = {"code": status, **({"message": message} if message else {})}
        self.answer = {"allowed": False, "status": {**told, **({"reason": reason} if reason else {})}}
        self._register("Validating")

    def fail(self) -> None:
        self.seconds = 5.0
        self._register("Validating", timeout=1)

    def relabel(self, labels: dict[str, str | None]) -> None:
        def operation(key: str, value: str | None) -> dict[str, Any]:
            path = "/metadata/labels/" + key.replace("/", "~1")
            return (
                {"op": "remove", "path": path}
                if value is None
                else {"op": "add", "path": path, "value": value}
            )

        self._patch([operation(*item) for item in labels.items()])

    def rename(self, name: str, prefix: str) -> None:
        self._patch([{"op": "replace", "path": "/metadata/name", "value": prefix + name}])

    def _patch(self, operations: list[dict[str, Any]]) -> None:
        coded = base64.b64encode(json.dumps(operations).encode()).decode()
        self.answer = {"allowed": True, "patchType": "JSONPatch", "patch": coded}
        self._register("Mutating")

    def delay(self, seconds: float) -> None:
        self.seconds = seconds
        self._register("Validating")

    def _register(self, kind: str, timeout: int = 10) -> None:
        """Configure the webhook, and wait until the API server asks it: it learns of it by a watch."""
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        url = f"https://localhost:{self._http.server_port}/"
        webhook: dict[str, Any] = {"name": WEBHOOK, "rules": [rule], "timeoutSeconds": timeout}
        webhook |= {"clientConfig": {"url": url, "caBundle": self._authority}, "sideEffects": "None"}
        webhook |= {"admissionReviewVersions": ["v1"], "failurePolicy": "Fail"}
        webhook["namespaceSelector"] = {"matchLabels": {"webhooks": self._namespace.name}}
        path = f"{GROUP}/{kind.lower()}webhookconfigurations"
        body: dict[str, Any] = {
            "kind": f"{kind}WebhookConfiguration",
            "apiVersion": "admissionregistration.k8s.io/v1",
        }
        body |= {"metadata": {"name": self._namespace.name}, "webhooks": [webhook]}
        assert self._server.call("POST", path, body).code == 201
        self._made.append(f"{path}/{self._namespace.name}")
        answer, seconds = self.answer, self.seconds
        self.answer, self.seconds = {"allowed": False, "status": {"code": 418}}, 0.0
        until(lambda: self._namespace.create(pod("probe"), "?dryRun=All"), lambda reply: reply.code == 418)
        self.answer, self.seconds = answer, seconds

    def close(self) -> None:
        for path in self._made:
            self._server.call("DELETE", path)
        self._http.shutdown()
        self._http.server_close()


class _Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    admission: RealAdmission

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.admission.seconds)
        response = {"uid": review["request"]["uid"], **self.admission.answer}
        answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        body = json.dumps(answer).encode()
        with contextlib.suppress(OSError):  # who waited may have given up
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost that is its own authority, and its key."""
    certificate, key = directory / "webhook.crt", directory / "webhook.key"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@contextlib.contextmanager
def admission(namespace: Namespace, directory: Path, *, real: bool) -> Iterator[Admission]:
    made = RealAdmission(namespace, directory) if real else LocalAdmission(namespace)
    try:
        yield made
    finally:
        made.close()
