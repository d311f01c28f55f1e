"""Kubernetes quantities, read exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottoscaler.events.quantities import parse, problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Fraction(0)),
        ("500m", Fraction(1, 2)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("1k", Fraction(1000)),
        ("1Ki", Fraction(1024)),
        ("32Gi", Fraction(32 * 2**30)),
        ("1.5Gi", Fraction(3 * 2**29)),
        ("2E", Fraction(2 * 10**18)),
        ("2Ei", Fraction(2 * 2**60)),
        ("2e3", Fraction(2000)),
        ("2E3", Fraction(2000)),
        ("2e-3", Fraction(1, 500)),
        ("1n", Fraction(1, 10**9)),
        ("100u", Fraction(1, 10**4)),
        ("-1", Fraction(-1)),
        ("+1", Fraction(1)),
    ],
)
def test_every_suffix_has_its_exact_value(text: str, value: Fraction) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1 ",
        " 1",
        "1K",
        "1ki",
        "1mi",
        "1Mib",
        "1e",
        "1e1.5",
        "1_0",
        "0x10",
        "１",
        "٣",
        "1\n",
        "nan",
        "inf",
        "1,5",
        "1e31",
        "1e999999999",
        "9" * 41,
    ],
)
def test_what_the_api_server_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|exponent"):
        parse(text)


def test_limits_are_compared_by_value_not_by_spelling() -> None:
    assert problem("8000m", at_most="8", at_least="1m") is None
    assert problem("8001m", at_most="8", at_least="1m") == "above the operator's limit of 8"
    assert problem("1m", at_most="8", at_least="0.001") is None
    assert problem("32769Mi", at_most="32Gi", at_least="1") == "above the operator's limit of 32Gi"
    assert problem("0", at_most="8", at_least="1m") == "not above 0"
    assert problem("-1", at_most="8", at_least="1m") == "not above 0"


def test_memory_in_thousandths_of_a_byte_is_told_apart_from_megabytes() -> None:
    assert "smallest useful amount" in (problem("128m", at_most="32Gi", at_least="1") or "")


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="0123456789.+-eEmkKMGTPinu١ ", max_size=45))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    try:
        value = parse(text)
    except ValueError:
        return
    assert abs(value) < Fraction(10) ** 80
