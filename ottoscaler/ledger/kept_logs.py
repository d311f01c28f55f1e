"""The last bytes of workers' logs, kept in Redis after their Pods: the service writes, anybody reads."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ottoscaler.errors import RedisError
from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import WorkerId

LOGS_A_ROUND_TRIP = 16
MOST_TEXT = 8 << 20  # bytes of one log, read back: OTTO_LOG_BYTES is at most half of it


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The end of one attempt's log, as the container wrote it: bytes of any encoding, maybe cut in a line."""

    index: int
    attempt: int
    text: bytes


def kept_logs(redis: RedisClient, event_id: str, index: int | None = None) -> Iterator[KeptLog]:
    """What is kept of an event's workers, or of one, by index and attempt. Raises RedisError.

    Needs the right to SMEMBERS and GET on ``<stream>:<group>:log:*``. What goes meanwhile is left out.
    """
    key = f"{redis.prefix}log:{event_id}"
    names = [name for name in names_of_kept_logs(redis, event_id) if index in (None, name[0])]
    for at in range(0, len(names), LOGS_A_ROUND_TRIP):
        part = names[at : at + LOGS_A_ROUND_TRIP]
        answers = redis.pipeline([("GET", f"{key}:{worker}:{attempt}") for worker, attempt in part])
        for (worker, attempt), raw in zip(part, answers, strict=True):
            if raw is not None:
                yield KeptLog(worker, attempt, _text(raw))


def names_of_kept_logs(redis: RedisClient, event_id: str) -> list[tuple[int, int]]:
    """Index and attempt of each log that is kept of an event, in their order. Raises RedisError."""
    raw = redis.command("SMEMBERS", f"{redis.prefix}log:{event_id}")
    return sorted((int(index), int(attempt)) for index, attempt in (each.split(b":") for each in raw))


def _text(raw: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(raw, MOST_TEXT)
    except zlib.error as error:
        raise RedisError(f"a kept log cannot be read: {error}") from error


class LogKeeping:
    """Any thread; one script a call."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def keep(self, worker: WorkerId, epoch: int, text: bytes, retention: float, most: int) -> bool:
        """Keep a log for ``retention`` seconds, within ``most`` bytes of all. False where it alone is more.

        Kept again, it is replaced. Raises Fenced where the event is another replica's.
        """
        body = zlib.compress(text)
        answer = self._scripts.fenced(
            "keep_log",
            worker.event_id,
            self._scripts.owner,
            epoch,
            worker.index,
            worker.attempt,
            body,
            int(retention * 1000),
            most,
        )
        return bool(answer[0] == b"ok")

    def let_go(self, retention: float, most: int) -> int:
        """Let go of what is out of its time or past the bound, some at a time. Returns how many logs went."""
        return int(self._scripts.run("keep_log", "", "", "", "", "", "", int(retention * 1000), most)[2])
