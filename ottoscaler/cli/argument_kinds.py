"""What the declarations of subcommands share: the types of their arguments, and how to add a subcommand."""

from __future__ import annotations

import argparse
import os
import textwrap
from itertools import groupby
from typing import TypeAlias

from ottoscaler.model import is_entry_id

LONGEST_WORD_SHOWN = 80  # characters of a wrong word that an error repeats
MOST_DIGITS = 9  # digits of an index or of a number of entries

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Help(argparse.RawDescriptionHelpFormatter):
    """Wraps a help text to the terminal, except indented lines, which are examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = groupby(text.splitlines(), lambda line: bool(line) and not line.startswith(" "))
        parts = [
            textwrap.fill(" ".join(lines), width) if prose else "\n".join(lines) for prose, lines in blocks
        ]
        return textwrap.indent("\n".join(parts), indent)


def command(commands: Commands, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    """Add a subcommand. Its namespace has ``complain``, which prints its usage and exits with 2."""
    made = commands.add_parser(
        name,
        help=summary,
        description=text.partition("\n\n")[0],
        epilog=text.partition("\n\n")[2],
        formatter_class=Help,
        allow_abbrev=False,
    )
    made.set_defaults(complain=made.error)
    return made


def positive(text: str) -> float:
    """Reads a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not a positive number of seconds")
    return value


def count(text: str) -> int:
    """Reads how many entries to show."""
    if not _digits(text) or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not an integer from 1 to 1000000")
    return int(text)


def index(text: str) -> int:
    """Reads a worker's index."""
    if not _digits(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not an index, which is an integer from 0")
    return int(text)


def entry_id(text: str) -> str:
    """Reads an entry's id, in the form that Redis writes."""
    if not is_entry_id(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not an id such as 1717430400000-0")
    return text


def event_id(text: str) -> str:
    """Reads an event's id. People often type the task instead, so the error says where to find the id."""
    if not is_entry_id(text):
        raise argparse.ArgumentTypeError(
            f"{_shown(text)} is not an event's id such as 1717430400000-0; "
            "`ottoscaler results --task TASK` and `ottoscaler status` show the ids of a task's events"
        )
    return text


def task(text: str) -> str:
    """Reads a task's id. It is UTF-8 as in an event, whatever the locale's encoding."""
    if not text:
        raise argparse.ArgumentTypeError("an empty task id names no task")
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not UTF-8, as a task id is") from None


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _shown(text: str) -> str:
    return repr(text[:LONGEST_WORD_SHOWN])
