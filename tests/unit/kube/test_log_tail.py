"""The last bytes of a log, by an API server that counts lines from its end and bytes from there on."""

from __future__ import annotations

import pytest

from ottoscaler.kube.log_tail import LEAST_READ, LOOKS, last_bytes


class Log:
    """A log, and how it was asked for."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.lines = text.splitlines(keepends=True)
        self.looks: list[int] = []

    def read(self, lines: int, most: int) -> bytes:
        self.looks.append(lines)
        return b"".join(self.lines[-lines:])[:most]


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        (b"", 1),
        (b"short, and without an end of line", 1),
        (b"an ordinary line, as many a program writes it, of some length\n" * 3000, 1),
        (b"x\n" * 100_000, 2),
        (b"\n" * 5000, 2),
        (b"".join(b"%d" % n + b"y" * 16_000 + b"\n" for n in range(400)), 3),
        (("Zeile mit Umlauten: äöü\n" * 4000).encode(), 2),
    ],
    ids=["empty", "short", "ordinary", "short lines", "empty lines", "long lines", "other letters"],
)
def test_last_bytes_are_the_logs_own_in_few_looks(text: bytes, looks: int) -> None:
    log = Log(text)
    assert last_bytes(4096, log.read) == text[-4096:]
    assert len(log.looks) <= looks


def test_line_that_is_longer_than_may_be_read_is_given_up() -> None:
    log = Log(b"x" * (LEAST_READ + 1))
    assert last_bytes(1024, log.read) is None
    assert len(log.looks) == LOOKS
