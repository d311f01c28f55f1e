"""Follows one event in the results and the dead letters until it ends."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from ottoscaler.cli.terminal import age, safe, say
from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisError, RedisUnavailable
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Event, ScaleUp

BLOCK_MS = 1000  # of one read; less than stream.ANSWER_SECONDS
ENTRIES_A_READ = 500
AWAY_SECONDS = 1.0  # between two attempts while Redis is unavailable
BAR_WIDTH = 24
DRAW_SECONDS = 0.1  # between two redraws: a terminal over ssh takes no more


class Progress:
    """An event's progress: a bar on a terminal, and a line for each worker. One thread."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total  # 0: not known, as of a scale_down
        self._stream = stream
        self._bar = stream.isatty() and total > 0
        self._begun = time.monotonic()
        self._drawn_at = 0.0
        self.ended: dict[str, int] = {"succeeded": 0, "failed": 0, "cancelled": 0}

    def worker(self, fields: Mapping[str, str]) -> None:
        """A worker has ended."""
        status = fields.get("status", "")
        self.ended[status] = self.ended.get(status, 0) + 1
        code = f" exit {fields['exit_code']}" if fields.get("exit_code") else ""
        message = f": {safe(fields['message'])}" if fields.get("message") else ""
        reason = fields.get("reason", "")
        pod = f" {fields['pod']}" if fields.get("pod") else ""
        self.line(f"worker {fields.get('index')} {status} ({reason}{code}){pod}{message}")

    def line(self, text: str) -> None:
        """A line of its own, above the bar."""
        self.clear()
        print(text, file=self._stream, flush=True)
        self.draw(force=True)

    def draw(self, *, force: bool = False) -> None:
        """Redraw the bar, at most once every ``DRAW_SECONDS``."""
        now = time.monotonic()
        if not self._bar or (not force and now - self._drawn_at < DRAW_SECONDS):
            return
        self._drawn_at = now
        done = sum(self.ended.values())
        full = min(BAR_WIDTH, done * BAR_WIDTH // self._total)
        words = [f"{count} {status}" for status, count in self.ended.items() if count]
        text = f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {done}/{self._total} {age(now - self._begun)}"
        text = "  ".join([text, *words])[: shutil.get_terminal_size().columns - 1]
        print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)

    def clear(self) -> None:
        """Remove the bar."""
        if self._bar:
            print("\r\x1b[K", end="", file=self._stream, flush=True)


class Following:
    """Reads the results, beginning before the event is sent, so that no entry is missed."""

    def __init__(self, redis: RedisClient, settings: Settings, event: Event) -> None:
        self._redis = redis
        self._settings = settings
        self._behind = {settings.redis_results_stream: "0-0", settings.redis_dead_stream: "0-0"}
        self._progress = Progress(event.pod_count if isinstance(event, ScaleUp) else 0, sys.stderr)
        self._away = False

    def begin(self) -> None:
        """Note where both streams end now. Raises RedisError."""
        for name in self._behind:
            last = self._redis.command("XREVRANGE", name, "+", "-", "COUNT", 1)
            if last:
                self._behind[name] = last[0][0].decode()

    def follow(self, event_id: str, seconds: float) -> int:
        """Follow the event for at most ``seconds``: 0 if it succeeded, else 1."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self._progress.draw()
                code = self._step(event_id, max(1, int((deadline - time.monotonic()) * 1000)))
                if code is not None:
                    return code
        finally:
            self._progress.clear()
        say(f"event {event_id} has not ended within {seconds:g} s; it is still running")
        return 1

    def _step(self, event_id: str, left_ms: int) -> int | None:
        try:
            entries = self._read(min(BLOCK_MS, left_ms))
            # Its entries may be trimmed by now (OTTO_RESULTS_MAXLEN); the ledger is kept longer.
            ended = "" if entries else self._ended(event_id)
            if ended:
                entries = self._read(1)
        except RedisUnavailable as error:
            self._redis_is_away(error)
            time.sleep(min(AWAY_SECONDS, left_ms / 1000))
            return None
        except RedisError as error:
            say(str(error))
            return 1
        self._away = False
        for fields in entries:
            if fields.get("event_id") == event_id:
                code = self._entry(event_id, fields)
                if code is not None:
                    return code
        return self._conclude(event_id, ended, {}) if ended and not entries else None

    def _read(self, block_ms: int) -> list[dict[str, str]]:
        names, ids = list(self._behind), list(self._behind.values())
        answer = self._redis.command(
            "XREAD", "COUNT", ENTRIES_A_READ, "BLOCK", block_ms, "STREAMS", *names, *ids
        )
        found = []
        for name, entries in answer or ():
            for entry_id, flat in entries:
                text = [part.decode("utf-8", "replace") for part in flat]
                found.append(dict(zip(text[::2], text[1::2], strict=True)))
                self._behind[name.decode()] = entry_id.decode()
        return found

    def _ended(self, event_id: str) -> str:
        key = f"{self._redis.prefix}event:{event_id}"
        state, status = self._redis.command("HMGET", key, "state", "status")
        return status.decode() if state == b"done" and status else ""

    def _entry(self, event_id: str, fields: Mapping[str, str]) -> int | None:
        if fields.get("kind") == "worker":
            self._progress.worker(fields)
            return None
        if fields.get("kind") == "event":
            return self._conclude(event_id, fields.get("status", ""), fields)
        self._progress.clear()
        say(f"event {event_id} was dead-lettered: {safe(fields.get('error', ''), 2000)}")
        return 1

    def _conclude(self, event_id: str, status: str, fields: Mapping[str, str]) -> int:
        self._progress.clear()
        known = [name for name in ("succeeded", "failed", "cancelled") if fields.get(name)]
        counts = [f"{fields[name]} {name}" for name in known]
        took = f" in {age(int(fields['duration_ms']) / 1000)}" if fields.get("duration_ms") else ""
        word = "was dead-lettered" if status == "dead" else status
        told = f" ({', '.join(counts)})" if counts else ""
        print(f"event {event_id} {word}{took}{told}", file=sys.stderr, flush=True)
        return 0 if status == "succeeded" else 1

    def _redis_is_away(self, error: RedisError) -> None:
        if not self._away:
            self._away = True
            self._progress.line(f"Redis is unavailable, trying again: {error}")
