"""The values of an event that `status` and the page never show: those of ``env``, ``command`` and ``args``.

In a dead letter, every field that Ottoscaler does not know is hidden as well, since it may be a misspelt
``env``. In a text that quotes a hidden value, ``***`` replaces the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ottoscaler.events.values import shown
from ottoscaler.model import JsonObject
from ottoscaler.telemetry.redaction import MASK

UNTOLD = ("env", "command", "args")
# A dead letter's other fields have their values told.
TOLD = frozenset(
    ("type", "pod_count", "task_id", "image", "cpu", "memory", "profile", "timeout_seconds", "max_retries")
) | {"dedup_key", "logs", "priority", "expires_at", "running"}
OMITTED = "ottoscaler.io/omitted"  # the last field of a dead letter that was cut
# A shorter piece of a value ("-c", "true") is an ordinary word. Masking it would make texts unreadable.
SHORTEST_PIECE = 6
MOST_PIECES = 1000  # of one event

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'(?:\.\.\.)?|\"(?:[^\"\\]|\\.)*\"(?:\.\.\.)?")


class Veil:
    """Masks the hidden values of one event in texts about it."""

    def __init__(self, fields: Iterable[tuple[str, str]], *, told: frozenset[str] | None = None) -> None:
        hidden = [v for n, v in fields if (n in UNTOLD if told is None else n not in told)]
        self._values = tuple(value for value in hidden if value)
        pieces = {piece for value in self._values for piece in _pieces(value)}
        spelt = {
            spelling
            for piece in pieces
            for spelling in (piece, shown(piece).removesuffix("...")[1:-1], repr(piece)[1:-1])
        }
        long = (each for each in spelt if len(each) >= SHORTEST_PIECE)
        self._pieces = tuple(sorted(long, key=len, reverse=True)[:MOST_PIECES])

    def text(self, text: str, *, quotes: bool = False) -> str:
        """The text with ``***`` for each piece of a hidden value. With ``quotes``, also for each quoted one,
        however short."""
        for piece in self._pieces:
            if piece in text:
                text = text.replace(piece, MASK)
        if quotes and self._values:
            text = _QUOTED.sub(self._quotation, text)
        return text

    def _quotation(self, found: re.Match[str]) -> str:
        inner = found[0].removesuffix("...")[1:-1]
        quoted = inner and any(inner in value or inner in shown(value) for value in self._values)
        return f"'{MASK}'" if quoted else found[0]


def _pieces(value: str) -> Iterator[str]:
    yield value
    if value.lstrip()[:1] in ("[", "{"):
        try:
            yield from _leaves(json.loads(value))
        except (ValueError, RecursionError):
            return


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _leaves(each)


def letter_told(letter: JsonObject) -> JsonObject:
    """A dead letter's document (client/entries.py) as `status` and the page may show it."""
    fields = [(str(name), str(value)) for name, value in letter["fields"]]
    veil = Veil(fields, told=TOLD)
    error = veil.text(letter["error"], quotes=True)
    if any(name == OMITTED for name, _ in fields):  # what is quoted may be a value that was left out
        error = _QUOTED.sub(f"'{MASK}'", error)
    told = TOLD | {OMITTED}
    return {
        **letter,
        "error": error,
        "fields": [[name, value if name in told else MASK] for name, value in fields],
    }
