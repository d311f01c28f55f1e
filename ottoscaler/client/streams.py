"""Reads the results and the dead letters together, with no commands but XRANGE and XREAD."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ottoscaler.client.entries import DeadLetter, Result, result_of
from ottoscaler.ledger.records import Entry, entries, order
from ottoscaler.ledger.redis_client import RedisClient

ENTRIES_A_READ = 500  # of one stream at a time; a dead letter may hold OTTO_MAX_EVENT_BYTES
BLOCK_MS = 1000  # how long one read may wait; less than redis_client.ANSWER_SECONDS
CLOCK_STEP_MS = 600_000  # how far Redis's clock may have been set back since an event was sent


class Streams:
    """A position in both streams. For one thread; every method raises RedisError.

    Reading begins with the first entry after the id ``behind``.
    """

    def __init__(self, redis: RedisClient, behind: str = "0-0") -> None:
        self._redis = redis
        self._behind = {redis.results: behind, redis.dead: behind}

    def past(self) -> Iterator[Result]:
        """The results that are there now, oldest first."""
        for name, entry in heapq.merge(*map(self._pages, self._behind), key=lambda pair: order(pair[1].id)):
            self._behind[name] = entry.id
            if (result := self._read(name, entry)) is not None:
                yield result

    def next(self, block_ms: int) -> list[Result]:
        """The next results, at most ``ENTRIES_A_READ`` of each stream; empty if none came in ``block_ms``."""
        words = ("XREAD", "COUNT", ENTRIES_A_READ, "BLOCK", block_ms, "STREAMS")
        found = []
        for raw_name, raw in self._redis.command(*words, *self._behind, *self._behind.values()) or ():
            name = raw_name.decode()
            for entry in entries(raw):
                self._behind[name] = entry.id
                if (result := self._read(name, entry)) is not None:
                    found.append(result)
        return found

    def _pages(self, name: str) -> Iterator[tuple[str, Entry]]:
        behind = self._behind[name]
        while True:
            page = entries(self._redis.command("XRANGE", name, f"({behind}", "+", "COUNT", ENTRIES_A_READ))
            yield from ((name, entry) for entry in page)
            # A page that is not full ends at the newest entry. What comes later is for `next`.
            if len(page) < ENTRIES_A_READ:
                return
            behind = page[-1].id

    def _read(self, name: str, entry: Entry) -> Result | None:
        return DeadLetter.of(entry) if name == self._redis.dead else result_of(entry)


def before(event_id: str, now_ms: int) -> str:
    """An id below those of all results of the event. Producers may choose event ids that are not times."""
    written = int(event_id.partition("-")[0])
    return f"{max(0, written - CLOCK_STEP_MS)}-0" if written <= now_ms + CLOCK_STEP_MS else "0-0"
