"""The sentinels thread: it follows a failover that the old master does not tell of.

After SENTINEL FAILOVER, or cut off from the Sentinels alone, the old master goes on as a master for 10 s or
more. It answers every command, and loses all of it when it becomes a replica. Only the Sentinels know
earlier.
"""

from __future__ import annotations

from collections.abc import Sequence

from ottoscaler.errors import RedisError
from ottoscaler.ledger.redis_connections import SentinelClient
from ottoscaler.ledger.redis_endpoint import Endpoint
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.threads import Control, Loop

log = get_logger(__name__)

ASK_SECONDS = 1.0  # a failover is to be followed within 5 s, of which an open read may take 2


class SentinelWatch(Loop):
    """Asks one Sentinel every ASK_SECONDS who the master is. If it does not answer, the next one is asked."""

    def __init__(self, sentinels: Sequence[SentinelClient], endpoint: Endpoint, control: Control) -> None:
        super().__init__(control)
        self._sentinels = sentinels
        self._endpoint = endpoint
        self._at = 0

    def wait(self) -> None:
        self._stop.wait(ASK_SECONDS)

    def step(self, now: float) -> None:  # noqa: ARG002
        """Ask once."""
        try:
            address = self._sentinels[self._at].master()
        except RedisError as error:
            self._at = (self._at + 1) % len(self._sentinels)
            log.debug("sentinel_unasked", f"the next Sentinel is asked instead: {error}")
        else:
            self._endpoint.named(address)
