"""The HTTP server: what is there for whom, with which headers, and that viewers keep no probe waiting."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ottoscaler.local.ports import free_port
from ottoscaler.telemetry import status_page
from ottoscaler.telemetry.bounded_server import CONNECTIONS
from ottoscaler.telemetry.health import Health
from ottoscaler.telemetry.http import HttpServer
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.telemetry.status_page import FILES, NotThere, StatusPage, Unavailable, Wrong
from ottoscaler.telemetry.viewers import VIEWERS

SECONDS = 30.0


class Frames:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._had = False

    def next(self, timeout: float) -> bytes | None:
        if self._had:
            self._source.over.wait(timeout)
            return None
        self._had = True
        return self._source.frame


class Source:
    """Documents and frames of the test's own; ``over`` ends the quiet after the first frame."""

    def __init__(self) -> None:
        self.frame = b'{"n":1}'
        self.over = threading.Event()
        self.watching = 0

    def document(self, path: str, query: dict[str, str]) -> bytes:
        errors = {
            "404": NotThere("no such event"),
            "400": Wrong("id: expected"),
            "503": Unavailable("no Redis"),
        }
        if (error := errors.get(query.get("id", ""))) is not None:
            raise error
        return json.dumps({"path": path, **query}).encode()

    @contextmanager
    def watch(self) -> Iterator[Frames]:
        self.watching += 1
        try:
            yield Frames(self)
        finally:
            self.watching -= 1


class Place:
    def __init__(self, mode: str = "local") -> None:
        self.source = Source()
        self.port = free_port()
        self.server = HttpServer("127.0.0.1", self.port, Health(), Metrics(), StatusPage(mode, self.source))
        self.server.start()

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request(method, path, headers=headers)
        return connection.getresponse()

    def view(self) -> http.client.HTTPResponse:
        """Open a stream and read its first frame."""
        answer = self.ask("/api/stream")
        if answer.status == 200:
            while not answer.readline().startswith(b"data: "):
                pass
        return answer

    def stop(self) -> None:
        self.source.over.set()
        self.server.stop()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(getattr(request, "param", "local"))
    yield made
    made.stop()


def test_the_page_is_three_files_and_loads_nothing_else(place: Place) -> None:
    for path in FILES:
        answer = place.ask(path)
        text = answer.read().decode()
        assert (answer.status, "://" in text.replace("http://www.w3.org/2000/svg", "")) == (200, False)
    page = place.ask("/").read().decode()
    for inline in ("style=", "onclick=", "onload=", "<style", "javascript:"):
        assert inline not in page


def test_every_answer_of_the_page_forbids_what_it_does_not_need(place: Place) -> None:
    for path in (*FILES, "/api/status", "/api/stream"):
        answer = place.ask(path, "HEAD")
        policy = answer.headers["Content-Security-Policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_bad_paths_are_404_and_bad_methods_405(place: Place) -> None:
    for path in (
        "/nothing",
        "/page.html",
        "/api/",
        "/api/nothing",
        "/../etc/passwd",
        "/%2e%2e/x",
        "/page/page.js",
    ):
        assert place.ask(path).status == 404
        assert place.ask(path, "POST").status == 404
    for path in ("/", "/api/status", "/api/stream", "/healthz", "/metrics"):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "WHATEVER"):
            answer = place.ask(path, method)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_who_is_not_admitted_gets_404_as_if_there_were_no_page(place: Place) -> None:
    absent = place.ask("/nothing", Host="evil.example").read()
    for path in (*FILES, "/api/status", "/api/stream"):
        for method in ("GET", "HEAD", "POST"):
            assert place.ask(path, method, Host="evil.example").status == 404
        assert place.ask(path, Host="evil.example").read() == absent
    assert b"page" not in absent
    assert place.ask("/metrics", Host="evil.example").status == 200  # as ever


def test_a_page_of_another_site_gets_no_document_and_no_stream(place: Place) -> None:
    for site in ("cross-site", "same-site"):
        assert place.ask("/api/status", **{"Sec-Fetch-Site": site}).status == 404
        assert place.ask("/api/stream", **{"Sec-Fetch-Site": site}).status == 404
        assert place.ask("/", **{"Sec-Fetch-Site": site}).status == 200  # a link in a chat
    assert place.ask("/api/status", **{"Sec-Fetch-Site": "same-origin"}).status == 200


@pytest.mark.parametrize("place", ["off"], indirect=True)
def test_off_is_404_for_everybody(place: Place) -> None:
    assert {place.ask(path).status for path in (*FILES, "/api/status", "/api/stream")} == {404}
    assert place.ask("/metrics").status == 200


@pytest.mark.parametrize("place", ["all"], indirect=True)
def test_all_is_there_under_any_name(place: Place) -> None:
    assert place.ask("/", Host="otto.example").status == 200


def test_what_a_document_cannot_tell_is_a_sentence_with_its_status(place: Place) -> None:
    for word, sentence in {"404": "no such event", "400": "id: expected", "503": "no Redis"}.items():
        answer = place.ask(f"/api/event?id={word}")
        assert (answer.status, json.loads(answer.read())) == (int(word), {"error": sentence})
    assert json.loads(place.ask("/api/search?q=a%20b&q=%3Cc%3E").read())["q"] == "<c>"
    assert place.ask("/api/search?" + "&".join("abcdefghijklm")).status == 400


def test_a_viewer_too_many_gets_503_with_a_sentence_and_probes_go_on(place: Place) -> None:
    """More viewers than all other connections: none of them takes a probe's place."""
    assert max(20, CONNECTIONS) < VIEWERS
    viewers = [place.view() for _ in range(VIEWERS)]
    assert {viewer.status for viewer in viewers} == {200}
    refused = place.view()
    assert (refused.status, b"viewers" in refused.read()) == (503, True)
    for _ in range(2 * CONNECTIONS):
        assert place.ask("/metrics").status == 200
    assert all(viewer.fp is not None for viewer in viewers)
    viewers.pop().close()
    place.source.over.set()


def test_a_stream_ends_with_a_word_to_come_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_page, "STREAM_SECONDS", 0.2)
    text = place.ask("/api/stream").read()
    for part in (b"retry: ", b'data: {"n":1}\n\n', b"event: again\n"):
        assert part in text
    assert status_page.STREAM_SECONDS + status_page.SEND_SECONDS <= 60


def test_a_viewer_who_does_not_read_is_cut_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_page, "SEND_SECONDS", 0.2)
    monkeypatch.setattr(status_page, "SEND_BUFFER", 4096)
    place.source.frame = b"x" * 20_000_000
    with socket.create_connection(("127.0.0.1", place.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /api/stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
        slow.settimeout(SECONDS)
        seen = threading.Event()
        threading.Thread(target=_when_free, args=(place.source, seen), daemon=True).start()
        assert seen.wait(SECONDS)


def _when_free(source: Source, seen: threading.Event) -> None:
    pause = threading.Event()
    while not source.watching:
        pause.wait(0.01)
    while source.watching:
        pause.wait(0.01)
    seen.set()


def test_what_is_no_request_gets_a_sentence_and_no_page_of_the_librarys(place: Place) -> None:
    long = b"GET /" + b"x" * 70000 + b" HTTP/1.0\r\n\r\n"
    for text in (b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", long):
        with socket.create_connection(("127.0.0.1", place.port), timeout=SECONDS) as sock:
            sock.sendall(text)
            assert b"<" not in sock.recv(65536)


def test_a_stop_ends_open_streams(place: Place) -> None:
    viewer = place.view()
    place.server.stop()
    place.source.over.set()
    assert b"again" not in viewer.read()
