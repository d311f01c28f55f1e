"""Output of the subcommands for people: safe text, aligned columns, ages, and what a terminal can do."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

LONGEST_TEXT = 300  # columns of an event's own text in one line; the rest is in --json

_COLOURS = {"ok": "32", "warning": "33", "problem": "31"}
# What JSON leaves as it is, and a terminal takes for a command, a new direction or a line's end, as may
# programs that read line by line.
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TRIAL = "…\udc80\U0001f600é\n"  # difficult characters that a message may hold

ENTER = "\x1b[?1049h\x1b[?25l"  # the alternate screen, without the cursor
LEAVE = "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def open_closed_streams() -> None:
    """Open the standard streams that the caller has closed (``2>&-``) on /dev/null.

    Otherwise the next file or connection gets the stream's number, and Python writes to no stream at all."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115


def write_anything() -> None:
    """Make both output streams accept any text, whatever PYTHONIOENCODING says. No text ends in a traceback.

    A character that the encoding lacks is written as an escape.
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
    """Print a sentence for the person on standard error. Standard output is only for what was asked for."""
    print(f"ottoscaler: {text}", file=sys.stderr, flush=True)


def json_text(document: Any, indent: int | None = None) -> str:
    """``document`` as JSON for standard output's encoding: an escape by the stream would break it."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(document, ensure_ascii=not unicode, indent=indent)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def lively(stream: TextIO) -> bool:
    """Whether lines may be redrawn on ``stream``: it is a terminal that can do that, and not a CI run's."""
    return stream.isatty() and (os.environ.get("TERM") or "dumb") != "dumb" and not os.environ.get("CI")


# --- text


def safe(text: str, longest: int = LONGEST_TEXT) -> str:
    """An event's text in one line, without any control character.

    Producers choose task ids, messages and metadata. An escape sequence in them could change what the
    reader's terminal shows.
    """
    return cut(printable(" ".join(text.split())), longest)


def printable(text: str) -> str:
    """The same text, but with each control character as an escape."""
    return _written(
        "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    )


def _written(text: str) -> str:
    """``text`` as standard output writes it, so that columns are counted with the escapes of
    :func:`write_anything`."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def width(text: str) -> int:
    """The columns that a text takes on a terminal. A Chinese, Japanese or Korean character takes two."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    # The vowels and finals of decomposed Korean join the letter before them, as combining marks do.
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, longest: int) -> str:
    """``text`` in at most ``longest`` columns and characters. If it is cut, it ends in an ellipsis."""
    if max(width(text), len(text)) <= longest:
        return text
    end = "…" if _written("…") == "…" else "..."[:longest]
    room = max(0, longest - len(end))
    kept, used = [], 0
    for character in text[:room]:
        used += _columns(character)
        if used > room:
            break
        kept.append(character)
    return "".join(kept) + end


def age(seconds: float) -> str:
    """A duration in short form: ``0.4s``, ``45s``, ``3m05s``, ``2h10m``, ``5d03h``."""
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
    """The table's lines, without any control character. Each column is as wide as its widest cell; the last
    one is not padded."""
    table = [[cell.upper() for cell in head]] if head else []
    table += [[printable(cell) for cell in row] for row in rows]
    widths = [max(width(row[at]) for row in table) for at in range(len(table[0]))] if table else []
    return [
        (indent + "  ".join(_padded(cell, wide) for cell, wide in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]


def _padded(cell: str, wide: int) -> str:
    return cell + " " * (wide - width(cell))


def paint(word: str, stream: TextIO) -> str:
    """``ok``, ``warning`` or ``problem``, in its colour if the stream is a terminal that shows colours."""
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
        """The terminal's present columns and lines."""
        found = shutil.get_terminal_size()
        return found.columns, found.lines

    def show(self, lines: Iterable[str]) -> None:
        """Replace the screen's content with ``lines``. What does not fit is cut."""
        wide, high = self.size()
        kept = [END_OF_LINE + cut(line, wide) for line in lines][:high]
        rest = "\r\n" + END_OF_SCREEN if len(kept) < high else ""
        self._write(HOME + "\r\n".join(kept) + rest)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
