"""Kubernetes quantities (``500m``, ``1.5Gi``, ``2e3``) as exact numbers, to compare them with a limit."""

from __future__ import annotations

import re
from fractions import Fraction

MAX_LENGTH = 40  # characters; the API server's own canonical forms are shorter than 25
MAX_EXPONENT = 30  # beyond 2**63 (19 digits) the API server clamps; 1e999999999 would fill the memory

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
# Only ASCII digits: int() also takes digits of other scripts, which the API server refuses.
_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
# Other systems write an amount of memory like this: 512m, 512mb, 512 MB, 1g, 1GiB.
_BYTES = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([kmgt])(?:i?b?)", re.IGNORECASE)
_MILLICORES = re.compile(r"([0-9]{1,12}) ?(?:m|millicores)", re.IGNORECASE)


def parse(text: str) -> Fraction:
    """The exact value of a quantity: cores for cpu, bytes for memory.

    Any thread. Raises ``ValueError``, with a clause that says what is wrong, for a text that the API server
    would refuse as a quantity and for an exponent beyond :data:`MAX_EXPONENT`.
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise ValueError("not a Kubernetes quantity such as 500m, 2, 1.5Gi or 64Mi")
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"an exponent beyond {MAX_EXPONENT}")
    value = Fraction(match["number"].rstrip("."))
    suffix = match["suffix"] or ""
    if suffix in _BINARY:
        value *= 2 ** _BINARY[suffix]
    else:
        value *= Fraction(10) ** (_DECIMAL[suffix] + exponent)
    return -value if match["sign"] == "-" else value


def problem(text: str, *, at_most: str, at_least: str) -> str | None:
    """A clause that says why ``text`` is not a quantity between the two bounds; ``None`` if it is one."""
    try:
        value = parse(text)
    except ValueError as error:
        return str(error)
    if value <= 0:
        return "not above 0"
    if value < parse(at_least):
        return f"below the smallest useful amount of {at_least}"
    if value > parse(at_most):
        return f"above the operator's limit of {at_most}"
    return None


def meant(resource: str, text: str) -> str:
    """The quantity that a refused ``text`` was probably meant to be, or an empty text."""
    if resource == "memory" and (match := _BYTES.fullmatch(text)):
        return f"{match[1]}{match[2].upper()}i"
    if resource == "cpu" and (match := _MILLICORES.fullmatch(text)):
        return f"{match[1]}m"
    return ""
