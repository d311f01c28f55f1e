"""A right that is missing in a namespace which NAMESPACE named before: the Role there may come and go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ottoscaler.errors import KubernetesUnavailable, NoRight
from ottoscaler.kube.client import connect
from ottoscaler.kube.throttle import Throttle
from tests.harness.kubeconfigs import kubeconfig
from tests.harness.scripted_server import ScriptedServer

POD = {"metadata": {"name": "a", "uid": "u"}}
FORBIDDEN = {"kind": "Status", "message": 'pods "a" is forbidden', "reason": "Forbidden"}


def test_right_that_came_back_meanwhile_has_been_missing_anew(tmp_path: Path) -> None:
    granted = False

    def reply(_number: int, _request: bytes) -> tuple[bytes, bool]:
        status, body = (b"200 OK", POD) if granted else (b"403 Forbidden", FORBIDDEN)
        data = json.dumps(body).encode()
        return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(data), data), True

    server = ScriptedServer(reply)
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.port}"}))
    try:
        client = connect(str(path), "workers", Throttle(100, 100), lambda *_: None, 5.0)
        former = client.in_namespace("former", no_right_seconds=0.0)
        for granted in (False, True, False):
            if granted:
                assert former.get("a") == POD
            else:
                with pytest.raises(KubernetesUnavailable):
                    former.get("a")
        with pytest.raises(NoRight):
            former.get("a")
    finally:
        server.close()
