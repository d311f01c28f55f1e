"""Runs a replica's scripts under its installation's id and as an owner. Refusals become errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ottoscaler.errors import Fenced, RedisError, Wiped
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.pipelining import Words
from ottoscaler.ledger.records import text
from ottoscaler.ledger.redis_client import RedisClient


class Scripts:
    """Runs the scripts of one replica. Any thread.

    ``lose`` is called with an event's id when Redis has lost that event's ledger. It returns True if the
    ledger will be written anew, so that the call may be tried again. ``tell_unbegun`` is called with what a
    script has ended without a Pod: see :mod:`ottoscaler.ledger.unbegun`.
    """

    def __init__(
        self,
        redis: RedisClient,
        identity: ReplicaIdentity,
        lose: Callable[[str], bool],
        tell_unbegun: Callable[[list[Any]], None],
    ) -> None:
        self.redis = redis
        self.identity = identity
        self._lose = lose
        self.tell_unbegun = tell_unbegun

    @property
    def owner(self) -> str:
        """This replica's present name as an owner of events."""
        return self.identity.owner

    @property
    def installation(self) -> str:
        """The installation's id."""
        return self.identity.installation

    def run(self, script: str, *args: str | bytes | int) -> list[Any]:
        """The script's answer. Raises Wiped if Redis no longer knows the installation."""
        answer = self.redis.script(script, self.identity.installation, *args)
        if answer[0] == b"wiped":
            raise Wiped("Redis no longer knows this installation")
        return answer  # type: ignore[no-any-return]

    def run_all(
        self, script: str, calls: Sequence[Words], meanwhile: Callable[[], None] | None
    ) -> list[list[Any] | RedisError]:
        """The same as ``run`` once for each of these arguments, in one round trip.

        Where Redis refuses one call, its answer is the RedisError."""
        answers = self.redis.scripts(script, self.identity.installation, calls, meanwhile)
        if any(not isinstance(answer, RedisError) and answer[0] == b"wiped" for answer in answers):
            raise Wiped("Redis no longer knows this installation")
        return answers

    def lose(self, *event_ids: str) -> None:
        """Note that Redis has no ledgers of these events. Raises Wiped if one will be written anew."""
        lost = [event_id for event_id in event_ids if self._lose(event_id)]
        if lost:
            raise Wiped(f"Redis has lost the ledger of event {lost[0]}; it is rewritten")

    def fenced(self, script: str, *args: str | bytes | int) -> list[Any]:
        """The answer of a script that only an event's owner may run. Its first argument is the event's id.

        Raises:
            Fenced: this replica does not own the event any more.
            Wiped: Redis has lost the event's ledger, and it is being written anew.
        """
        answer = self.run(script, *args)
        if answer[0] == b"missing":
            self.lose(text(args[0]))
        if answer[0] in (b"fenced", b"missing"):
            raise Fenced(f"event {text(args[0])} is no longer owned by this replica")
        return answer
