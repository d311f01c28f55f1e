"""Keeps registered secrets out of every log line."""

from __future__ import annotations

import json
import threading
from urllib.parse import quote, quote_plus

MASK = "***"  # stands wherever a secret was

# Replacing a shorter secret would damage ordinary words and hide nothing worth hiding.
SHORTEST_SECRET = 4

_lock = threading.Lock()
_spellings: tuple[str, ...] = ()


def hide(*secrets: str) -> None:
    """Replace these secrets by ``***`` in every log line from now on, also in exception texts. Any thread.

    The spellings that a URL, JSON and ``repr`` use are replaced too. Secrets of fewer than
    ``SHORTEST_SECRET`` characters are not replaced.
    """
    global _spellings
    found = set()
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            found |= {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
            found |= {
                json.dumps(secret)[1:-1],
                repr(secret)[1:-1],
                repr(secret.encode(errors="replace"))[2:-1],
            }
    with _lock:
        # The longest comes first, because one secret may be part of another's spelling.
        _spellings = tuple(sorted({*_spellings, *found}, key=lambda text: (-len(text), text)))


def forget_all() -> None:
    """Forget all secrets. For tests, and for a process that is set up anew."""
    global _spellings
    with _lock:
        _spellings = ()


def redact(text: str) -> str:
    """The text with ``***`` for every registered secret. Any thread."""
    for spelling in _spellings:
        if spelling in text:
            text = text.replace(spelling, MASK)
    return text
