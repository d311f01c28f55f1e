"""How the subcommands speak to people: safe text, aligned columns, ages, and when colour is in order."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

LONGEST_TEXT = 300  # characters of an event's own text in one line; the rest is in --json

_COLOURS = {"ok": "32", "warning": "33", "problem": "31"}


def say(text: str) -> None:
    """A sentence to the person, on standard error: standard output is for what was asked for."""
    print(f"ottoscaler: {text}", file=sys.stderr, flush=True)


def safe(text: str, longest: int = LONGEST_TEXT) -> str:
    """An event's text in one line, without any control character.

    Producers choose task ids, messages and metadata: an escape sequence in one could repaint the terminal
    of whoever looks at it.
    """
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


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
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))] if table else []
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]


def paint(word: str, stream: TextIO) -> str:
    """``ok``, ``warning`` or ``problem`` in its colour, where the stream is a terminal that wants one."""
    if word not in _COLOURS or not stream.isatty() or os.environ.get("NO_COLOR"):
        return word
    return f"\x1b[{_COLOURS[word]}m{word}\x1b[0m"
