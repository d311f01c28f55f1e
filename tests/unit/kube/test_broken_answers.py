"""Answers whose length is nonsense, as a broken proxy sends them, are no answers: they end no thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ottoscaler.errors import KubernetesUnavailable
from ottoscaler.kube.client import PodClient, connect
from ottoscaler.kube.throttle import Throttle
from tests.harness.kubeconfigs import kubeconfig
from tests.harness.scripted_server import ScriptedServer

SIZES = {"negative": b"-5", "enormous": b"f" * 16, "no number": b"zz"}
CALLS: dict[str, Callable[[PodClient], object]] = {
    "list": lambda pods: pods.list("app=otto-agent"),
    "get": lambda pods: pods.get("otto-agent-x-1-0-0-0"),
    "watch": lambda pods: list(pods.watch("", "1", seconds=5, silence=5.0, opened=lambda _: None)),
}


@pytest.mark.parametrize("through_a_proxy", [False, True])
@pytest.mark.parametrize("status", [b"200 OK", b"503 Service Unavailable"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", CALLS)
def test_a_chunk_of_a_nonsensical_size(
    tmp_path: Path, call: str, size: str, status: bytes, through_a_proxy: bool
) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = ScriptedServer(lambda *_: (head + SIZES[size] + b"\r\n{}\r\n0\r\n\r\n", False))
    here = f"http://127.0.0.1:{server.port}"
    cluster = {"server": "http://api.example", "proxy-url": here} if through_a_proxy else {"server": here}
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(cluster))
    try:
        pods = connect(str(path), "default", Throttle(100, 100), lambda *_: None, 5.0)
        with pytest.raises(KubernetesUnavailable):
            CALLS[call](pods)
    finally:
        server.close()
