"""Decodes a page of a list item by item as it comes, so that only one Pod is held at a time.

A replica that starts lists every Pod of its instance. Each Pod may carry hundreds of kilobytes of a
producer's metadata, so a page may have a hundred megabytes.
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
    """What ``keep`` returns for each Pod, the resource version, and the continue token.

    The token is empty on the last page. Reads the pieces to their end. Raises UnusableAnswer, and what the
    pieces raise.
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
    """JSON that is read value by value as it comes. One thread uses it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is not a blank; empty at the end."""
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
        """Whether a comma comes next. It is consumed."""
        comma = self.peek() == ","
        self._at += comma
        return comma

    def value(self) -> Any:
        """The next value. An incomplete one is decoded again once twice as much text has come."""
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
        """Raise UnusableAnswer if anything follows."""
        if self.peek():
            raise UnusableAnswer("list: the answer is longer than its object")

    def _more(self, least: int) -> None:
        """Read at least ``least`` more characters, or all that are left."""
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
