"""What ``logs`` shows of a log on a terminal."""

from __future__ import annotations

from ottoscaler.cli.logs import for_terminal

LOG = "\x1b[31m빨강\x1b[0m é😀\x1b]0;title\x07\n\x1b[2J".encode() + b"\xff\x1b"
SHOWN = "\x1b[31m빨강\x1b[0m é😀\\x1b]0;title\\x07\n\\x1b[2J\\xff\\x1b"


def test_log_reads_the_same_in_whatever_pieces_it_comes() -> None:
    assert "".join(for_terminal([LOG])) == SHOWN
    assert "".join(for_terminal([bytes([each]) for each in LOG])) == SHOWN
    for at in range(len(LOG)):
        assert "".join(for_terminal([LOG[:at], LOG[at:]])) == SHOWN


def test_piece_is_shown_when_it_comes_but_for_what_the_next_one_may_complete() -> None:
    assert list(for_terminal([b"one\x1b[3", b"1mtwo\xec", b"\x9b\x94"])) == ["one", "\x1b[31mtwo", "월", ""]
