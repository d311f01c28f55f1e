"""The bytes of a request and its answer, over real sockets: what is cut short is never taken for whole."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import urllib3

from ottoscaler.kube.connections import MOST_IDLE, Connections, Response, readable
from ottoscaler.kube.http1 import MOST_HEAD, Broken
from ottoscaler.kube.open_request import MOST_OPEN, OpenRequest, open_request
from ottoscaler.kube.renewal import Loss, Renewal
from tests.harness.scripted_server import Reply, ScriptedServer
from tests.harness.waiting import wait_for

SECONDS = 30.0


@contextmanager
def serving(reply: Reply) -> Iterator[tuple[Connections, ScriptedServer]]:
    server = ScriptedServer(reply)
    pool = urllib3.PoolManager().connection_from_url(f"http://127.0.0.1:{server.port}")
    try:
        yield Connections(pool, Renewal(), connect_seconds=SECONDS), server
    finally:
        server.close()


def ask(connections: Connections, body: bytes | None = None) -> Response:
    method = "POST" if body is not None else "GET"
    return connections.request(method, "/pods", body, {"Accept": "application/json"}, SECONDS)


def always(reply: bytes, *, keep: bool = True) -> Reply:
    return lambda number, request: (reply, keep)


def test_answer_with_a_length_comes_whole_and_the_connection_is_used_again() -> None:
    reply = b'HTTP/1.1 201 Created\r\nContent-Length: 10\r\nDate: now\r\n\r\n{"a": "b"}'
    with serving(always(reply)) as (connections, server):
        for _ in range(3):
            answer = ask(connections, b"{}")
            assert (answer.status, answer.data) == (201, b'{"a": "b"}')
            assert answer.headers["date"] == "now"
        assert server.connections == 1
        assert server.requests[0].startswith(b"POST /pods HTTP/1.1\r\n")
        assert b"Content-Length: 2\r\n" in server.requests[0]
        assert server.requests[0].endswith(b"\r\n\r\n{}")


def test_no_more_idle_connections_are_kept_than_are_ever_busy() -> None:
    with serving(always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as (connections, server):
        streams = [connections.stream("GET", "/pods", {}, SECONDS) for _ in range(MOST_IDLE + 2)]
        for stream in streams:
            assert stream.data == b"ok"
            stream.close()
        for _ in range(2):
            assert server.closed.acquire(timeout=SECONDS)
        assert not server.closed.acquire(timeout=0.05)


def test_idle_connections_that_nobody_needs_are_closed_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as (connections, server):
        streams = [connections.stream("GET", "/pods", {}, SECONDS) for _ in range(3)]
        for stream in streams:
            assert stream.data == b"ok"
            stream.close()
        ask(connections)
        assert not server.closed.acquire(timeout=0.05)
        monkeypatch.setattr("ottoscaler.kube.connections.IDLE_SECONDS", 0.0)
        ask(connections)
        assert server.closed.acquire(timeout=SECONDS)
        assert server.connections == 3


@pytest.mark.parametrize("trailers", [b"", b"Expires: never\r\nX-Sum: 1\r\n"])
def test_answer_in_chunks_comes_whole_and_the_next_begins_behind_it(trailers: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = head + b"4\r\nabcd\r\nA;note=1\r\n0123456789\r\n0\r\n" + trailers + b"\r\n"
    with serving(always(reply)) as (connections, server):
        assert ask(connections).data == b"abcd0123456789"
        assert ask(connections).data == b"abcd0123456789"
        assert server.connections == 1


def test_interim_answer_is_passed_over() -> None:
    reply = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with serving(always(reply)) as (connections, _):
        assert ask(connections).data == b"ok"


def test_answer_without_a_length_ends_with_its_connection() -> None:
    with serving(always(b"HTTP/1.0 200 OK\r\n\r\nall of it", keep=False)) as (connections, server):
        assert ask(connections).data == b"all of it"
        assert ask(connections).data == b"all of it"
        assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
    ],
)
def test_answer_that_is_cut_short_is_an_error_and_is_not_asked_for_again(reply: bytes) -> None:
    with serving(always(reply, keep=False)) as (connections, server):
        with pytest.raises(OSError, match=r"closed|reset"):
            ask(connections, b"{}")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 what\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
    ],
)
def test_what_is_no_http_is_an_error(reply: bytes) -> None:
    with serving(always(reply)) as (connections, _), pytest.raises(Broken):
        ask(connections)


ENDLESS = b"x" * (4 * MOST_HEAD)


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (b"HTTP/1.1 200 OK\r\nX: " + ENDLESS, "the answer's head"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + ENDLESS, "a chunk's length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + ENDLESS, "the answer's trailers"),
    ],
)
def test_what_has_no_end_is_not_read_for_ever(reply: bytes, what: str) -> None:
    with serving(always(reply)) as (connections, _), pytest.raises(Broken, match=f"{what} ha(s|ve) no end"):
        ask(connections)


def test_silent_server_is_given_up_after_the_read_time() -> None:
    silence = threading.Event()

    def reply(number: int, request: bytes) -> tuple[bytes, bool]:
        silence.wait(SECONDS)
        return b"", False

    with serving(reply) as (connections, _):
        with pytest.raises(TimeoutError):
            connections.request("GET", "/pods", None, {}, 0.05)
        silence.set()


def test_connection_that_was_closed_while_idle_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ottoscaler.kube.connections.FRESH_SECONDS", 0.0)  # as if it had been idle for longer
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with serving(lambda number, request: (reply, number > 1)) as (connections, server):
        assert ask(connections).data == b"ok"
        assert server.closed.acquire(timeout=SECONDS)
        assert ask(connections).data == b"ok"
        assert server.connections == 2
        assert len(server.requests) == 2


@pytest.mark.parametrize("words", [b"close", b"X-Hop, Close"])
def test_server_that_says_close_is_taken_at_its_word(words: bytes) -> None:
    reply = b"HTTP/1.1 200 OK\r\nConnection: " + words + b"\r\nContent-Length: 2\r\n\r\nok"
    with serving(always(reply)) as (connections, server):
        assert ask(connections).data == b"ok"
        assert ask(connections).data == b"ok"
        assert server.connections == 2


def test_old_server_closes_without_saying_so() -> None:
    reply = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with serving(always(reply)) as (connections, server):
        assert ask(connections).data == b"ok"
        assert ask(connections).data == b"ok"
        assert server.connections == 2


def chunked(*parts: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def test_a_stream_comes_in_the_servers_own_pieces() -> None:
    with serving(always(chunked(b"one\n", b"t" * 100_000, b"three\n"))) as (connections, server):
        answer = connections.stream("GET", "/watch", {}, SECONDS)
        assert list(answer.stream()) == [b"one\n", b"t" * 100_000, b"three\n"]
        answer.close()
        assert ask(connections).data == b"one\n" + b"t" * 100_000 + b"three\n"
        assert server.connections == 1  # a stream that came to its end leaves its connection to others


def test_only_a_stream_that_is_paced_is_read_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    clock = SimpleNamespace(sleep=pauses.append, monotonic=lambda: 0.0)
    monkeypatch.setattr("ottoscaler.kube.paced_reads.time", clock)
    monkeypatch.setattr("ottoscaler.kube.paced_reads.READS_AHEAD", 0)
    parts = [b"one\n", b"t" * 100_000, b"three\n"]
    with serving(always(chunked(*parts))) as (connections, _):
        for paced in (False, True):
            answer = connections.stream("GET", "/watch", {}, SECONDS, paced=paced)
            assert list(answer.stream()) == parts
            answer.close()
            assert bool(pauses) is paced


def test_a_stream_that_was_left_in_the_middle_leaves_its_connection_to_nobody() -> None:
    with serving(always(chunked(b"one\n", b"two\n"))) as (connections, server):
        answer = connections.stream("GET", "/watch", {}, SECONDS)
        assert next(answer.stream()) == b"one\n"
        answer.close()
        assert ask(connections).data == b"one\ntwo\n"
        assert server.connections == 2


def test_another_thread_ends_a_stream_that_is_being_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"

    def reply(number: int, request: bytes) -> tuple[bytes, bool]:
        return head, True

    with serving(reply) as (connections, _):
        answer = connections.stream("GET", "/watch", {}, 60.0)
        parts = answer.stream()
        assert next(parts) == b"one\n"
        threading.Timer(0.1, answer.shutdown).start()
        with pytest.raises(OSError, match="before the answer's end"):
            next(parts)


def test_an_answer_longer_than_it_says_is_refused() -> None:
    with (
        serving(always(chunked(b"one\n") + b"extra")) as (connections, _),
        pytest.raises(Broken, match="longer"),
    ):
        ask(connections)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_connection_that_was_given_up_is_not_used_again() -> None:
    with serving(always(OK)) as (connections, server):
        connections.give_up(ask(connections).link, Loss.ONE)
        assert ask(connections).data == b"ok"
        assert server.connections == 2


def test_giving_up_all_closes_what_is_idle_and_keeps_nothing_that_was_in_use() -> None:
    with serving(always(chunked(b"one\n", b"two\n"))) as (connections, server):
        watch = connections.stream("GET", "/watch", {}, SECONDS)
        ask(connections)
        connections._renewal.wrong(0.0), connections._renewal.wrong(0.0)
        connections.give_up(None, Loss.ALL)
        assert server.closed.acquire(timeout=SECONDS)
        assert list(watch.stream()) == [b"one\n", b"two\n"]  # what is open goes on to its end
        watch.close()
        ask(connections)
        assert server.connections == 3


def test_giving_up_all_at_once_ends_the_watches_too() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"
    with serving(always(head)) as (connections, _):
        parts = connections.stream("GET", "/watch", {}, 60.0).stream()
        assert next(parts) == b"one\n"
        connections.give_up(None, Loss.ALL_AT_ONCE)
        with pytest.raises(OSError, match="before the answer's end"):
            next(parts)


BODY = b'{"kind": "Pod"}'


def whole_requests(_: int, part: bytes) -> tuple[bytes, bool]:
    """Answers what ends a request: a GET's head, or a body's last byte."""
    return (OK if part.startswith(b"GET") or part.endswith(b"}") else b""), True


def going_on(_: int, part: bytes) -> tuple[bytes, bool]:
    """The same, and says that it waits for the body, as it is asked to."""
    expected = b"HTTP/1.1 100 Continue\r\n\r\n" if b"Expect: 100-continue\r\n" in part else b""
    return whole_requests(_, part)[0] or expected, True


def opened(connections: Connections, server: ScriptedServer) -> OpenRequest:
    """A request over an idle connection, of which the server has everything but the last byte."""
    ask(connections)
    request = open_request(connections, "POST", "/pods", BODY, {"Accept": "application/json"})
    assert request is not None
    wait_for(lambda: len(server.requests) == 2, "the server has the first bytes")
    return request


@pytest.mark.parametrize("server_says", [whole_requests, going_on])
def test_open_request_is_whole_with_its_last_byte_only(server_says: Reply) -> None:
    with serving(server_says) as (connections, server):
        request = opened(connections, server)
        assert request._link.sock.gettimeout() == 0, "it was not waited for room in the send buffer"
        if server_says is going_on:
            wait_for(lambda: readable(request._link.sock), "its word has come")
        assert server.requests[1].endswith(b"Content-Length: 15\r\n\r\n" + BODY[:-1])
        assert request.complete()
        answer = request.answer(SECONDS)
        assert answer is not None
        assert (answer.status, answer.data) == (200, b"ok")
        assert server.requests[2:] == [BODY[-1:]]
        ask(connections)
        assert server.connections == 1, "it is kept, as after any request"


def test_nothing_is_opened_without_an_idle_connection_or_with_a_large_body() -> None:
    """A new connection, and a body for which the send buffer may have no room, would be waited for."""
    with serving(always(OK)) as (connections, server):
        assert open_request(connections, "POST", "/pods", BODY, {}) is None
        assert server.connections == 0
        ask(connections)
        assert open_request(connections, "POST", "/pods", b"x" * (MOST_OPEN + 1), {}) is None
        assert len(server.requests) == 1
        assert ask(connections).data == b"ok"
        assert server.connections == 1, "the idle one is still there"


def test_dropped_request_ends_in_the_middle() -> None:
    with serving(whole_requests) as (connections, server):
        opened(connections, server).drop()
        assert server.closed.acquire(timeout=SECONDS)
        assert len(server.requests) == 2


@pytest.mark.parametrize("case", ["too old", "given up", "closed by the server"])
def test_open_request_that_cannot_be_trusted_any_more_is_not_completed(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(number: int, _part: bytes) -> tuple[bytes, bool]:
        return (OK, True) if number == 1 else (b"", case != "closed by the server")

    with serving(reply) as (connections, server):
        request = opened(connections, server)
        if case == "too old":
            monkeypatch.setattr("ottoscaler.kube.open_request.OPEN_SECONDS", -1.0)
        elif case == "given up":
            connections.give_up(request._link, Loss.ONE)
        if case == "closed by the server":
            assert server.closed.acquire(timeout=SECONDS)
            wait_for(lambda: readable(request._link.sock), "the end has come")
        assert not request.complete()
        assert case == "closed by the server" or server.closed.acquire(timeout=SECONDS)
        assert len(server.requests) == 2


def test_nothing_more_is_opened_to_a_proxy_that_does_not_know_expect() -> None:
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

    def reply(number: int, part: bytes) -> tuple[bytes, bool]:
        return (OK if number == 1 else refusal if b"Expect:" in part else b""), True

    with serving(reply) as (connections, server):
        request = opened(connections, server)
        assert request.complete()
        assert request.answer(SECONDS) is None
        assert open_request(connections, "POST", "/pods", BODY, {}) is None


@pytest.mark.parametrize("keeps", [True, False])
def test_refusal_that_came_before_the_last_byte_is_the_answer(keeps: bool) -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"

    def reply(number: int, _part: bytes) -> tuple[bytes, bool]:
        return (OK, True) if number == 1 else (refusal, keeps)

    with serving(reply) as (connections, server):
        request = opened(connections, server)
        peek = partial(request._link.sock.recv, 4096, socket.MSG_PEEK)
        wait_for(lambda: peek() == refusal, "the refusal has come")
        assert request.complete()
        answer = request.answer(SECONDS)
        assert answer is not None
        assert (answer.status, answer.data) == (401, b"no")
        assert len(server.requests) == 2, "the last byte is not sent any more"
        ask(connections)
        assert server.connections == 2, "what follows on such a connection is not certain"


def test_no_answer_to_a_whole_request_raises() -> None:
    def reply(number: int, _part: bytes) -> tuple[bytes, bool]:
        return (OK, True) if number == 1 else (b"", number < 3)

    with serving(reply) as (connections, server):
        request = opened(connections, server)
        assert request.complete()
        with pytest.raises(OSError, match="before the answer's end"):
            request.answer(SECONDS)
