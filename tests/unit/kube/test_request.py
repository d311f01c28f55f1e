"""Requests that get no answer."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from pathlib import Path

import certifi
import pytest

from ottoscaler.errors import KubernetesUnavailable
from ottoscaler.kube.client import connect
from ottoscaler.kube.request import _lacks_certificates
from ottoscaler.kube.throttle import Throttle
from tests.harness.kubeconfigs import kubeconfig
from tests.harness.scripted_server import ScriptedServer


@pytest.mark.parametrize("call", ["list", "get"])  # they have connections of their own
def test_temporary_files_with_certificates_that_a_cleaner_deleted_are_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Cleaners of /tmp delete what is some days old. Before, no connection could be made ever after."""
    monkeypatch.setattr("ottoscaler.kube.credentials.RELOAD_SECONDS", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trusted = base64.b64encode(Path(certifi.where()).read_bytes() + call.encode()).decode()
    config = tmp_path / "kubeconfig"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        config.write_text(kubeconfig({"server": address, "certificate-authority-data": trusted}))
        client = connect(str(config), "workers", Throttle(100, 100), lambda *_: None, 5.0)
        client._requests.headers(None)  # reads the kubeconfig
        (file,) = (path for path in tmp_path.iterdir() if path != config)
        file.unlink()
        with pytest.raises(KubernetesUnavailable, match="No such file"):
            client.list("app=otto-agent") if call == "list" else client.get("a")
        assert [path.read_bytes() for path in tmp_path.iterdir() if path != config] == [
            base64.b64decode(trusted)
        ]


def test_a_handshake_that_is_cut_off_says_nothing_about_certificates() -> None:
    """A load balancer without a server does so, and to read the kubeconfig anew drops all connections."""
    assert _lacks_certificates(ssl.SSLCertVerificationError("self-signed"))
    assert not _lacks_certificates(ssl.SSLEOFError("EOF occurred in violation of protocol"))
    assert not _lacks_certificates(ConnectionResetError())


@pytest.mark.parametrize("patient", [True, False])
def test_list_that_could_not_wait_as_long_as_others_says_nothing_about_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, patient: bool
) -> None:
    """A busy server takes longer for it now and then, and trouble of the server makes the replica let go."""
    monkeypatch.setattr("ottoscaler.kube.client.LIST_SECONDS", 0.05 if patient else 5.0)
    config = tmp_path / "kubeconfig"
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and never answers
        config.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.getsockname()[1]}"}))
        client = connect(str(config), "workers", Throttle(100, 100), lambda *_: None, 5.0)
        for _ in range(2):
            with pytest.raises(KubernetesUnavailable, match=r"no answer within 0\.05 s"):
                client.list("app=otto-agent", seconds=0.05)
        assert client._requests.health.healthy is not patient


@pytest.mark.parametrize(("page_seconds", "piece_seconds"), [(0.1, 0.0), (0.0, 0.02)])
def test_list_has_one_time_for_all_its_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page_seconds: float, piece_seconds: float
) -> None:
    """A scale_down waits for it. Before, each page, and each piece of one, had the whole time anew."""
    monkeypatch.setattr("ottoscaler.kube.client.SMALL_PIECE_BYTES", 8)
    sizes: list[int] = []

    def page(number: int, _: bytes) -> tuple[bytes, bool]:
        time.sleep(page_seconds)
        rest = b"" if number == 20 else b"more"
        body = b'{"metadata":{"resourceVersion":"1","continue":"%s"},"items":[]}' % rest
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), True

    server = ScriptedServer(page, piece_seconds)
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.port}"}))
    try:
        client = connect(str(config), "workers", Throttle(100, 100), lambda *_: None, 5.0, sizes.append)
        with pytest.raises(KubernetesUnavailable, match=r"no answer within 0\.\d+ s"):
            client.list("app=otto-agent", seconds=0.25)
        assert client._requests.health.healthy
        assert len(server.requests) < 5
        assert sizes, "it was looked at within a page too"
    finally:
        server.close()


def test_list_shows_progress_within_a_page(tmp_path: Path) -> None:
    """The watch thread waits for it. Before, a page that came at 7 KiB a second let /healthz say stuck."""
    body = b'{"metadata":{"resourceVersion":"1"},"items":[]' + b" " * 65536 + b"}"
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    server = ScriptedServer(lambda *_: (reply, True))
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.port}"}))
    shown: list[None] = []
    try:
        client = connect(str(config), "workers", Throttle(100, 100), lambda *_: None, 5.0)
        client.list("app=otto-agent", lambda: shown.append(None))
        assert len(shown) > 5
    finally:
        server.close()


def test_delete_that_got_no_answer_is_waited_for_longer_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook took 20 s. The API server gives up what nobody waits for, so no Pod was ever deleted."""
    monkeypatch.setattr("ottoscaler.kube.client.READ_SECONDS", 0.3)

    given_up = threading.Event()

    def slow(number: int, _: bytes) -> tuple[bytes, bool]:
        if number == 2:
            time.sleep(0.45)  # longer than a first delete is waited for
        else:
            given_up.wait(10)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True

    server = ScriptedServer(slow)
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.port}"}))
    try:
        client = connect(str(config), "workers", Throttle(100, 100), lambda *_: None, 5.0)
        with pytest.raises(KubernetesUnavailable, match="no answer within"):
            client.delete("a", "uid-a")
        client.in_namespace("workers").delete("a", "uid-a")
        with pytest.raises(KubernetesUnavailable, match="no answer within"):
            client.delete("b", "uid-b")
    finally:
        given_up.set()
        server.close()
