"""What reaches an operator's terminal: safe, aligned, short."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from ottoscaler.cli.follow import Progress
from ottoscaler.cli.terminal import age, columns, paint, safe


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@given(st.text(alphabet=st.characters()))
def test_no_text_of_an_event_can_steer_the_terminal(text: str) -> None:
    shown = safe(text, 50)
    assert shown.isprintable()
    assert len(shown) <= 50


def test_a_long_message_ends_in_an_ellipsis_and_lines_become_one() -> None:
    assert safe("one\ntwo\r\n  three") == "one two three"
    assert safe("x" * 60, 10) == "xxxxxxxxx…"
    assert safe("\x1b[2Jgone") == "\\x1b[2Jgone"


def test_ages_read_as_people_say_them() -> None:
    spans = (-1, 0.44, 45.9, 185, 7800, 442_800)
    assert [age(span) for span in spans] == ["0.0s", "0.4s", "45s", "3m05s", "2h10m", "5d03h"]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns(("a", "long"), [("wider", "x"), ("y", "")], indent="") == ["A      LONG", "wider  x", "y"]


def test_colour_is_for_terminals_that_want_it(monkeypatch: object) -> None:
    assert paint("problem", io.StringIO()) == "problem"
    assert paint("problem", Terminal()) == "\x1b[31mproblem\x1b[0m"


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    worker = {"index": "0", "status": "failed", "reason": "Error", "exit_code": "3", "message": "no\x1b[2J"}
    for stream, bar in ((Terminal(), True), (io.StringIO(), False)):
        progress = Progress(4, stream)
        progress.worker(worker)
        progress.clear()
        assert "worker 0 failed (Error exit 3): no\\x1b[2J\n" in stream.getvalue()
        assert ("[######..................] 1/4" in stream.getvalue()) is bar
        assert ("\r" in stream.getvalue()) is bar
