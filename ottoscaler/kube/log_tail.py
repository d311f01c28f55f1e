"""Finds the last bytes of a log. Pure.

The API server cannot send just those. It sends the last lines (``tailLines``), and of these the first bytes
(``limitBytes``)."""

from __future__ import annotations

from collections.abc import Callable

LINE_BYTES = 32  # an ordinary line has more; shorter ones need a second read
LOOKS = 3
MOST_READ = 8  # one read asks for at most so many times the bytes wanted
LEAST_READ = 256 * 1024  # bytes. A kubelet cuts lines at 16 KiB, so some lines always fit


def last_bytes(wanted: int, read: Callable[[int, int], bytes]) -> bytes | None:
    """The last ``wanted`` bytes, read with ``read(lines, most_bytes)``.

    ``None`` if the last lines are too long for their end to be reached. An ordinary log takes one read; there
    are at most three."""
    lines, most = max(1, wanted // LINE_BYTES), max(LEAST_READ, wanted * MOST_READ)
    text: bytes | None = None
    for _ in range(LOOKS):
        found = read(lines, most)
        if len(found) >= most:  # the limit cut off the end
            if text is not None:
                break
            lines = max(1, lines // MOST_READ)
            continue
        text = found
        if len(text) >= wanted or text.count(b"\n") < lines or lines > wanted:
            break
        lines = min(wanted + 1, lines * wanted // max(1, len(text)) * 2)
    return None if text is None else text[-wanted:]
