from __future__ import annotations

from typing import Any

import pytest

from ottoscaler.cli.dropped_fields import dropped

CASES: list[tuple[Any, Any, list[str]]] = [
    ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
    ({"a": {"b": 1}}, {"a": {}}, ["a.b"]),
    ({"a": {"b": 1}}, {}, ["a"]),
    ({"cpu": "1000m"}, {"cpu": "1"}, []),  # a value in another form
    ({"a": False, "b": 0, "c": "", "d": [], "e": None}, {}, []),  # left out, since they say nothing
    ({"l": [{"x": 1, "y": 2}]}, {"l": [{"x": 1}]}, ["l[0].y"]),
    # a sidecar that admission put in front
    ({"l": [{"name": "worker", "y": 2}]}, {"l": [{"name": "mesh"}, {"name": "worker"}]}, ["l[0].y"]),
    ({"l": ["a", "b"]}, {"l": ["b"]}, []),
]


@pytest.mark.parametrize(("sent", "kept", "expected"), CASES)
def test_dropped_field_is_one_that_says_something_and_did_not_come_back(
    sent: Any, kept: Any, expected: list[str]
) -> None:
    assert dropped(sent, kept) == expected
