"""Shows one event on its way to its end, on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from ottoscaler.cli.terminal import age, cut, lively, printable, safe, say
from ottoscaler.client import Client, DeadLettered, EventResult, WaitTimeout, WorkerResult

BAR_WIDTH = 24
DRAW_SECONDS = 0.1  # between two redraws: a terminal over ssh cannot show more
LONGEST_SENTENCE = 2000


class Progress:
    """An event's progress: a bar on a terminal, and a line for each worker. One thread."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total  # 0: not known, as for a scale_down
        self._stream = stream
        self._bar = lively(stream)
        self._begun = time.monotonic()
        self._drawn_at = 0.0
        self._problem = ""
        self.ended: dict[str, int] = {"succeeded": 0, "failed": 0, "cancelled": 0}

    def worker(self, result: WorkerResult) -> None:
        """Show that a worker has ended."""
        self.ended[result.status] = self.ended.get(result.status, 0) + 1
        pod = f" {result.pod}" if result.pod else ""
        self.line(f"worker {result.index} {result.status} ({why(result)}){pod}{message(result)}")

    def look(self, problem: str) -> None:
        """Show that the wait goes on. ``problem`` says why Redis is unavailable, or is ''."""
        if problem and not self._problem:
            self.line(f"Redis is unavailable, trying again: {problem}")
        self._problem = problem
        self.draw()

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self.clear()
        print(printable(text), file=self._stream, flush=True)
        self.draw(force=True)

    def draw(self, *, force: bool = False) -> None:
        """Redraw the bar, at most once every ``DRAW_SECONDS``."""
        now = time.monotonic()
        if not self._bar or (not force and now - self._drawn_at < DRAW_SECONDS):
            return
        self._drawn_at = now
        done, passed = sum(self.ended.values()), age(now - self._begun)
        words = [f"{count} {status}" for status, count in self.ended.items() if count]
        text = f"waiting {passed}"
        if self._total:
            full = min(BAR_WIDTH, done * BAR_WIDTH // self._total)
            text = f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {done}/{self._total} {passed}"
        text = cut(printable("  ".join([text, *words])), shutil.get_terminal_size().columns - 1)
        print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)

    def clear(self) -> None:
        """Remove the bar."""
        if self._bar:
            print("\r\x1b[K", end="", file=self._stream, flush=True)


def follow(client: Client, event_id: str, seconds: float | None, total: int = 0) -> EventResult | None:
    """Wait for the event for ``seconds``, or a day without them, and print how it ended. Returns ``None`` if
    it was dead-lettered or is still running. Raises the other ClientErrors."""
    progress = Progress(total, sys.stderr)
    try:
        result = client.wait(event_id, seconds, on_worker=progress.worker, on_look=progress.look)
    except KeyboardInterrupt:
        progress.clear()
        say(f"event {event_id} goes on; to wait for it again: ottoscaler wait {event_id}")
        raise
    except (DeadLettered, WaitTimeout) as error:
        progress.clear()
        say(safe(str(error), LONGEST_SENTENCE))
        return None
    finally:
        progress.clear()
    if result.event_id != event_id:
        say(f"event {event_id} is a duplicate of {result.event_id}")
    print(printable(f"event {result.event_id} {outcome(result)}"), file=sys.stderr, flush=True)
    return result


def outcome(result: EventResult) -> str:
    """How an event ended, such as ``partial in 3.1s (2 succeeded, 1 failed)``."""
    counts = {"succeeded": result.succeeded, "failed": result.failed, "cancelled": result.cancelled}
    told = [f"{count} {name}" for name, count in counts.items() if count]
    took = "" if result.duration_ms is None else f" in {age(result.duration_ms / 1000)}"
    return f"{result.status}{took}" + (f" ({', '.join(told)})" if told else "")


def why(result: WorkerResult) -> str:
    """Why a worker failed, such as ``Error exit 3``."""
    return result.reason if result.exit_code is None else f"{result.reason} exit {result.exit_code}"


def message(result: WorkerResult) -> str:
    """A colon and the worker's message, or '' if it has none."""
    return f": {safe(result.message)}" if result.message else ""
