"""``check`` against servers that answer as no local cluster does: forbidding, senseless, or never."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.harness.preloaded import run

SOON_SECONDS = 90.0  # the connect and read timeouts of both sides, and the interpreter on a busy machine


class ApiServer(BaseHTTPRequestHandler):
    """Knows its version, allows only these verbs, and has no Pods."""

    allowed: tuple[str, ...] = ()

    def do_GET(self) -> None:
        self._answer({"gitVersion": "v1.99.0"} if self.path == "/version" else {"items": [], "metadata": {}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        verb = body["spec"]["resourceAttributes"]["verb"]
        self._answer({"status": {"allowed": verb in self.allowed}}, 201)

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test's output is its own."""


@contextmanager
def api_server(*allowed: str) -> Iterator[int]:
    served = type("Allowing", (ApiServer,), {"allowed": allowed})
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silence() -> Iterator[int]:
    """Takes connections, and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]


def check(
    tmp_path: Path, redis_port: int, kube_port: int, **bounds: float
) -> subprocess.CompletedProcess[str]:
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{kube_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [cluster],
                "contexts": [context],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    env = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig),
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis_port),
        "REDIS_PASSWORD": "sekrit-4711",
    }
    return run(["check"], env, seconds=SOON_SECONDS, bounds=bounds)


def test_permissions_that_are_missing_are_named(tmp_path: Path) -> None:
    with api_server("get", "list") as kube, silence() as nothing:
        ran = check(tmp_path, nothing, kube)
    assert ran.returncode == 1
    assert "may not create, watch, delete pods" in ran.stdout
    assert "v1.99.0" in ran.stdout
    assert "Is NAMESPACE right" not in ran.stdout


def test_user_without_any_right_is_asked_whether_the_namespace_exists(tmp_path: Path) -> None:
    """The API server does not tell such a user that a namespace is missing."""
    with api_server() as kube:
        ran = check(tmp_path, kube, kube)
    assert "may not create, get, list, watch, delete pods in namespace default" in ran.stdout
    assert "Is NAMESPACE right, and does that namespace exist?" in ran.stdout


def test_servers_that_never_answer_are_given_up_within_their_timeouts(tmp_path: Path) -> None:
    with silence() as nothing:
        ran = check(tmp_path, nothing, nothing, **{"kube.client.READ_SECONDS": 2.0})
    assert ran.returncode == 1
    assert ran.stdout.count("  problem  ") == 2
    assert "sekrit" not in ran.stdout + ran.stderr
    assert ran.stderr == ""


def test_a_redis_that_speaks_another_protocol_is_a_sentence(tmp_path: Path) -> None:
    with api_server() as kube:
        ran = check(tmp_path, kube, kube)
    assert ran.returncode == 1
    assert "problem  redis" in ran.stdout
    assert ran.stderr == ""
