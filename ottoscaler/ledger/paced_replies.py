"""Gives up a reply that comes too slowly. A socket's timeout bounds the wait for the next bytes only, so a
proxy that passes on one byte a second would hold a command for as long as it likes.
"""

from __future__ import annotations

import time
from typing import Any

from redis._parsers import _RESP2Parser
from redis._parsers.socket import SocketBuffer
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import SENTINEL

LEAST_BYTES = 65_536  # of an unfinished reply in the time of one timeout; a large one may take many of these

_Buffer: Any = SocketBuffer
_Resp2: Any = _RESP2Parser


class _PacedBuffer(_Buffer):  # type: ignore[misc]
    """redis-py's buffer of what was received. A reply that comes at once costs no look at the clock."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._reads = 0  # of the present reply
        self._watched = False  # its pace
        self._since = 0.0  # monotonic: when the present time of LEAST_BYTES began
        self._size = 0  # and how much was there by then

    def purge(self) -> None:
        """Forget what was read. The next bytes belong to another reply, or to a large one's next part."""
        super().purge()
        self._reads, self._watched = 0, False

    def _read_from_socket(
        self, length: int | None = None, timeout: Any = SENTINEL, raise_on_timeout: bool = True
    ) -> bool:
        self._reads += 1
        if self._reads == 1 and length is None:  # most replies come with the first read
            return bool(super()._read_from_socket(None, timeout, raise_on_timeout))
        missing = length or 1
        while True:
            self._watch_pace(self.socket_timeout if timeout is SENTINEL else timeout)
            size = self._held()
            if not super()._read_from_socket(None, timeout, raise_on_timeout):
                return False
            missing -= self._held() - size
            if missing <= 0:
                return True

    def _watch_pace(self, seconds: float) -> None:
        now, size = time.monotonic(), self._held()
        if not self._watched or size - self._size >= LEAST_BYTES:
            self._watched, self._since, self._size = True, now, size
        elif now - self._since > seconds:
            raise RedisTimeoutError(f"{size} bytes of a reply have come, and no more for too long")

    def _held(self) -> int:
        return len(self._buffer.getbuffer())


class PacedParser(_Resp2):  # type: ignore[misc]
    """redis-py's parser of RESP2 with that buffer.

    A reply comes within three times the socket's timeout, or brings LEAST_BYTES in each."""

    def on_connect(self, connection: Any) -> None:
        super().on_connect(connection)
        self._buffer = _PacedBuffer(self._sock, self.socket_read_size, connection.socket_timeout)
