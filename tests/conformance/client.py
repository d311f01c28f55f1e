"""Plain HTTP to an API server, named by a kubeconfig: no Kubernetes client stands between test and server."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

SECONDS = 30.0  # for anything that a test waits for
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


# named here, since Namespace has a method called list
Events = list[dict[str, Any]]
Names = list[str]


@dataclass
class Reply:
    """One answer: the status, the JSON body (or the text of another), and the headers in lower case."""

    code: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


class ApiServer:
    """One API server; each call has its own connection."""

    def __init__(self, kubeconfig: str | Path) -> None:
        self.kubeconfig = kubeconfig
        document = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.server = urlsplit(cluster["server"])
        self._token = user.get("token")
        self._tls: ssl.SSLContext | None = None
        if self.server.scheme == "https":
            authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
            self._tls = ssl.create_default_context(cadata=authority)
            if "client-certificate-data" in user:
                with tempfile.NamedTemporaryFile() as file:
                    for key in ("client-certificate-data", "client-key-data"):
                        file.write(base64.b64decode(user[key]))
                    file.flush()
                    self._tls.load_cert_chain(file.name)

    def connect(self) -> http.client.HTTPConnection:
        assert self.server.hostname is not None
        if self._tls is None:
            return http.client.HTTPConnection(self.server.hostname, self.server.port, timeout=SECONDS)
        return http.client.HTTPSConnection(
            self.server.hostname, self.server.port, timeout=SECONDS, context=self._tls
        )

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request and its whole answer."""
        with contextlib.closing(self.connect()) as connection:
            data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
            connection.request(method, path, data, self.headers(content_type, headers))
            response = connection.getresponse()
            text = response.read().decode()
            received = {name.lower(): value for name, value in response.getheaders()}
            if "json" in received.get("content-type", "") and "watch=" not in path:
                return Reply(response.status, json.loads(text), received)
            return Reply(response.status, text, received)

    def headers(
        self, content_type: str = "application/json", more: dict[str, str] | None = None
    ) -> dict[str, str]:
        """What each request has in its head."""
        headers = {"Content-Type": content_type, **(more or {})}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """A response whose body is read while it comes."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path, headers=self.headers())
            yield connection.getresponse()


class Namespace:
    """One namespace of a server, and shorthands for its Pods."""

    def __init__(self, server: ApiServer, name: str) -> None:
        self.server, self.name = server, name
        self.path = f"/api/v1/namespaces/{name}"
        self.pods = f"{self.path}/pods"

    def create(self, pod: dict[str, Any], query: str = "") -> Reply:
        return self.server.call("POST", self.pods + query, pod)

    def get(self, name: str, sub: str = "") -> Reply:
        return self.server.call("GET", f"{self.pods}/{name}{sub}")

    def delete(self, name: str, options: dict[str, Any] | None = None, query: str = "") -> Reply:
        return self.server.call("DELETE", f"{self.pods}/{name}{query}", options)

    def patch(self, name: str, change: Any, content_type: str = MERGE, sub: str = "") -> Reply:
        return self.server.call("PATCH", f"{self.pods}/{name}{sub}", change, content_type)

    def put(self, name: str, pod: Any, sub: str = "") -> Reply:
        return self.server.call("PUT", f"{self.pods}/{name}{sub}", pod)

    def list(self, **query: str) -> Reply:
        return self.server.call("GET", f"{self.pods}?{urlencode(query)}")

    def names(self, **query: str) -> Names:
        return [item["metadata"]["name"] for item in self.list(**query)["items"]]

    def watch(self, **query: str) -> Events:
        """All events of a watch that the server ends after ``timeoutSeconds`` (default 1)."""
        options = {"watch": "1", "timeoutSeconds": "1", **query}
        text = self.server.call("GET", f"{self.pods}?{urlencode(options)}").body
        return [json.loads(line) for line in text.splitlines()]

    @contextlib.contextmanager
    def follow(self, **query: str) -> Iterator[Iterator[dict[str, Any]]]:
        """A watch's events, one after the other, as they come."""
        options = {"watch": "1", "timeoutSeconds": str(int(SECONDS)), **query}
        with self.server.stream(f"{self.pods}?{urlencode(options)}") as response:
            yield (json.loads(line) for line in response)

    def until(self, name: str, holds: Callable[[Reply], bool]) -> Reply:
        """The Pod, once the condition holds for it; fails after SECONDS."""
        return until(lambda: self.get(name), holds)

    def until_phase(self, name: str, phase: str) -> Reply:
        return self.until(name, lambda reply: reply.code == 200 and reply["status"].get("phase") == phase)


def until(ask: Callable[[], Reply], holds: Callable[[Reply], bool], seconds: float = SECONDS) -> Reply:
    """What ``ask`` answers, once the condition holds for it; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        reply = ask()
        if holds(reply):
            return reply
        assert time.monotonic() < deadline, f"not within {seconds} s; last: {reply.code} {reply.body}"
        time.sleep(0.02)


def pod(
    name: str | None = "a",
    *,
    metadata: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Pod of one container; whatever is not said is short, plain and valid."""
    named: dict[str, Any] = {"name": name} if name is not None else {}
    if annotations:
        named["annotations"] = annotations
    worker = {"name": "worker", "image": "busybox", **(container or {})}
    body = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [worker], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**named, **(metadata or {})}, "spec": body}


# Of a Pod that is never scheduled, so that nobody but the test writes to it.
ALONE: dict[str, Any] = {"schedulerName": "nobody"}
# How long Pods run, said so that the real control plane's fake kubelet and the simulated one obey.
FOREVER = {"sim/run-seconds": "inf", "sim/start-delay": "0.01"}
SHORT = {"sim/run-seconds": "0.05", "sim/start-delay": "0.01"}
