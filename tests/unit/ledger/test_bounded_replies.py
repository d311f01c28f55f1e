"""Reading a reply that came whole."""

from __future__ import annotations

import pytest

from ottoscaler.ledger.bounded_replies import parse

ENTRIES = b"*2\r\n$3\r\n1-0\r\n*4\r\n$1\r\na\r\n$2\r\n\r\n\r\n$1\r\nb\r\n$0\r\n\r\n"


def test_arrays_and_strings_are_read_wherever_they_begin() -> None:
    assert parse(ENTRIES) == ([b"1-0", [b"a", b"\r\n", b"b", b""]], len(ENTRIES))
    assert parse(b"+OK\r\n" + ENTRIES + b":1\r\n", 5) == (parse(ENTRIES)[0], 5 + len(ENTRIES))


@pytest.mark.parametrize("nothing", [b"*-1\r\n", b"$-1\r\n"])
def test_nil_is_none(nothing: bytes) -> None:
    assert parse(nothing) == (None, 5)


@pytest.mark.parametrize("part", [ENTRIES[:end] for end in range(len(ENTRIES))])
def test_part_of_a_reply_is_left_to_the_slow_reader(part: bytes) -> None:
    with pytest.raises(ValueError, match=r"not found|invalid literal|not all come|neither"):
        parse(part)


@pytest.mark.parametrize(
    "other", [b"-ERR no\r\n", b"+OK\r\n", b":7\r\n", b":-7\r\n", b"-1\r\n", b"*1\r\n:7\r\n", b"?x\r\n"]
)
def test_whatever_else_is_left_to_the_slow_reader(other: bytes) -> None:
    with pytest.raises(ValueError, match=r"not found|invalid literal|not all come|neither"):
        parse(other)
