"""Kubernetes quantities, such as ``500m`` and ``1Gi``: read, compared, and written in canonical form."""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal
from functools import lru_cache

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?")


LARGEST = Decimal(2**63 - 1)  # apimachinery's cap; with nano units it still fits Decimal's 28 digits


class BadQuantity(ValueError):
    """The text is not a quantity."""


@lru_cache(maxsize=4096)
def parse(text: str) -> Decimal:
    """The quantity's value, rounded up to whole nano units as Kubernetes does. Raises BadQuantity."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadQuantity(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, exponent, suffix = match.groups()
    value = Decimal(number + (exponent or ""))
    if suffix in _BINARY:
        value *= 1024 ** _BINARY[suffix]
    elif suffix:
        value = value.scaleb(_DECIMAL[suffix])
    value = max(-LARGEST, min(LARGEST, value))
    return value.quantize(Decimal("1e-9"), rounding=ROUND_UP) if value % Decimal("1e-9") else value


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The form in which a Pod's resources are stored: ``500m`` for ``0.5``, ``1Gi`` for ``1024Mi``.

    The value is rounded up to whole milli units, as the API server's defaulting does. Raises BadQuantity.
    """
    value = parse(text)
    if value % Decimal("1e-3"):
        return decimal(value.quantize(Decimal("1e-3"), rounding=ROUND_UP))
    match = _FORM.fullmatch(text)
    if match is not None and match.group(3) in _BINARY and value == value.to_integral_value():
        return _binary(int(value))
    if match is not None and match.group(2):
        return _scientific(value)
    return decimal(value)


def _binary(value: int) -> str:
    for suffix, power in reversed(_BINARY.items()):
        if value and value % 1024**power == 0:
            return f"{value // 1024**power}{suffix}"
    return str(value)


def _scientific(value: Decimal) -> str:
    for exponent in (18, 15, 12, 9, 6, 3, 0, -3, -6):
        scaled = value.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}e{exponent}" if exponent and value else str(int(scaled))
    return f"{int(value.scaleb(9))}e-9"


def decimal(value: Decimal) -> str:
    """A value in decimal form, with the largest suffix that makes the number an integer."""
    if not value:
        return "0"
    for suffix, power in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return f"{int(value.scaleb(9))}n"
