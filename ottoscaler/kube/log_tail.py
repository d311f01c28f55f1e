"""The last bytes of a log. The API server tells its last lines (``tailLines``), and of those the first bytes
(``limitBytes``). Pure."""

from __future__ import annotations

from collections.abc import Callable

LINE_BYTES = 32  # an ordinary line has more; with shorter ones a second look is needed
LOOKS = 3
MOST_READ = 8  # times the bytes that are wanted, at one look
LEAST_READ = 256 * 1024  # bytes: a kubelet cuts lines at 16 KiB, so that some always fit


def last_bytes(wanted: int, read: Callable[[int, int], bytes]) -> bytes | None:
    """The last ``wanted`` bytes, by ``read(lines, most_bytes)``; ``None`` where the last lines are too long
    to come to their end. One look for an ordinary log, three at most."""
    lines, most = max(1, wanted // LINE_BYTES), max(LEAST_READ, wanted * MOST_READ)
    text: bytes | None = None
    for _ in range(LOOKS):
        found = read(lines, most)
        if len(found) >= most:  # its end was cut off
            if text is not None:
                break
            lines = max(1, lines // MOST_READ)
            continue
        text = found
        if len(text) >= wanted or text.count(b"\n") < lines or lines > wanted:
            break
        lines = min(wanted + 1, lines * wanted // max(1, len(text)) * 2)
    return None if text is None else text[-wanted:]
