"""How a replica runs a script: under its installation's id, as an owner, with the refusals as errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ottoscaler.errors import Fenced, Wiped
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.redis_client import RedisClient


def text(value: Any) -> str:
    """What a script answered, as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class Scripts:
    """The scripts of one replica.

    ``lose`` is asked when Redis has lost an event's ledger: True if it will be written anew, so that the call
    may be tried again.
    """

    def __init__(self, stream: RedisClient, identity: ReplicaIdentity, lose: Callable[[str], bool]) -> None:
        self.stream = stream
        self.identity = identity
        self._lose = lose

    @property
    def owner(self) -> str:
        """Who this replica is now, as an owner of events."""
        return self.identity.owner

    @property
    def installation(self) -> str:
        """The installation's id."""
        return self.identity.installation

    def run(self, script: str, *args: str | bytes | int) -> list[Any]:
        """The script's answer. Raises Wiped where Redis no longer knows the installation."""
        answer = self.stream.script(script, self.identity.installation, *args)
        if answer[0] == b"wiped":
            raise Wiped("Redis no longer knows this installation")
        return answer  # type: ignore[no-any-return]

    def fenced(self, script: str, *args: str | bytes | int) -> list[Any]:
        """The answer of a script on one event (its first argument) that only its owner may run.

        Raises Fenced where the event is not this replica's any more, Wiped where its ledger was lost and is
        written anew.
        """
        answer = self.run(script, *args)
        if answer[0] == b"missing" and self._lose(text(args[0])):
            raise Wiped(f"Redis has lost the ledger of event {text(args[0])}; it is rewritten")
        if answer[0] in (b"fenced", b"missing"):
            raise Fenced(f"event {text(args[0])} is no longer owned by this replica")
        return answer
