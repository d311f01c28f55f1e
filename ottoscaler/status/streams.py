"""Finds entries in the results, the dead letters and the events, without reading all of them into this
process.

A producer may write an entry of any size, and the replica that serves the status page also runs workers. So
no entry is ever held whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ottoscaler.ledger.records import Entry, entries
from ottoscaler.ledger.redis_client import RedisClient

ENTRIES_A_LOOK = 500  # in one script, which holds Redis for some milliseconds; fewer where they are large
MOST_LOOKS = 40  # so at most 20,000 entries
MOST_BYTES = 65_536  # of one entry; past them, only the first 200 of each name and value
MOST_FIELDS = 1000  # of one entry


Test = tuple[str, str, str]  # a field's name, "is" or "has", and a value, as find.lua takes them


def equals(field: str, value: str) -> Test:
    """The field has this value."""
    return field, "is", value


def contains(field: str, text: str) -> Test:
    """The field's value contains this text; case does not matter."""
    return field, "has", text.lower()


def cut_entries(
    redis: RedisClient, which: str, begin: str, end: str, count: int, *, down: bool = False
) -> list[Entry]:
    """At most ``count`` entries of the ``results``, ``dead`` or ``events``, each cut to a bounded size.

    A cut entry has ``cut_bytes``. ``down``: begin with the newest. Raises RedisError."""
    way = "down" if down else "up"
    _, found = redis.script("cut_entries", "", which, begin, end, way, count, MOST_BYTES, MOST_FIELDS)
    return [
        replace(entry, cut_bytes=size)
        for entry, (*_, size) in zip(entries([(i, flat) for i, flat, _ in found]), found, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks through the streams. Any thread; every method raises RedisError."""

    redis: RedisClient

    def newest(
        self, which: str, tests: Sequence[Test], begin: str = "-", looks: int = MOST_LOOKS
    ) -> Iterator[Entry]:
        """Yield the entries that pass all tests, the newest first, down to ``begin``."""
        for found, _ in self._pages(which, "+", begin, "down", tests, looks):
            yield from found

    def passed(self, which: str, tests: Sequence[Test], begin: str, end: str) -> tuple[list[Entry], str]:
        """The entries from ``begin`` to ``end`` that pass all tests, the oldest first.

        Also returns the last id that was looked at, '' if there was none."""
        passed: list[Entry] = []
        behind = ""
        for found, last in self._pages(which, begin, end, "up", tests, MOST_LOOKS):
            passed += found
            behind = last or behind
        return passed, behind

    def _pages(
        self, which: str, begin: str, end: str, way: str, tests: Sequence[Test], looks: int
    ) -> Iterator[tuple[list[Entry], str]]:
        words = [word for test in tests for word in test]
        for _ in range(looks):
            _, raw, more, found = self.redis.script(
                "find", "", which, begin, end, way, ENTRIES_A_LOOK, *words
            )
            last = raw.decode()
            yield entries(found), last
            if more != b"1":
                return
            begin = f"({last}"
