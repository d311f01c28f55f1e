"""The API server's listening socket, and the connections that are open on it."""

from __future__ import annotations

import asyncio

from ottoscaler.local.apiserver.connection import Answerer, Connection, Recorder
from ottoscaler.local.apiserver.fault_plan import FaultPlan
from ottoscaler.local.ports import free_port


class Server:
    """The listening socket and its connections. Event loop thread only."""

    def __init__(
        self, answer: Answerer, record: Recorder, faults: FaultPlan, host: str = "127.0.0.1"
    ) -> None:
        self._answer, self._record, self._faults, self._host = answer, record, faults, host
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self.port = 0

    @property
    def listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._server is not None

    async def listen(self, port: int = 0) -> None:
        """Accept connections on ``port``. 0 means a free one, which is kept from then on. Raises OSError if
        the port is in use."""

        def connection() -> Connection:
            return Connection(self._answer, self._record, self._faults, self._connections)

        chosen = port or self.port or free_port()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connection, self._host, chosen, backlog=1024)
        self.port = chosen

    def refuse(self) -> None:
        """Stop accepting and cut every connection, as if the server's process had ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Cut every open connection."""
        for connection in tuple(self._connections):
            connection.abort()
