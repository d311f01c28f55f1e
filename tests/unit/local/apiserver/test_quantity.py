"""Quantities: value, canonical form, and what is none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottoscaler.local.apiserver import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"),
        ("100m", "0.1"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        (".5", "0.5"),
    ],
)
def test_quantity_has_its_value(text: str, value: str) -> None:
    assert quantity.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "abc", "1Q", "1 Gi", "--1", "1.2.3", "0x10", "1KiB"])
def test_other_text_is_no_quantity(text: str) -> None:
    with pytest.raises(quantity.BadQuantity):
        quantity.parse(text)


@given(st.integers(0, 10**15), st.sampled_from(["", "m", "k", "M", "Ki", "Mi"]))
def test_canonical_form_is_stable_and_never_less(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    canonical = quantity.canonical(text)
    assert quantity.canonical(canonical) == canonical
    assert quantity.parse(canonical) == quantity.parse(text)
