"""Formats a log record as one line: JSON for machines, text for people. Both are bounded and redacted."""

from __future__ import annotations

import json
import logging
import math
import time
from functools import lru_cache
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from ottoscaler.telemetry.redaction import redact

# A container runtime splits lines at 16 KiB, and half a JSON object is not JSON. 8 KiB leaves room.
LINE_BYTES = 8192
VALUE_CHARACTERS = 1024
TRACEBACK_CHARACTERS = 4096

# The action of records that libraries write.
LIBRARY = "library"

_COLOURS = {"DEBUG": "\x1b[2m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_RESET = "\x1b[0m"

LogFields = dict[str, Any]

_FIRST: LogFields = dict.fromkeys(("event_id", "task_id", "pod", "index"))

# ``json.dumps`` is the same, but looks for circles, which a line's plain values cannot have.
_json = json.JSONEncoder(check_circular=False).encode


def log_fields(record: logging.LogRecord, traceback: str) -> LogFields:
    """A record's fields, in the order in which people read them. Any thread."""
    seconds, milliseconds = divmod(int(record.created * 1000), 1000)
    found: LogFields = {
        "time": f"{_clock(seconds)}.{milliseconds:03d}Z",
        "level": record.levelname,
        "action": getattr(record, "action", LIBRARY),
        "message": _bounded(record.getMessage()),
    }
    fields: LogFields = getattr(record, "fields", {})
    for name, value in {**_FIRST, **fields}.items():
        if value is not None and name not in found:
            found[name] = _bounded(value)
    found["logger"] = record.name
    found["thread"] = record.threadName or ""
    if traceback:
        traceback = redact(traceback)
        if len(traceback) > TRACEBACK_CHARACTERS:
            traceback = "…" + traceback[-TRACEBACK_CHARACTERS:]  # what was raised stands at the end
        found["exc_info"] = traceback
    return found


@lru_cache(4)  # many lines come within one second
def _clock(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _bounded(value: object) -> object:
    if type(value) is not str:  # few are not
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)  # JSON has no word for the others
        if value is None or (isinstance(value, int) and value.bit_length() < 64):
            return value
        value = str(value)
    text = redact(value)  # before it is cut: half a secret would no longer be known as one
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"


class JsonLine(JsonFormatter):
    """Formats a record as one JSON object in ASCII, so that no control character reaches a terminal."""

    def add_fields(self, log_data: LogFields, record: logging.LogRecord, message_dict: LogFields) -> None:
        log_data.update(log_fields(record, message_dict.get("exc_info", "")))

    def jsonify_log_record(self, log_data: LogFields) -> str:
        line = _json(log_data)
        while len(line) >= LINE_BYTES:
            texts = {name: text for name, text in log_data.items() if isinstance(text, str)}
            longest = max(texts, key=lambda name: len(_json(texts[name])))
            if len(texts[longest]) > 32:
                log_data[longest] = texts[longest][: len(texts[longest]) // 2] + "…"
            else:  # there are so many fields that their names alone are too long: drop the last one
                log_data.popitem()
            line = _json(log_data)
        return line


class TextLine(logging.Formatter):
    """Formats a record as one short line for people, with the traceback below it.

    With ``colour``, which is for terminals, the level decides the colour."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        found = log_fields(record, traceback)
        clock, level, action, message = (found.pop(name) for name in ("time", "level", "action", "message"))
        traceback = found.pop("exc_info", "")
        del found["logger"], found["thread"]
        fields = " ".join(f"{name}={_printable(value)}" for name, value in found.items())
        line = f"{clock[11:-1]} {level:<7} {action:<20} {_printable(message)}" + (
            f"  {fields}" if fields else ""
        )
        colour = _COLOURS.get(level) if self._colour else None
        if colour:
            line = f"{colour}{line}{_RESET}"
        below = [f"    {_printable(each)}" for each in traceback.splitlines()]
        return "\n".join([line, *below]).encode()[:LINE_BYTES].decode(errors="ignore")


def _printable(value: object) -> str:
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )
