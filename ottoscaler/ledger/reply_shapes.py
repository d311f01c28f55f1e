"""The shapes of Redis's replies to our commands and scripts: what is a number, what a string, what a list.

A proxy that mixes up its clients, or another program at this address, may answer any command with any reply.
Code that reads a reply relies on these shapes. They say nothing about what the strings contain.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ottoscaler.ledger.pipelining import Words

Shape = Callable[[Any], bool]

_WHOLE, _DECIMAL = re.compile(rb"-?\d+"), re.compile(rb"\d+\.?\d*")
_BYTES, _BYTES_OR_NONE = frozenset({bytes}), frozenset({bytes, type(None)})


def _anything(_: Any) -> bool:
    return True


def _text(reply: Any) -> bool:
    return type(reply) is bytes


def _text_or_none(reply: Any) -> bool:
    return reply is None or type(reply) is bytes


def _integer(reply: Any) -> bool:
    return type(reply) is int


def _digits(reply: Any) -> bool:
    return type(reply) is bytes and _WHOLE.fullmatch(reply) is not None


def _seconds(reply: Any) -> bool:
    return type(reply) is bytes and _DECIMAL.fullmatch(reply) is not None


def _texts(reply: Any) -> bool:
    return isinstance(reply, list) and _BYTES.issuperset(map(type, reply))


def _texts_or_nones(reply: Any) -> bool:
    return isinstance(reply, list) and _BYTES_OR_NONE.issuperset(map(type, reply))


def _pairs(reply: Any) -> bool:
    return _texts(reply) and len(reply) % 2 == 0


def _unbegun(reply: Any) -> bool:
    """What a script ended without a Pod: a number of workers, then five words for each event."""
    return isinstance(reply, list) and len(reply) % 5 == 1 and _integer(reply[0]) and _texts(reply[1:])


def _row(*shapes: Shape) -> Shape:
    """A list that begins with these."""

    def fits(reply: Any) -> bool:
        if not isinstance(reply, list) or len(reply) < len(shapes):
            return False
        return all(shape(item) for shape, item in zip(shapes, reply, strict=False))

    return fits


def _rows(*shapes: Shape) -> Shape:
    row = _row(*shapes)
    return lambda reply: isinstance(reply, list) and all(map(row, reply))


def _fields(reply: Any) -> bool:
    return reply is None or _texts(reply)


_cut_entries = _rows(_text, _texts, _integer)
_entry = _row(_text, _fields)


def _entries(reply: Any) -> bool:
    """Redis 6.2 answers with ``None`` in place of an entry that was trimmed away."""
    return isinstance(reply, list) and all(item is None or _entry(item) for item in reply)


_streams = _rows(_text, _entries)


def _streams_or_none(reply: Any) -> bool:
    return reply is None or _streams(reply)


_GROUP = {b"name": _text, b"pending": _integer, b"last-delivered-id": _text}


def _groups(reply: Any) -> bool:
    return isinstance(reply, list) and all(map(_group, reply))


def _group(flat: Any) -> bool:
    if not isinstance(flat, list) or len(flat) % 2 or not _texts(flat[::2]):
        return False
    known = dict(zip(flat[::2], flat[1::2], strict=True))
    lag = known.get(b"lag")  # Redis 6.2 does not tell it
    return all(shape(known.get(name)) for name, shape in _GROUP.items()) and (lag is None or _integer(lag))


_node = _row(_text_or_none, _integer)


def _slots(reply: Any) -> bool:
    return isinstance(reply, list) and all(
        isinstance(slot, list) and len(slot) >= 2 and all(map(_node, slot[2:])) for slot in reply
    )


# Of a command that is not listed, nobody reads the reply.
_COMMANDS: dict[str, Shape] = {
    "CLIENT ID": _integer,
    "CLUSTER SLOTS": _slots,
    "DEL": _integer,
    "EXISTS": _integer,
    "GET": _text_or_none,
    "HGET": _text_or_none,
    "HGETALL": _pairs,
    "HKEYS": _texts,
    "HMGET": _texts_or_nones,
    "HSCAN": _row(_text, _pairs),
    "INFO": _text,
    "SCARD": _integer,
    "SET": _text_or_none,
    "SMEMBERS": _texts,
    "TIME": _row(_digits, _digits),
    "TYPE": _text,
    "XADD": _text,
    "XDEL": _integer,
    "XINFO GROUPS": _groups,
    "XLEN": _integer,
    "XRANGE": _entries,
    "XREAD": _streams_or_none,
    "XREADGROUP": _streams_or_none,
    "XREVRANGE": _entries,
}
_MINE = _row(_text, _text_or_none, _pairs)


def _mine(reply: Any) -> bool:
    """With what ended without a Pod, if a scale_down had come before."""
    return _MINE(reply) and (len(reply) == 3 or _unbegun(reply[3]))


_PENDING, _PENDING_ENTRIES = _row(_integer, _text_or_none), _rows(_text, _text, _integer, _integer)
_OF_TWO_WORDS = ("CLIENT", "CLUSTER", "XINFO")

_BEAT = (_text, _digits, _texts, _text, _integer, _texts)
_SURVEY = (_rows(_text, _text, _text, _seconds), _texts, _rows(_text, _digits), _rows(_text, _text, _text))

# What follows a script's word, if it is more than texts that may be left out.
_DETAILS: dict[tuple[str, bytes], Shape] = {
    ("beat", b"ok"): _row(*_BEAT),
    ("beat", b"surveyed"): _row(*_BEAT, *_SURVEY),
    ("beat", b"forgotten"): _row(_text, _text),
    ("behind", b"ok"): _row(_text, _integer),
    ("bound", b"ok"): _row(_text, _text, _integer, _integer, _text),
    ("cancel", b"ok"): _row(_text, _digits, _unbegun),
    ("cancel_doomed", b"ended"): _row(_text, _unbegun),
    ("cancel_doomed", b"more"): _row(_text, _unbegun),
    ("cancel_doomed", b"ok"): _row(_text, _unbegun),
    ("candidates", b"ok"): _row(_text, _rows(_text, _digits)),
    ("claim_pending", b"ok"): _row(_text, _texts, _texts),
    ("cut_entries", b"ok"): _row(_text, _cut_entries),
    ("expire", b"ok"): _row(_text, _text, _integer, _integer, _integer, _integer),
    ("find", b"ok"): _row(_text, _text, _text, _entries),
    ("finish_down", b"ok"): _row(_text, _text, _digits),
    ("glimpse", b"ok"): _row(_text, _texts),
    ("indexes", b"ok"): _row(_text, _rows(_text, _texts)),
    ("keep_log", b"ok"): _row(_text, _digits, _digits),
    ("lookahead", b"ok"): _row(_text, _text, _entries),
    ("lost", b"ok"): _row(_text, _integer, _text),
    ("namespaces", b"ok"): _row(_text, _texts, _rows(_text, _seconds, _text)),
    ("next_pending", b"ok"): _row(_text, _digits, _texts, _text),
    ("overtime", b"ok"): _row(_text, _digits),
    ("owned", b"ok"): _row(_text, _texts),
    ("record", b"ended"): _row(_text, _text, _digits),
    ("register", b"ok"): _row(_text, _digits, _text),
    ("register", b"instance"): _row(_text, _text),
    ("register", b"occupied"): _row(_text, _text_or_none, _text_or_none, _text_or_none),
    ("release", b"ok"): _row(_text, _texts),
    ("reseed", b"ok"): _row(_text, _text, _unbegun),
    ("states", b"ok"): _row(_text, _rows(_text, _text_or_none, _text_or_none, _text_or_none)),
    ("take", b"cancelled"): _row(_text, _unbegun),
    ("take", b"mine"): _mine,
    ("take", b"new"): _row(_text, _text),
    ("take", b"taken"): _row(_text, _text_or_none, _pairs),
    ("takeover", b"mine"): _row(_text, _text_or_none, _pairs),
    ("takeover", b"taken"): _row(_text, _text_or_none, _pairs),
    ("unended", b"ok"): _row(_text, _integer),
    ("victims", b"ok"): _row(_text, _pairs),
}
# The first words of answers: of the scripts that take an event, and of the others.
WORDS_OF_TAKING = frozenset(
    b"alive cancelled duplicate done expired full mine moved new owned taken wiped".split()
)
WORDS = frozenset(
    b"again alive cancelling created cut done duplicate empty ended exists fenced finished forgotten full "
    b"gone instance large lost missing more occupied ok overtime owned owner paused pending recorded stale "
    b"surveyed unreadable wiped".split()
)


def script_fits(name: str, answer: Any) -> bool:
    """Whether a script of this name may have answered so."""
    if not isinstance(answer, list) or not answer or not _text(answer[0]):
        return False
    if answer[0] not in (WORDS_OF_TAKING if name in ("take", "takeover") else WORDS):
        return False
    return _DETAILS.get((name, answer[0]), _texts_or_nones)(answer)


def fits(words: Words, reply: Any) -> bool:
    """Whether Redis may have answered this command so."""
    name = command_name(words)
    if name == "HMGET":
        return _texts_or_nones(reply) and len(reply) == len(words) - 2
    if name == "XPENDING":
        return (_PENDING if len(words) == 3 else _PENDING_ENTRIES)(reply)
    return _COMMANDS.get(name, _anything)(reply)


def command_name(words: Words) -> str:
    """The command's name, with its second word if only both name it."""
    first = str(words[0])
    return f"{first} {words[1]!s}" if first in _OF_TWO_WORDS else first


def kind(reply: Any) -> str:
    """What a reply is, in a word or two; never what it contains."""
    if reply is None:
        return "nothing"
    if isinstance(reply, list):
        return "a list of a wrong shape"
    return "a string" if isinstance(reply, bytes) else "a number"
