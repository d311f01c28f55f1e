"""Protobuf that is not what kubectl sends costs its own request only."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ottoscaler.local.apiserver.protobuf import as_json

TYPE = bytes.fromhex("0a0f0a027631120943 6f6e6669674d6170")  # v1, ConfigMap
RAW = bytes.fromhex("120d 0a030a0163 12060a016b120176".replace(" ", ""))  # named c, with k: v


def test_object_is_read_with_its_type() -> None:
    told = as_json(b"k8s\0" + TYPE + RAW)
    assert told is not None
    assert json.loads(told) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"k": "v"},
    }


def test_object_with_a_field_that_is_not_known_is_not_read_without_it() -> None:
    assert as_json(b"k8s\0" + TYPE + bytes.fromhex("1203 2a01 61".replace(" ", ""))) is None


@given(st.binary(max_size=60), st.integers(0, len(TYPE + RAW)))
def test_whatever_follows_is_read_or_is_none(rest: bytes, kept: int) -> None:
    told = as_json(b"k8s\0" + (TYPE + RAW)[:kept] + rest)
    assert told is None or isinstance(json.loads(told), dict)
