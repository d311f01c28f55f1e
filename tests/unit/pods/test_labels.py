"""Task ids as label values."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottoscaler.pods.labels import label_value

# As the API server checks a label's value.
VALID = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@pytest.mark.parametrize("task_id", ["build-17", "1717171717171-0", "a", "A_b.c", "x" * 54])
def test_task_id_that_is_a_label_value_stays_itself(task_id: str) -> None:
    assert label_value(task_id) == task_id


@pytest.mark.parametrize(
    ("task_id", "readable"),
    [
        ("build 17", "build-17-"),
        ("x" * 55, "x" * 54 + "-"),
        ("ci/main#3", "ci-main-3-"),
        ("-x", "x-"),
        ("x.", "x.-"),
        ("日本", ""),
        ("...", ""),
        ("é", ""),
        ("a\nb", "a-b-"),
    ],
)
def test_changed_task_id_carries_its_digest(task_id: str, readable: str) -> None:
    assert label_value(task_id) == readable + digest(task_id)


def test_task_ids_that_look_alike_get_different_labels() -> None:
    alike = ["build 17", "build-17", "build/17", "build#17", "build-17\n"]
    assert len({label_value(task_id) for task_id in alike}) == len(alike)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=256))
def test_any_task_id_makes_a_valid_label(task_id: str) -> None:
    value = label_value(task_id)
    assert len(value) <= 63
    assert VALID.fullmatch(value)
