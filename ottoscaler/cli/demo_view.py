"""What the demo shows: a live table on a terminal, or plain lines if the output is something else."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from ottoscaler.model import Phase, PodView

MOST_ROWS = 6  # workers that get a line each; if there are more, each gets one mark
MARKS = {"waiting": " ", "pending": "·", "running": "▶", "succeeded": "✔", "failed": "✘", "cancelled": "–"}
# What a Pod's phase means here. A Pod is Unknown if its node is silent; its container may still run.
_PHASES = {
    Phase.PENDING: "pending",
    Phase.RUNNING: "running",
    Phase.UNKNOWN: "running",
    Phase.SUCCEEDED: "succeeded",
    Phase.FAILED: "failed",
}
_CLEAR_LINE = "\x1b[2K"


@dataclass(frozen=True, slots=True)
class Scene:
    """One event of the story."""

    title: str
    sentence: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker's line."""

    index: int
    state: str
    seconds: float
    exit_code: str
    message: str = ""

    @classmethod
    def waiting(cls, index: int) -> Worker:
        return cls(index, "waiting", 0.0, "")

    @classmethod
    def of_pod(cls, view: PodView, now: str) -> Worker:
        index = view.worker.index if view.worker else 0
        code = "" if view.exit_code is None else str(view.exit_code)
        return cls(index, _PHASES[view.phase], _between(view.created_at, now), code)

    @classmethod
    def of_result(cls, entry: dict[str, str]) -> Worker:
        ran = _between(entry["created_at"], entry["finished_at"])
        return cls(int(entry["index"]), entry["status"], ran, entry["exit_code"], entry["message"].strip())


def _between(begin: str, end: str) -> float:
    try:
        return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
    except ValueError:
        return 0.0


def say(text: str) -> None:
    """A line of the story."""
    print(text, flush=True)


class View:
    """Draws scenes. On a terminal the table is redrawn in place; elsewhere each change is a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._drawn = 0
        self._last = ""

    def open(self, number: int, scene: Scene, command: str) -> None:
        say(f"\n{number}. {scene.title}. {scene.sentence}\n   $ {command}")
        self._drawn, self._last = 0, ""

    def frame(self, scene: Scene, workers: list[Worker]) -> None:
        """Show the workers as they are now."""
        lines = _rows(workers) if int(scene.fields["pod_count"]) <= MOST_ROWS else _marks(workers)
        if not self._live:
            counted = _count(workers)
            if counted != self._last:
                say(f"   {counted}")
                self._last = counted
            return
        width = shutil.get_terminal_size().columns - 1
        if self._drawn:
            self._out.write(f"\x1b[{self._drawn}F")
        for line in lines:
            self._out.write(f"{_CLEAR_LINE}{line[:width]}\n")
        self._out.write("\x1b[J")
        self._drawn = len(lines)
        self._out.flush()

    def close(self, entry: dict[str, str]) -> None:
        say(f"   {entry['task_id']} {entry['status']} in {int(entry['duration_ms']) / 1000:.1f} s")

    def results(self, events: list[dict[str, str]], workers: list[dict[str, str]]) -> None:
        """What the results stream holds, as a table."""
        say("\nThe results stream (otto:scale:results):\n")
        say(f"   {'task':10} {'status':10} {'workers':>7} {'ok':>4} {'failed':>6} {'secs':>6}  last words")
        for entry in events:
            words = [
                w["message"].strip() for w in workers if w["event_id"] == entry["event_id"] and w["message"]
            ]
            last = words[-1].splitlines()[-1][:60] if words else ""
            counts = f"{entry['pod_count']:>7} {entry['succeeded']:>4} {entry['failed']:>6}"
            seconds = int(entry["duration_ms"]) / 1000
            say(f"   {entry['task_id']:10} {entry['status']:10} {counts} {seconds:>6.1f}  {last}".rstrip())


def _rows(workers: list[Worker]) -> list[str]:
    lines = [f"   {'worker':>6}  {'state':12} {'age':>6}  {'exit':4}"]
    for w in workers:
        mark = MARKS[w.state]
        line = f"   {w.index:>6}  {mark} {w.state:10} {w.seconds:>5.1f}s  {w.exit_code:4} {w.message[:60]}"
        lines.append(line.rstrip())
    return lines


def _marks(workers: list[Worker]) -> list[str]:
    return [f"   {' '.join(MARKS[w.state] for w in workers)}", f"   {_count(workers)}"]


def _count(workers: list[Worker]) -> str:
    counted = Counter(w.state for w in workers)
    return "  ".join(f"{MARKS[state]} {counted[state]} {state}".lstrip() for state in MARKS if counted[state])
