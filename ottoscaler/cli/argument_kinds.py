"""What the functions that declare subcommands share: the kinds of their arguments, and how one is added."""

from __future__ import annotations

import argparse
import re
from typing import TypeAlias

LONGEST_WORD_SHOWN = 80  # characters of a wrong word that an error repeats
MOST_DIGITS = 9  # of an index or a number of entries
_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")  # two numbers below 2**64, as Redis writes them

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command(commands: Commands, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    """Add a subcommand. Its namespace's ``complain`` ends with its own usage and exit code 2."""
    made = commands.add_parser(
        name,
        help=summary,
        description=text.partition("\n\n")[0],
        epilog=text.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(complain=made.error)
    return made


def positive(text: str) -> float:
    """Seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not a positive number of seconds")
    return value


def count(text: str) -> int:
    """How many to show."""
    if not _digits(text) or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not an integer from 1 to 1000000")
    return int(text)


def index(text: str) -> int:
    """A worker's index."""
    if not _digits(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not an index, which is an integer from 0")
    return int(text)


def entry_id(text: str) -> str:
    """An id as Redis writes it."""
    if not _ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not an id such as 1717430400000-0")
    return text


def task(text: str) -> str:
    """A task's id."""
    if not text:
        raise argparse.ArgumentTypeError("an empty task id names no task")
    return text


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _shown(text: str) -> str:
    return repr(text[:LONGEST_WORD_SHOWN])
