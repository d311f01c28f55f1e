"""What reaches an operator's terminal: safe, aligned, short."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottoscaler.cli.follow import Progress
from ottoscaler.cli.results import line
from ottoscaler.cli.terminal import (
    Screen,
    age,
    columns,
    cut,
    json_text,
    lively,
    paint,
    safe,
    width,
    write_anything,
)
from ottoscaler.client.entries import WorkerResult, result_of
from tests.harness.terminal import Terminal
from tests.unit.client.test_entries import entry


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
    assert [age(span) for span in (10, 60, 3600, 86_400)] == ["10s", "1m00s", "1h00m", "1d00h"]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns(("a", "long"), [("wider", "x"), ("y", "")], indent="") == ["A      LONG", "wider  x", "y"]


def test_no_cell_of_a_table_can_steer_the_terminal() -> None:
    """Somebody may have written an entry that no replica would, with an escape sequence for a time."""
    assert columns(("at", "event"), [("\x1b[2J", "1-0\n2-0")], indent="") == [
        "AT       EVENT",
        "\\x1b[2J  1-0\\n2-0",
    ]


@pytest.mark.parametrize("kind", ["worker", "event"])
def test_no_line_of_a_result_can_steer_the_terminal(kind: str) -> None:
    words = dict.fromkeys(("event_id", "task_id", "status", "reason", "message", "type"), "\x1b[2J")
    result = result_of(entry(kind=kind, index="0", **words))
    assert result is not None
    assert line(result).isprintable()


def test_columns_are_counted_as_a_terminal_shows_them() -> None:
    assert [
        width(text) for text in ("build", "빌드", "e\u0301", unicodedata.normalize("NFD", "빌드"), "…")
    ] == [
        5,
        4,
        1,
        4,
        1,
    ]
    korean, latin = columns(("task", "x"), [("빌드-17", "1"), ("build", "2")], indent="")[1:]
    assert (korean, latin) == ("빌드-17  1", "build    2")


def test_columns_stay_aligned_where_the_encoding_has_no_korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    korean, latin = columns(("task", "x"), [(safe("빌드"), "1"), (safe("build"), "2")], indent="")[1:]
    assert (korean, latin) == ("\\ube4c\\ub4dc  1", "build         2")
    assert [cut("123456", longest) for longest in (5, 2)] == ["12...", ".."]


@pytest.mark.parametrize(("longest", "shown"), [(7, "빌드-17"), (6, "빌드-…"), (4, "빌…"), (1, "…")])
def test_a_text_is_cut_to_columns_and_never_in_the_middle_of_a_character(longest: int, shown: str) -> None:
    assert cut("빌드-17", longest) == shown


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": ""}, False),
        (True, {}, False),
        (True, {"TERM": "xterm", "CI": "true"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_lines_are_redrawn_only_where_a_person_looks_at_a_terminal_that_can(
    terminal: bool, environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert lively(Terminal() if terminal else io.StringIO()) is expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16", "euc-kr", "undefined"])
def test_any_text_can_be_written_whatever_the_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii" if encoding == "undefined" else encoding)
    monkeypatch.setattr(sys, "stdout", out)
    write_anything()
    text = "빌드…\udc80\U0001f600"
    print(text)
    print(json_text({"task": text}))
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    told = out.buffer.getvalue().decode(out.encoding).splitlines()[-1]
    assert json.loads(told) == {"task": text}


@pytest.mark.parametrize("unseen", ["\x85", "\x9b31m", "\u2028", "\u2029", "\u202e", "\x7f", "\n\x1b[31m"])
def test_json_text_is_one_line_and_no_command_to_a_terminal(unseen: str) -> None:
    told = json_text({"task": f"é{unseen}\U0001f600"})
    assert told.isprintable()
    assert told.splitlines() == [told]
    assert json.loads(told) == {"task": f"é{unseen}\U0001f600"}


def test_a_screen_leaves_the_scrollback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "4")
    monkeypatch.setenv("LINES", "2")
    stream = Terminal()
    with Screen(stream) as screen:
        screen.show(["12345", "b", "c"])
    shown = stream.getvalue()
    assert shown.startswith("\x1b[?1049h")
    assert shown.endswith("\x1b[?1049l")
    assert "123…\r\n\x1b[Kb" in shown
    assert "c" not in shown
    assert "\x1b[3J" not in shown


def test_a_screen_that_is_full_does_not_scroll_and_a_shorter_picture_clears_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "4")
    monkeypatch.setenv("LINES", "2")
    full, shorter = Terminal(), Terminal()
    Screen(full).show(["a", "b"])
    Screen(shorter).show(["a"])
    assert full.getvalue() == "\x1b[H\x1b[Ka\r\n\x1b[Kb"
    assert shorter.getvalue() == "\x1b[H\x1b[Ka\r\n\x1b[J"


def test_a_bar_counts_no_status_that_could_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    stream = Terminal()
    worker = result_of(entry(kind="worker", index="0", status="\x1b[2J"))
    assert isinstance(worker, WorkerResult)
    Progress(4, stream).worker(worker)
    assert "\x1b[2J" not in stream.getvalue()
    assert "1 \\x1b[2J" in stream.getvalue()


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    assert paint("problem", io.StringIO()) == "problem"
    assert paint("problem", Terminal()) == "\x1b[31mproblem\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("problem", Terminal()) == "problem"


def test_a_terminal_gets_a_bar_and_a_file_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    worker = result_of(
        entry(kind="worker", index="0", status="failed", reason="Err\x1b", exit_code="3", message="no\x1b[2J")
    )
    assert isinstance(worker, WorkerResult)
    for stream, bar in ((Terminal(), True), (io.StringIO(), False)):
        progress = Progress(4, stream)
        progress.worker(worker)
        progress.clear()
        assert "worker 0 failed (Err\\x1b exit 3): no\\x1b[2J\n" in stream.getvalue()
        assert ("[######..................] 1/4" in stream.getvalue()) is bar
        assert ("\r" in stream.getvalue()) is bar


def test_an_outage_is_told_once_and_the_next_one_again() -> None:
    stream = io.StringIO()
    progress = Progress(0, stream)
    for problem in ("", "no answer", "no answer", "", "refused"):
        progress.look(problem)
    assert stream.getvalue().splitlines() == [
        f"Redis is unavailable, trying again: {problem}" for problem in ("no answer", "refused")
    ]
