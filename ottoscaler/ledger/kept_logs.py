"""The last bytes of workers' logs, which Redis keeps after the Pods are gone.

The service writes them; any program may read them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ottoscaler.errors import RedisError
from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import WorkerId

LOGS_A_ROUND_TRIP = 16
_LOG = re.compile(rb"([0-9]{1,9}):([0-9]{1,9})")  # index and attempt
MOST_TEXT = 8 << 20  # bytes of one log that are read back; OTTO_LOG_BYTES is at most half of this


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The end of one attempt's log as the container wrote it, in any encoding. It may begin inside a line."""

    index: int
    attempt: int
    text: bytes


def kept_logs(redis: RedisClient, event_id: str, index: int | None = None) -> Iterator[KeptLog]:
    """Yield the kept logs of an event's workers, or of one worker, by index and attempt. Raises RedisError.

    Needs the right to SMEMBERS and GET on ``<stream>:<group>:log:*``. Logs that are removed meanwhile are
    left out.
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
    """The index and attempt of each kept log of an event, sorted. Raises RedisError."""
    raw = redis.command_or([], "SMEMBERS", f"{redis.prefix}log:{event_id}")
    named = (_LOG.fullmatch(each) for each in raw)  # else a stranger wrote it
    return sorted((int(found[1]), int(found[2])) for found in named if found)


def _text(raw: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(raw, MOST_TEXT)
    except zlib.error as error:
        raise RedisError(f"a kept log cannot be read: {error}") from error


class LogKeeping:
    """Keeps logs and removes them. Any thread. Each call runs one script."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def keep(self, worker: WorkerId, epoch: int, text: bytes, retention: float, most: int) -> bool:
        """Keep a log for ``retention`` seconds. All logs together may have ``most`` bytes.

        Returns False if this log alone has more. An earlier log of the same attempt is replaced. Raises
        Fenced if another replica owns the event.
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
        """Remove some of the logs whose time is over or that exceed the bound. Returns how many were
        removed."""
        return int(self._scripts.run("keep_log", "", "", "", "", "", "", int(retention * 1000), most)[2])
