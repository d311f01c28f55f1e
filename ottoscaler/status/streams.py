"""Finds entries in the results, the dead letters and the events, without carrying all of them here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ottoscaler.ledger.records import Entry, entries
from ottoscaler.ledger.redis_client import RedisClient

ENTRIES_A_LOOK = 500  # in one script, which holds Redis for about a millisecond
MOST_LOOKS = 40  # so at most 20,000 entries


@dataclass(frozen=True, slots=True)
class Is:
    """A field has this value."""

    field: str
    value: str

    def words(self) -> tuple[str, str, str]:
        return self.field, "is", self.value


@dataclass(frozen=True, slots=True)
class Has:
    """A field's value contains this text; case does not matter."""

    field: str
    value: str

    def words(self) -> tuple[str, str, str]:
        return self.field, "has", self.value.lower()


Test = Is | Has


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks through the streams. Any thread; every method raises RedisError."""

    redis: RedisClient

    def newest(
        self, which: str, tests: Sequence[Test], begin: str = "-", looks: int = MOST_LOOKS
    ) -> Iterator[Entry]:
        """The newest first, down to ``begin``."""
        return self._find(which, "+", begin, "down", tests, looks)

    def oldest(self, which: str, tests: Sequence[Test], begin: str, end: str = "+") -> Iterator[Entry]:
        """The oldest first, from ``begin`` to ``end``."""
        return self._find(which, begin, end, "up", tests, MOST_LOOKS)

    def _find(
        self, which: str, begin: str, end: str, way: str, tests: Sequence[Test], looks: int
    ) -> Iterator[Entry]:
        words = [word for test in tests for word in test.words()]
        for _ in range(looks):
            _, last, count, found = self.redis.script(
                "find", "", which, begin, end, way, ENTRIES_A_LOOK, *words
            )
            yield from entries(found)
            if int(count) < ENTRIES_A_LOOK:
                return
            begin = f"({last.decode()}"
