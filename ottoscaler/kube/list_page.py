"""A list's page, decoded item by item as it comes: of a hundred megabytes, one Pod is held at a time.

A replica that starts lists every Pod of its instance, and each may carry hundreds of kilobytes of a
producer's metadata. Only client.py uses this.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ottoscaler.errors import UnusableAnswer
from ottoscaler.kube.decoding import is_pod
from ottoscaler.kube.http1 import MOST_ANSWER
from ottoscaler.model import JsonObject

T = TypeVar("T")

_BLANKS = " \t\r\n"
_decode = json.JSONDecoder().raw_decode


def page(pieces: Iterator[bytes], keep: Callable[[JsonObject], T]) -> tuple[list[T], str, str]:
    """What ``keep`` makes of each Pod, the resource version, and where to go on (empty: it was the last).

    Reads the pieces to their end. Raises UnusableAnswer, and what the pieces raise.
    """
    text = _Text(pieces)
    kept: list[T] | None = None
    meta: Any = None
    text.expect("{")
    more = text.peek() != "}"
    while more:
        name = text.value()
        text.expect(":")
        if name == "items":
            kept = [] if text.peek() != "[" and text.value() is None else list(_items(text, keep))
        elif name == "metadata":
            meta = text.value()
        else:
            text.value()
        more = text.follows()
    text.expect("}")
    text.end()
    version = meta.get("resourceVersion") if isinstance(meta, dict) else None
    if kept is None or not isinstance(version, str) or not version:
        raise UnusableAnswer("list: the answer has no items or no resource version")
    rest = meta.get("continue")
    return kept, version, rest if isinstance(rest, str) else ""


def _items(text: _Text, keep: Callable[[JsonObject], T]) -> Iterator[T]:
    text.expect("[")
    more = text.peek() != "]"
    while more:
        item = text.value()
        if not is_pod(item):
            raise UnusableAnswer("list: the answer is not a list of Pods")
        yield keep(item)
        more = text.follows()
    text.expect("]")


class _Text:
    """JSON as it comes, read value by value. For one thread."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANKS:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more(1)

    def expect(self, mark: str) -> None:
        if self.peek() != mark:
            raise UnusableAnswer("list: the answer is not a JSON object: a proxy's?")
        self._at += 1

    def follows(self) -> bool:
        """Whether a comma comes next, which then is passed."""
        comma = self.peek() == ","
        self._at += comma
        return comma

    def value(self) -> Any:
        """The next value. What is incomplete is tried again when there is twice as much of it."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    raise UnusableAnswer("list: the answer is not JSON: a proxy's?") from error
            else:
                if end < len(self._text) or self._ended or self._text[end - 1] in '}]"':  # else it may go on
                    self._at = end
                    return value
            self._more(len(self._text) - self._at)

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise UnusableAnswer("list: the answer is longer than its object")

    def _more(self, least: int) -> None:
        """Take in at least so many characters more, or all that there are."""
        parts, size = [self._text[self._at :]], 0
        self._at = 0
        if len(parts[0]) > MOST_ANSWER:
            raise UnusableAnswer("list: one item of the answer is too large")
        while size < least and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            try:
                parts.append(self._utf8.decode(piece or b"", final=self._ended))
            except UnicodeDecodeError as error:
                raise UnusableAnswer("list: the answer is not UTF-8") from error
            size += len(parts[-1])
        self._text = "".join(parts)
