"""A create's turn whose request was opened: it is completed at once or dropped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import pytest

from ottoscaler.errors import KubernetesUnavailable
from ottoscaler.kube.client import connect
from ottoscaler.kube.open_request import OpenRequest
from ottoscaler.kube.request_turn import RequestTurn
from ottoscaler.kube.throttle import CREATES, Throttle
from ottoscaler.model import JsonObject
from tests.harness.kubeconfigs import kubeconfig
from tests.harness.scripted_server import ScriptedServer


class Opened:
    """An open request, and what was done with it."""

    def __init__(self, *, usable: bool = True) -> None:
        self.done: list[str] = []
        self._usable = usable

    def complete(self) -> bool:
        self.done.append("complete")
        return self._usable

    def drop(self) -> None:
        self.done.append("drop")


def turn(throttle: Throttle, opened: Opened, answered: list[OpenRequest | None] | None = None) -> RequestTurn:
    def create(request: OpenRequest | None) -> JsonObject:
        (answered if answered is not None else []).append(request)
        return {}

    return RequestTurn(throttle, "1-0", "default", create, cast(OpenRequest, opened))


def places_left(throttle: Throttle) -> int:
    """How many creates of other events may begin now, each of a profile of its own."""
    asked = [throttle.creates.ask(f"{i}-0", str(i)) for i in range(CREATES)]
    free = sum(place.held for place in asked)
    for place in asked:
        throttle.creates.leave(place)
    return free


def test_open_request_is_dropped_when_its_turn_is_left() -> None:
    opened = Opened()
    with turn(Throttle(10, 10), opened) as one:
        assert one.ready(5)
        assert opened.done == []
    assert opened.done == ["drop"]


def test_completed_request_is_answered_once_and_then_not_dropped() -> None:
    opened, answered = Opened(), list[OpenRequest | None]()
    one = turn(Throttle(10, 10), opened, answered)
    assert one.complete()
    with one:
        one.send()
    assert opened.done == ["complete"]
    assert answered == [cast(OpenRequest, opened)]


def test_completed_request_whose_answer_is_not_read_is_dropped() -> None:
    opened = Opened()
    one = turn(Throttle(10, 10), opened)
    assert one.complete()
    one.leave()
    one.leave()
    assert opened.done == ["complete", "drop"]


def test_request_is_completed_only_with_a_place_and_a_token_that_need_no_wait() -> None:
    hindered = Opened()
    throttle = Throttle(1000, CREATES)
    for number in range(CREATES):
        throttle.creates.ask(f"{number}-0", str(number))
    began = time.monotonic()
    assert not turn(throttle, hindered).complete()
    throttle = Throttle(1, 1)
    assert throttle.take_create_token(5)
    assert not turn(throttle, hindered).complete()
    assert time.monotonic() - began < 0.5
    assert hindered.done == []


def test_request_that_cannot_be_trusted_is_not_completed() -> None:
    assert not turn(Throttle(10, 10), Opened(usable=False)).complete()


def test_turn_that_was_completed_and_entered_holds_one_place_until_it_is_left() -> None:
    throttle = Throttle(1000, CREATES)
    before = places_left(throttle)
    one = turn(throttle, Opened())
    assert one.complete()
    with one:
        assert places_left(throttle) < before
        one.leave()
        other = throttle.creates.ask("2-0", "other")
    assert places_left(throttle) < before, "what was given back twice would be another's place"
    throttle.creates.leave(other)
    assert places_left(throttle) == before


def test_create_counts_from_its_last_byte_though_its_answer_is_read_later(tmp_path: Path) -> None:
    """A process that froze between would else take the answer's Date for the time of its reading."""
    observed: list[tuple[str, float]] = []

    def observe(verb: str, _code: int, seconds: float) -> None:
        observed.append((verb, seconds))

    def reply(_number: int, part: bytes) -> tuple[bytes, bool]:
        data = b'{"metadata":{"name":"a","uid":"u"}}'
        whole = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
        return (whole if part.startswith(b"GET") or part.endswith(b"}") else b""), True

    server = ScriptedServer(reply)
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.port}"}))
    try:
        client = connect(str(path), "workers", Throttle(100, 100), observe, 5.0)
        client.get("a")
        one = client.open_turn(b"{}", "1-0", "default")
        assert one is not None
        assert one.complete()
        assert one._opened is not None
        one._opened.completed_at -= 5
        with one:
            one.send()
    finally:
        server.close()
    assert observed[-1][0] == "create"
    assert observed[-1][1] >= 5


def test_create_that_a_proxy_refused_for_its_expect_is_left_to_the_caller_to_send_again(
    tmp_path: Path,
) -> None:
    """Between its last byte and the refusal the lease may have ended, or the group have been paused."""

    def reply(_number: int, part: bytes) -> tuple[bytes, bool]:
        data = b'{"metadata":{"name":"a","uid":"u"}}'
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
        refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
        return (refusal if b"Expect:" in part else whole if part.startswith(b"GET") else b""), True

    server = ScriptedServer(reply)
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.port}"}))
    try:
        client = connect(str(path), "workers", Throttle(100, 100), lambda *_: None, 5.0)
        client.get("a")
        one = client.open_turn(b"{}", "1-0", "default")
        assert one is not None
        assert one.complete()
        with one, pytest.raises(KubernetesUnavailable) as refused:
            one.send()
        assert refused.value.unsent
        asked = [part for part in server.requests if part.startswith(b"POST")]
        assert len(asked) == 1, "it was not sent again"
        client.get("a")
        assert client.open_turn(b"{}", "2-0", "default") is None, "the next would be refused too"
    finally:
        server.close()


def test_create_that_an_api_server_ended_tells_it_the_next_time_how_long_it_may_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one ends a create after 34 s, in the middle of a chain of slow webhooks, unless it is told."""
    monkeypatch.setattr("ottoscaler.kube.client.SLOW_CREATE_SECONDS", 0.0)

    def reply(_number: int, part: bytes) -> tuple[bytes, bool]:
        data = b'{"kind":"Status","message":"request did not complete within requested timeout 34s"}'
        return b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data), True

    server = ScriptedServer(reply)
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig({"server": f"http://127.0.0.1:{server.port}"}))
    try:
        client = connect(str(path), "workers", Throttle(100, 100), lambda *_: None, 45.0)
        for event in ("1-0", "1-0", "2-0"):
            with client.create_turn(b"{}", event, "default") as turn, pytest.raises(KubernetesUnavailable):
                turn.send()
        asked = [part.split(b" ")[1].decode().rpartition("/")[2] for part in server.requests]
    finally:
        server.close()
    assert asked == ["pods", "pods?timeout=45s", "pods"]
