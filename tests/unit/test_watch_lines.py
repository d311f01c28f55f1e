"""A watch's lines are read without the server's book-keeping, and never otherwise changed."""

from __future__ import annotations

import json
from typing import Any

from ottoscaler.pods import _without_managed_fields


def line(metadata: dict[str, Any], spec: dict[str, Any]) -> bytes:
    event = {"type": "MODIFIED", "object": {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}}
    return json.dumps(event, separators=(",", ":")).encode()


MANAGED = [{"manager": "kubelet", "fieldsV1": {"f:spec": {'k:{"name":"worker"}': {}}}}, {"manager": "x"}]
SPEC = {"containers": [{"name": "worker"}]}


def test_managed_fields_are_left_out() -> None:
    slim = json.loads(_without_managed_fields(line({"name": "a", "managedFields": MANAGED}, SPEC)))
    assert slim["object"]["metadata"] == {"name": "a"}
    assert slim["object"]["spec"] == SPEC


def test_line_without_them_stays_as_it_is() -> None:
    plain = line({"name": "a"}, SPEC)
    assert _without_managed_fields(plain) == plain


def test_line_laid_out_otherwise_stays_whole() -> None:
    odd = line({"managedFields": MANAGED, "name": "a"}, SPEC)
    assert json.loads(_without_managed_fields(odd)) == json.loads(odd)


def test_users_text_cannot_pass_for_them() -> None:
    words = {"annotation": ',"managedFields":[{}]},"spec":{"evil":true', "name": "a"}
    crafted = line(words, SPEC)
    assert json.loads(_without_managed_fields(crafted)) == json.loads(crafted)
    both = line({**words, "managedFields": MANAGED}, SPEC)
    assert json.loads(_without_managed_fields(both))["object"]["metadata"] == words
