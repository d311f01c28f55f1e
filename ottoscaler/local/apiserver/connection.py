"""HTTP/1.1 on one connection, in an asyncio loop: only keep-alive, and fixed-length and chunked bodies.

Each request is answered inside ``data_received``, so that a create costs no task switch and a watch
event leaves in the same turn as the write that caused it.
"""

from __future__ import annotations

import asyncio
import http
import math
from collections.abc import Callable
from email.utils import formatdate
from functools import partial

from ottoscaler.local.apiserver.fault_plan import REQUEST_SECONDS, FaultPlan
from ottoscaler.local.apiserver.messages import Answer, Request, Response, StreamedResponse, error_response
from ottoscaler.local.apiserver.statuses import ApiError

MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 3 * 1024 * 1024  # kube-apiserver's own limit on a request body

_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}

Answerer = Callable[[Request], Answer]
Recorder = Callable[[Request, int, Response | None], None]


class Connection(asyncio.Protocol):
    """One client's connection: requests one after the other, or one stream at a time."""

    def __init__(
        self, answer: Answerer, record: Recorder, faults: FaultPlan, connections: set[Connection]
    ) -> None:
        self._answer, self._record, self._faults = answer, record, faults
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._busy = False  # whether a delayed answer or a stream is not finished yet
        self._stop_stream: Callable[[], None] | None = None
        self._close_after = False
        self._goes_on = False  # the client was told that its request's body is waited for

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        if self._stop_stream is not None:
            self._stop_stream()
            self._stop_stream = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._serve()

    # --- requests

    def _serve(self) -> None:
        while self._transport is not None and not self._busy:
            try:
                request = self._next_request()
            except ApiError as error:
                self._close_after = True
                self._send(error_response(error))
                return
            if request is None:
                return
            self._begin(request)

    def _next_request(self) -> Request | None:
        """Take one whole request from the buffer. Returns None if it needs more bytes."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise ApiError(431, "", "request header too large")
            return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            raise ApiError(400, "BadRequest", "malformed request line")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if "transfer-encoding" in headers:
            raise ApiError(411, "", "a request body needs a Content-Length here")
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise ApiError(400, "BadRequest", "malformed Content-Length")
        size = int(length)
        if size > MAX_BODY_BYTES:
            message = f"Request entity too large: limit is {MAX_BODY_BYTES}"
            raise ApiError(413, "RequestEntityTooLarge", message, {})
        total = end + 4 + size
        if len(self._buffer) < total:
            if headers.get("expect", "").lower() == "100-continue" and not self._goes_on:
                self._goes_on = True
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        self._goes_on = False
        body = bytes(self._buffer[end + 4 : total])
        del self._buffer[:total]
        self._close_after = headers.get("connection", "").lower() == "close"
        return Request(words[0], words[1], headers, body)

    def _begin(self, request: Request) -> None:
        if self._faults.hanging(request):
            self._busy = True  # for ever: the client must give up
            return
        delay = self._faults.delay(request)
        if delay is not None:
            self._busy = True
            loop = asyncio.get_running_loop()
            if delay.late and delay.seconds == math.inf:
                self._faults.kept.append(partial(self._delayed, request, True))
            elif delay.seconds > REQUEST_SECONDS and not delay.late:
                loop.call_later(REQUEST_SECONDS, self._resume, request, _timed_out())
            else:
                loop.call_later(delay.seconds, self._delayed, request, delay.late)
            return
        self._reach_etcd(request)

    def _delayed(self, request: Request, late: bool) -> None:
        """Answer the request after its delay. If its client has gone, only a ``late`` one is carried out."""
        self._busy = False
        if self._transport is not None or late:
            self._reach_etcd(request)
            self._serve()

    def _reach_etcd(self, request: Request) -> None:
        if self._faults.held(request, lambda refusal: self._resume(request, refusal)):
            self._busy = True
            return
        self._reply(request)

    def _resume(self, request: Request, refusal: Response | None) -> None:
        self._busy = False
        if self._transport is not None:
            self._reply(request, refusal)
            self._serve()

    def _reply(self, request: Request, refusal: Response | None = None) -> None:
        answer: Answer | None = refusal or self._faults.refusal(request)
        if answer is None:
            answer = self._answer(request)
        if isinstance(answer, StreamedResponse):
            self._record(request, 200, None)
            self._begin_stream(answer)
            return
        self._record(request, answer.status, answer)
        if self._faults.loses_reply(request, answer):
            self.abort()
            return
        self._send(answer)

    def _send(self, response: Response) -> None:
        more = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        close = "Connection: close\r\n" if self._close_after else ""
        head = (
            f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, 'Unknown')}\r\n"
            f"Content-Type: {response.content_type}\r\n{more}{close}"
            f"Date: {formatdate(usegmt=True)}\r\nContent-Length: {len(response.body)}\r\n\r\n"
        )
        self._write(head.encode("latin-1") + response.body)
        if self._close_after and self._transport is not None:
            self._transport.close()

    # --- streams: this object is their Sink

    def _begin_stream(self, stream: StreamedResponse) -> None:
        self._busy = True
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {stream.content_type}\r\n"
            f"Date: {formatdate(usegmt=True)}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._write(head.encode("latin-1"))
        stop = stream.start(self)
        if self._busy:
            self._stop_stream = stop
        else:
            stop()

    def write(self, data: bytes) -> None:
        if data:
            self._write(b"%x\r\n%b\r\n" % (len(data), data))

    def finish(self) -> None:
        self._write(b"0\r\n\r\n")
        self._busy = False
        if self._stop_stream is not None:
            self._stop_stream()
            self._stop_stream = None
        if self._close_after and self._transport is not None:
            self._transport.close()
        else:
            asyncio.get_running_loop().call_soon(self._serve)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def backlog(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _timed_out() -> Response:
    words = "Timeout: request did not complete within requested timeout - context deadline exceeded"
    return error_response(ApiError(504, "Timeout", words, {}))
