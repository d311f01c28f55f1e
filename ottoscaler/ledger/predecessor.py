"""Who is registered under this replica's name: a process that has ended, or one that still lives."""

from __future__ import annotations

from typing import Any

from ottoscaler.errors import LiveTwin
from ottoscaler.ledger.identity import has_ended
from ottoscaler.ledger.replicas import Registration
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)


class Predecessor:
    """What the tries to register have shown of it. The lease's thread calls this, with times of one clock.

    It has ended if its process provably has, or if its heartbeat stood still for a whole lease.
    """

    def __init__(self, consumer: str, process: dict[str, Any], lease_seconds: float) -> None:
        self.ended = ""  # the incarnation that has ended; '' if none is known to
        self.last_beat = ""  # the heartbeat at which it stood still, if only that proves it
        self._consumer = consumer
        self._process = process
        self._lease_seconds = lease_seconds
        self._seen: tuple[str, str] | None = None  # its incarnation and heartbeat
        self._since = 0.0  # when this heartbeat was first seen

    def has_ended(self, found: Registration, now: float) -> bool:
        """Whether the one that holds the name has ended, as ``ended`` and ``last_beat`` then say.

        Raises LiveTwin if its heartbeat moves."""
        if has_ended(found.info, self._process):
            self.ended, self.last_beat = found.incarnation, ""
            return True
        if self._seen != (found.incarnation, found.beat):
            if self._seen is not None and self._seen[0] == found.incarnation:
                raise LiveTwin(
                    f"another live process serves as consumer {self._consumer!r} of this group; "
                    "give each replica its own REDIS_CONSUMER"
                )
            self._seen, self._since = (found.incarnation, found.beat), now
            log.info(
                "waiting_for_lease", f"a predecessor as {self._consumer!r} may still be alive; observing it"
            )
        elif now - self._since > self._lease_seconds:
            self.ended, self.last_beat = found.incarnation, found.beat
            return True
        return False

    def lose_sight(self) -> None:
        """Redis gave no answer. Its heartbeats count anew from the next answer on."""
        self._seen = None
