"""The newest failed workers and dead letters, each read once and remembered."""

from __future__ import annotations

from itertools import islice

from ottoscaler.client.entries import WorkerResult, result_of
from ottoscaler.ledger.records import Entry, entries
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject
from ottoscaler.status.dead_letters import DeadLetters
from ottoscaler.status.events import event_fields
from ottoscaler.status.streams import Finder, cut_entries, equals
from ottoscaler.status.untold import Veil, letter_told

MOST_FAILURES = 20  # kinds of failures that are shown
MOST_LOOKED_AT = 200  # new failures at one look. When there are many, they are of few kinds
MOST_LETTERS = 20
FIRST_LOOKS = 4  # how many pages of results are read, from the newest back, when the first viewer comes
FAILED = (equals("kind", "worker"), equals("status", "failed"))
LONGEST_MESSAGE = 500  # characters; the event's own page has all of it


def told_failure(result: WorkerResult) -> JsonObject:
    """A failed worker in the form that docs/cli.md describes."""
    names = ("event_id", "task_id", "index", "attempt", "pod", "node", "reason", "exit_code", "message")
    return {name: getattr(result, name) for name in (*names, "finished_at")}


class Failures:
    """The newest failed workers. One thread; ``read`` raises RedisError."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._finder = Finder(redis)
        self._seen = "0-0"  # the newest result that was looked at
        self._kinds: dict[tuple[str, ...], JsonObject] = {}  # the newest last

    def read(self) -> list[JsonObject]:
        """The newest failures, the newest first. Workers of one event that failed alike are one row with
        their ``count``. A row disappears only when newer ones take its place."""
        newest = entries(
            self._redis.command_or([], "XREVRANGE", self._redis.results, "+", f"({self._seen}", "COUNT", 1)
        )
        if newest:
            found = self._finder.newest("results", FAILED, f"({self._seen}", FIRST_LOOKS)
            for entry in reversed(list(islice(found, MOST_LOOKED_AT))):
                self._note(entry)
            self._seen = newest[0].id
        return list(reversed(self._kinds.values()))

    def _note(self, entry: Entry) -> None:
        result = result_of(entry)
        assert isinstance(result, WorkerResult)
        kind = (result.event_id, result.reason, str(result.exit_code), result.message)
        before = self._kinds.pop(kind, None)
        self._kinds[kind] = self._told(result) | {"count": before["count"] + 1 if before else 1}
        if len(self._kinds) > MOST_FAILURES:
            del self._kinds[next(iter(self._kinds))]

    def _told(self, result: WorkerResult) -> JsonObject:
        veil = Veil(event_fields(self._redis, result.event_id))
        return told_failure(result) | {"message": veil.text(result.message)[-LONGEST_MESSAGE:]}


class Letters:
    """The newest dead letters. One thread; ``read`` raises RedisError."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._box = DeadLetters(redis)
        self._known: tuple[int, str] = (-1, "")
        self._told: JsonObject = {}

    def read(self) -> JsonObject:
        """``total``, and the ``newest`` dead letters without the values that are never shown."""
        newest = cut_entries(self._redis, "dead", "+", "-", 1, down=True)
        known = (self._box.length(), newest[0].id if newest else "")
        if known != self._known:
            letters = [letter_told(each.document()) for each in self._box.newest_cut(MOST_LETTERS)]
            names = ("id", "event_id", "task_id", "at", "error")
            newest_told = [{name: each[name] for name in names} for each in letters]
            self._told = {"total": known[0], "newest": newest_told}
            self._known = known
        return self._told
