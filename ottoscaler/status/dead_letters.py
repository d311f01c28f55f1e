"""The dead-letter stream, for the tools and the status page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ottoscaler.client.entries import DeadLetter
from ottoscaler.ledger.identity import kept_installation
from ottoscaler.ledger.records import Entry, entries, text
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.status.streams import cut_entries
from ottoscaler.status.untold import OMITTED

PAGE = 500  # dead letters in one answer of Redis; each may hold OTTO_MAX_EVENT_BYTES


def letter_of(entry: Entry) -> DeadLetter:
    """Read an entry that may have been cut. If it was, its last field says how many bytes it had."""
    letter = DeadLetter.of(entry)
    if not entry.cut_bytes:
        return letter
    told = f"{entry.cut_bytes} bytes in all; `ottoscaler dead list --json` has them"
    return replace(letter, fields=(*letter.fields, (OMITTED, told)))


class DeadLetters:
    """The dead-letter stream. Every method raises RedisError."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._name = redis.dead

    def newest(self, count: int) -> list[DeadLetter]:
        """The newest dead letters, the newest first, as many as asked for."""
        found: list[DeadLetter] = []
        behind = "+"
        while len(found) < count:
            many = min(PAGE, count - len(found))
            page = entries(self._redis.command("XREVRANGE", self._name, behind, "-", "COUNT", many))
            found += [DeadLetter.of(entry) for entry in page]
            if not page:
                break
            behind = f"({page[-1].id}"
        return found

    def newest_cut(self, count: int) -> list[DeadLetter]:
        """Like :meth:`newest`, but large dead letters are cut, and say so. For a process that runs
        workers."""
        return [letter_of(entry) for entry in cut_entries(self._redis, "dead", "+", "-", count, down=True)]

    def length(self) -> int:
        return int(self._redis.command_or(0, "XLEN", self._name))

    def everything(self) -> Iterator[str]:
        """Yield the ids of all present dead letters, the oldest first. Those that come meanwhile are left
        out."""
        for last in self.newest(1):
            for page in self._pages(last.id):
                yield from (entry.id for entry in page)

    def named(self, words: Sequence[str]) -> dict[str, list[str]]:
        """For each word, the dead letters that it names by their own id or by their event's id."""
        found: dict[str, list[str]] = {word: [] for word in words}
        for page in self._pages("+"):
            for letter in map(DeadLetter.of, page):
                for word in {letter.id, letter.event_id} & found.keys():
                    found[word].append(letter.id)
        return found

    def _pages(self, end: str) -> Iterator[list[Entry]]:
        """Yield the dead letters up to this id, the oldest first."""
        behind = "-"
        while page := entries(self._redis.command("XRANGE", self._name, behind, end, "COUNT", PAGE)):
            yield page
            behind = f"({page[-1].id}"

    def replay(self, letter_id: str) -> tuple[str, str, str]:
        """Put a dead letter's event back on the stream.

        Returns (``ok``, the event's old id, its new id), or a word that says why it was not done."""
        answer = self._redis.script("replay", kept_installation(self._redis), letter_id)
        words = [*map(text, answer), "", ""]
        return words[0], words[1], words[2]

    def drop(self, letter_ids: Sequence[str]) -> int:
        """Remove these dead letters. Returns how many there were."""
        return int(self._redis.command("XDEL", self._name, *letter_ids))
