"""Structured logging: ``log = get_logger(__name__)``, ``log.info("pod_created", "Created it.", pod=name)``.

The action is a stable word (docs/logs.md lists them all). The message is a sentence. The fields say what it
is about. Any thread may call everything here. Nothing here raises, and nothing waits unless the reader of
standard error hangs.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TextIO

ROOT = "ottoscaler"
# Without `configure`, as in the client and the commands, nothing is logged. Python would print warnings on
# standard error otherwise, beside the sentence that tells the same.
logging.getLogger(ROOT).addHandler(logging.NullHandler())

MOST_LINES = 10_000  # that wait for a slow reader of standard error; they take some 3 MB
FLOOD_FIRST = 5  # lines: enough to see that it is the same each time
FLOOD_WINDOW_SECONDS = 30.0  # as long as a lease, so that an outage is logged twice a minute
FLOOD_KEYS = 256  # kinds that are told apart. Beyond them, all records of one action count as one kind


class _Lines(logging.StreamHandler[TextIO]):
    """Our log handler. It has a class of its own so that ``configure`` can find and replace it.

    Every thread formats its own lines, and one thread writes them while the others go on. With the library's
    lock, a thousand workers queued up behind the holder, which itself waited for the interpreter (0.1 s a
    line).
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: deque[str] = deque()
        self._writing = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        """As in the library, but without its lock around ``emit``, which needs none."""
        wanted = bool(self.filter(record))
        if wanted:
            self.emit(record)
        return wanted

    def flush(self) -> None:
        """Write the lines that wait. The process is about to end."""
        with self._writing:
            self._write()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.append(self.format(record) + self.terminator)
            # Once MOST_LINES lines wait, a reader that hangs makes every thread wait, as without the queue.
            while self._waiting and self._writing.acquire(blocking=len(self._waiting) > MOST_LINES):
                try:
                    self._write()
                finally:
                    self._writing.release()
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end its thread
            self.handleError(record)

    def _write(self) -> None:
        lines = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        self.stream.write("".join(lines))
        self.stream.flush()

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: the line is lost. The library would print its traceback, with the secrets in it."""


def configure(level: str, fmt: Literal["json", "text"] | str, stream: TextIO | None = None) -> None:
    """Send all log records of this process to ``stream`` (standard error), one line each. Main thread.

    May be called again; the last call counts. Records of libraries are written from WARNING up, whatever the
    level, because below it the clients log requests with their headers.
    """
    # The public client imports this module, and needs no package but redis.
    from ottoscaler.telemetry.formats import JsonLine, TextLine

    stream = stream if stream is not None else sys.stderr
    lines = _Lines(stream)
    lines.setFormatter(JsonLine() if fmt == "json" else TextLine(colour=stream.isatty()))
    # No line contains these two, and finding them takes a tenth of a record's time.
    logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Lines)]:
        root.removeHandler(old)
    root.addHandler(lines)
    root.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger(ROOT).setLevel(level)


def get_logger(name: str) -> Log:
    """The log of a module; call it with ``__name__``."""
    return Log(logging.getLogger(name), {})


class Log:
    """Writes records with an action, a sentence and fields; fields that are ``None`` are left out."""

    __slots__ = ("_bound", "_logger")

    def __init__(self, logger: logging.Logger, bound: dict[str, object]) -> None:
        self._logger = logger
        self._bound = bound

    def bind(self, **fields: object) -> Log:
        """A log that writes the same records with these fields added."""
        return Log(self._logger, {**self._bound, **fields})

    def enabled(self, level: int) -> bool:
        """Whether a record of this level would be written. Ask before collecting costly fields."""
        return self._logger.isEnabledFor(level)

    def debug(self, action: str, message: str, **fields: object) -> None:
        """Write what only a developer needs."""
        self.log(logging.DEBUG, action, message, None, fields)

    def info(self, action: str, message: str, **fields: object) -> None:
        """Write a step in the life of an event or of the process."""
        self.log(logging.INFO, action, message, None, fields)

    def warning(self, action: str, message: str, **fields: object) -> None:
        """Write that something is wrong from which the service recovers by itself."""
        self.log(logging.WARNING, action, message, None, fields)

    def error(self, action: str, message: str, exc: BaseException | None = None, **fields: object) -> None:
        """Write that something is wrong that a person must look at. ``exc`` adds its traceback."""
        self.log(logging.ERROR, action, message, exc, fields)

    def log(
        self, level: int, action: str, message: str, exc: BaseException | None, fields: dict[str, object]
    ) -> None:
        """Write a record of a level that is chosen at run time."""
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        exc_info = (type(exc), exc, exc.__traceback__) if exc is not None else None
        # Logger.log is not used: it finds the caller's file and line, which costs more than all the rest.
        record = logger.makeRecord(logger.name, level, "", 0, message, (), exc_info)
        record.action = action
        record.fields = {**self._bound, **fields} if self._bound else fields
        logger.handle(record)


@dataclass(slots=True)
class _Window:
    opened: float
    level: int
    fields: dict[str, object]
    seen: int = 0


class Flood:
    """Lets the first few records of a kind through, and sums up the others when the window closes.

    A kind is an action and a key. Windows are closed by the next record of any kind, or by ``sweep``, which
    some periodic thread calls every few seconds and the stop calls once with ``all_windows=True``.
    """

    def __init__(
        self,
        log: Log,
        *,
        first: int = FLOOD_FIRST,
        window_seconds: float = FLOOD_WINDOW_SECONDS,
        keys: int = FLOOD_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._first = first
        self._window_seconds = window_seconds
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], _Window] = {}  # the one opened first comes first

    def info(self, action: str, message: str, key: str = "", **fields: object) -> None:
        self._pass(logging.INFO, action, message, key, fields)

    def warning(self, action: str, message: str, key: str = "", **fields: object) -> None:
        self._pass(logging.WARNING, action, message, key, fields)

    def error(self, action: str, message: str, key: str = "", **fields: object) -> None:
        self._pass(logging.ERROR, action, message, key, fields)

    def sweep(self, *, all_windows: bool = False) -> None:
        """Close the windows whose time is over, or all. A window that held lines back gets a summary line."""
        with self._lock:
            now = self._clock()
            closed: list[tuple[str, _Window]] = []
            while self._windows:
                kind, window = next(iter(self._windows.items()))
                if not all_windows and now - window.opened < self._window_seconds:
                    break
                closed.append((kind[0], self._windows.pop(kind)))
        for action, window in closed:
            held_back = window.seen - self._first
            if held_back > 0:
                sentence = f"… and {held_back} more like this in {now - window.opened:.0f} s"
                self._log.log(window.level, action, sentence, None, {**window.fields, "repeated": held_back})

    def _pass(self, level: int, action: str, message: str, key: str, fields: dict[str, object]) -> None:
        if not self._log.enabled(level):
            return
        self.sweep()
        with self._lock:
            kind = (action, key)
            if kind not in self._windows and len(self._windows) >= self._keys:
                kind = (action, "others")
            window = self._windows.get(kind)
            if window is None:
                about: dict[str, object] = {"key": kind[1]} if kind[1] else {}
                window = self._windows[kind] = _Window(self._clock(), level, about)
            window.seen += 1
            through = window.seen <= self._first
        if through:
            self._log.log(level, action, message, None, fields)


# The process's only Flood. All stages share it, and the reconciler sweeps it.
flood = Flood(get_logger("ottoscaler"))
