"""How the subcommands speak to people: safe text, aligned columns, ages, and what a terminal can do."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

LONGEST_TEXT = 300  # columns of an event's own text in one line; the rest is in --json

_COLOURS = {"ok": "32", "warning": "33", "problem": "31"}
_TRIAL = "…\udc80\U0001f600é\n"  # what a message may hold

ENTER = "\x1b[?1049h\x1b[?25l"  # the alternate screen, without the cursor
LEAVE = "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def write_anything() -> None:
    """Make both streams take any text, whatever PYTHONIOENCODING says, so that none ends in a traceback.

    What an encoding has no character for is written as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding
            try:
                _TRIAL.encode(encoding, "backslashreplace")
            except (UnicodeError, LookupError):
                encoding = "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def say(text: str) -> None:
    """A sentence to the person, on standard error: standard output is for what was asked for."""
    print(f"ottoscaler: {text}", file=sys.stderr, flush=True)


def json_text(document: Any, indent: int | None = None) -> str:
    """A JSON document that standard output can hold: an escape of its own would break it."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    return json.dumps(document, ensure_ascii=not unicode, indent=indent)


def lively(stream: TextIO) -> bool:
    """Whether lines may be redrawn there: it is a terminal that can do that, and a person looks at it."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")


# --- text


def safe(text: str, longest: int = LONGEST_TEXT) -> str:
    """An event's text in one line, without any control character.

    Producers choose task ids, messages and metadata: an escape sequence in one could repaint the terminal
    of whoever looks at it.
    """
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    return cut(text, longest)


def width(text: str) -> int:
    """The columns that a terminal gives to a text: two to a Chinese, Japanese or Korean character."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    # The vowels and finals of decomposed Korean join the letter before them, as combining marks do.
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, longest: int) -> str:
    """At most so many columns, and characters; what is cut ends in an ellipsis."""
    if max(width(text), len(text)) <= longest:
        return text
    kept, used = [], 0
    for character in text[: max(0, longest - 1)]:
        used += _columns(character)
        if used > longest - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def age(seconds: float) -> str:
    """A duration as people say it: ``0.4s``, ``45s``, ``3m05s``, ``2h10m``, ``5d03h``."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Lines with each column as wide as its widest cell; the last column is not padded."""
    table = [[cell.upper() for cell in head], *rows] if head else list(rows)
    widths = [max(width(row[at]) for row in table) for at in range(len(table[0]))] if table else []
    return [
        (indent + "  ".join(_padded(cell, wide) for cell, wide in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]


def _padded(cell: str, wide: int) -> str:
    return cell + " " * (wide - width(cell))


def paint(word: str, stream: TextIO) -> str:
    """``ok``, ``warning`` or ``problem`` in its colour, where the stream is a terminal that wants one."""
    if word not in _COLOURS or not lively(stream) or os.environ.get("NO_COLOR"):
        return word
    return f"\x1b[{_COLOURS[word]}m{word}\x1b[0m"


class Screen:
    """A terminal's alternate screen, so that the scrollback stays as it was. For one thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        self._write(ENTER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(LEAVE)

    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        found = shutil.get_terminal_size()
        return found.columns, found.lines

    def show(self, lines: Iterable[str]) -> None:
        """Replace what is there; what does not fit is cut."""
        wide, high = self.size()
        kept = [END_OF_LINE + cut(line, wide) for line in lines][:high]
        rest = "\r\n" + END_OF_SCREEN if len(kept) < high else ""
        self._write(HOME + "\r\n".join(kept) + rest)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
