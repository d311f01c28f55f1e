"""The local API server's end of one connection."""

from __future__ import annotations

import asyncio

from ottoscaler.local.apiserver.connection import Connection
from ottoscaler.local.apiserver.fault_plan import FaultPlan
from ottoscaler.local.apiserver.messages import text_response


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.lost = False
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return self.lost

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))


def test_nothing_is_written_to_a_client_that_was_killed() -> None:
    """asyncio tells of a lost connection in its next turn. Until then it logged each write as an error,
    and the terminal of the local cluster filled with "socket.send() raised exception."."""
    transport = _Transport()
    connection = Connection(lambda _: text_response("ok"), lambda *_: None, FaultPlan(), set())
    connection.connection_made(transport)
    connection.data_received(b"GET /version HTTP/1.1\r\n\r\n")
    assert len(transport.written) == 1
    transport.lost = True
    connection.data_received(b"GET /version HTTP/1.1\r\n\r\n" * 9)
    assert len(transport.written) == 1
