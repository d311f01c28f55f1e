"""What reads a command's output: a stream that says it is a terminal, and a reader that goes."""

from __future__ import annotations

import io
from subprocess import Popen


class Terminal(io.StringIO):
    """What was written to it is kept, as by its base class."""

    def isatty(self) -> bool:
        return True


def ends_without_its_reader(following: Popen[str]) -> None:
    """Close the command's output: it ends soon, by itself, with 1 and without a word."""
    assert following.stdout is not None
    assert following.stderr is not None
    following.stdout.close()
    try:
        assert following.wait(5) == 1
    finally:
        following.kill()
    assert following.stderr.read() == ""
