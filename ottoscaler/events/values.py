"""Reads single values of an event. Each reader raises ``ValueError`` with the words that follow "FIELD: "."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MAX_TASK_ID = 256  # characters (docs/events.md)
MAX_DEDUP_KEY = 256  # characters
LAST_SECOND = 10**11  # the year 5138; a higher number is in milliseconds
MAX_SHOWN = 40  # characters of a wrong value that an error repeats
# Lists and objects in one value. More than one is always wrong, but reading a few allows a better error
# message. Deep nesting must not reach json, which recurses in C: in a thread with a stack of 128 KiB, it
# ended the process by a segmentation fault.
MAX_NESTED = 8
MAX_STRING = 128 * 1024 - 1  # bytes of one argument, or of NAME=value: Linux's MAX_ARG_STRLEN, less the NUL

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_SECONDS = re.compile(r"(0|[1-9][0-9]{0,18})(\.[0-9]{1,9})?")
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# A command that begins with [ may be a list or the shell's own test. A test begins with [ or [[ and a blank.
# Then comes something that JSON cannot have there: !, an operator such as -f, (, $, or a word that has = or
# -eq after it, or ] and then && or ;.
_WORD = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'])++"""
_TEST = re.compile(
    rf"""\[\[?\s++(?:!\s|-[a-zA-Z]+\s|\\?\(|\$
    |{_WORD}\s++(?:=|==|=~|!=|\\?[<>]|-(?:eq|ne|lt|le|gt|ge|nt|ot|ef))\s
    |{_WORD}\s++\]\]?\s*(?:&&|\|\||;|\n))""",
    re.DOTALL | re.VERBOSE,
)
# The beginning of a list, whether or not its end is there.
_LIST = re.compile(r"""\[[\s\[]*+(?:["'{\]]|-?[0-9]|$)""")
_LISTS = 'text that begins like a list must be one, such as ["one", "two"]'
_OBJECT = 'expected a JSON object of strings, such as {"KEY": "value"}'
_BLANKS = " \t\r\n"  # what JSON takes for white space
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")  # all supported Kubernetes versions accept these


def shown(value: str | bytes) -> str:
    """``value`` as an error repeats it: short, quoted, without control characters."""
    if len(value) > MAX_SHOWN:
        return ascii(value[:MAX_SHOWN]) + "..."
    return ascii(value)


def raw_task_id(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The task that an entry names, for its log lines, even if the rest of the entry is wrong. Any thread."""
    raw = next((value for name, value in fields if name == b"task_id"), b"")
    try:
        return raw.decode()[:MAX_TASK_ID] or None
    except UnicodeDecodeError:
        return None


def integer(lowest: int, highest: int) -> Callable[[str], int]:
    """A reader of decimal integers between two bounds. ASCII digits only: no +1, 1_0, 1e3, 007 or １."""

    def read(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not lowest <= int(text) <= highest:
            raise ValueError(f"invalid value {shown(text)}; expected an integer from {lowest} to {highest}")
        return int(text)

    return read


def seconds(text: str) -> float:
    """Unix seconds, with or without a fraction."""
    if not _SECONDS.fullmatch(text):
        raise ValueError(
            f"invalid value {shown(text)}; expected Unix seconds, such as 1767225600 or 1767225600.5"
        )
    if float(text) > LAST_SECOND:
        raise ValueError(
            f"invalid value {shown(text)}, which reads like milliseconds; expected Unix seconds, "
            f"such as {int(float(text)) // 1000}"
        )
    return float(text)


def command(text: str) -> tuple[str, ...]:
    """The command in ``text``: a JSON list is used as it is, and a shell runs any other text."""
    if _is_list(text):
        return _strings(text)
    if not text:
        raise ValueError("empty; leave the field out to use the template's command")
    return ("sh", "-c", _string(text))


def arguments(text: str) -> tuple[str, ...]:
    """The arguments in ``text``: a JSON list is used as it is, and any other text is one argument."""
    if _is_list(text):
        return _strings(text)
    return (_string(text),)


def environment(text: str) -> Mapping[str, str]:
    """The variables in ``text``, a JSON object of strings. No error shows a value: it may be a secret."""
    try:
        loaded = _json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{_not_json(error)}; {_OBJECT}") from None
    if not isinstance(loaded, dict):
        raise ValueError(f"invalid value; {_OBJECT}")
    for name, value in loaded.items():
        if not _ENV_NAME.fullmatch(name) or name == "." or name.startswith(".."):
            raise ValueError(
                f"invalid name {shown(name)}; expected letters, digits, - _ and . without a digit or .. first"
            )
        if name.startswith("OTTO_"):
            raise ValueError(f"invalid name {shown(name)}; names that begin with OTTO_ are reserved")
        if not isinstance(value, str):
            raise ValueError(f"the value of {shown(name)} is not a string; expected a JSON object of strings")
        _string(value, len(name) + 1)
    return loaded


def metadata_json(metadata: Mapping[str, str]) -> str:
    """Metadata as JSON, in the same form everywhere: in the annotation, ``OTTO_METADATA`` and results."""
    return _COMPACT.encode(metadata) if metadata else "{}"


def told_metadata(metadata: Mapping[str, str]) -> str | None:
    """The metadata for a log line; ``None``, which the log leaves out, if there is none."""
    return metadata_json(metadata) if metadata else None


def _is_list(text: str) -> bool:
    """Whether ``text`` is a JSON list or was meant to be one. It is not parsed; linear in its length."""
    text = text.strip(_BLANKS)
    if not text.startswith("[") or _TEST.match(text):
        return False
    return text.endswith("]") or bool(_LIST.match(text))


def _strings(text: str) -> tuple[str, ...]:
    try:
        loaded = _json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{_not_json(error)} ({_LISTS})") from None
    if not isinstance(loaded, list) or not all(isinstance(item, str) for item in loaded):
        raise ValueError('invalid value; expected a JSON list of strings, such as ["1", "2"]')
    return tuple(_string(item) for item in loaded)


def _string(text: str, beside: int = 0) -> str:
    """``text`` itself. Raises ``ValueError`` if the kernel cannot pass it to a process."""
    if "\0" in text:
        raise ValueError("contains a NUL character, which no process can receive")
    try:
        size = len(text.encode()) + beside
    except UnicodeEncodeError:
        raise ValueError("contains an unpaired surrogate, which is not a character") from None
    if size > MAX_STRING:
        raise ValueError(f"contains a string of {size} bytes; expected at most {MAX_STRING}")
    return text


def _json(text: str) -> Any:
    if _opened(text) > MAX_NESTED and _opened(_JSON_STRING.sub("", text)) > MAX_NESTED:
        raise ValueError("contains nested lists or objects; expected only strings")
    return _STRICT.decode(text)


def _opened(text: str) -> int:
    return text.count("[") + text.count("{")


def _not_json(error: json.JSONDecodeError) -> str:
    return f"invalid JSON: {error.msg} at character {error.pos + 1}"


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON readers differ in which of two equal keys they use. A policy must not depend on that.
    loaded = dict(pairs)
    if len(loaded) < len(pairs):
        raise ValueError("duplicate key; expected each key once")
    return loaded


def _no_constant(name: str) -> Any:
    raise ValueError(f"invalid JSON: {name} is not a JSON value")


# A number is refused, whatever it is: only strings are expected. int() refuses one of more than 4,300 digits
# with words that mean nothing to a producer.
_STRICT = json.JSONDecoder(object_pairs_hook=_once_each, parse_constant=_no_constant, parse_int=float)
