"""Decodes the API server's answers, and accepts only those that have the shape of Kubernetes objects.

Anything else (a proxy's page, an empty body, a null where an object belongs) raises UnusableAnswer, and the
call may be tried again. It is never taken for "no Pods" or for "gone".
"""

from __future__ import annotations

import json
from typing import Any

from ottoscaler.errors import UnusableAnswer
from ottoscaler.model import JsonObject

# The API server sends 5 kB with each change of a Pod. Half of that is its own book-keeping, and a third
# repeats the create. slim() drops both before the JSON is parsed. The byte strings that it searches for
# cannot occur inside a JSON string, where quotes are escaped. A text with another layout is left whole.
SPEC = b'},"spec":{'  # follows the metadata
STATUS = b'},"status":{'  # follows the spec
MANAGED = b',"managedFields":['  # the last field of the metadata
NODE = b'"nodeName":"'


def parsed(verb: str, data: bytes) -> JsonObject:
    """The JSON object of an answer. Raises UnusableAnswer."""
    try:
        answer = json.loads(data.decode())  # given bytes, it would guess the encoding each time
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"{verb}: the answer is not JSON: a proxy's?") from error
    if not isinstance(answer, dict):
        raise UnusableAnswer(f"{verb}: the answer is not a JSON object")
    return answer


def pod(verb: str, answer: JsonObject, name: str = "") -> JsonObject:
    """The same answer, if it is a Pod with a name (``name``, if that is given) and a UID. Raises
    UnusableAnswer otherwise."""
    if not is_pod(answer):
        raise UnusableAnswer(f"{verb}: the answer is not a Pod with a name and a uid")
    if name not in ("", answer["metadata"]["name"]):
        raise UnusableAnswer(f"{verb}: the answer is not about {name}")
    return answer


def warnings(answer: JsonObject) -> list[str]:
    """The reason and message of each Event in a list, ordered by when they were last reported."""
    items = answer.get("items")
    told = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    told.sort(key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
    return [f"{item.get('reason') or 'Warning'}: {item.get('message') or ''}".strip(": ") for item in told]


def is_pod(value: Any) -> bool:
    """Whether it is an object with a name and a UID."""
    meta = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(meta, dict):
        return False
    name, uid = meta.get("name"), meta.get("uid")
    return isinstance(name, str) and isinstance(uid, str) and bool(name and uid)


def slim(text: bytes) -> bytes:
    """A Pod's or a watch event's text without ``managedFields``, and with only ``nodeName`` of the spec."""
    parts = cut(text)
    if parts is None:
        return text
    end, node, status = parts
    return b"".join((text[:end], SPEC, node, text[status:]))


def cut(text: bytes, begin: int = 0) -> tuple[int, bytes, int] | None:
    """Where the part of the metadata that is used ends, the spec's ``nodeName``, and where STATUS stands.

    The node's name comes with the field's name and its quotes, or is empty. The search for the metadata's
    end starts at ``begin``. ``None`` for a text with another layout, or if the name may be another field's,
    such as a node selector's: if there are two, or it is in an object inside the spec, or has an escape.
    """
    spec, status = text.find(SPEC, begin), text.rfind(STATUS)
    if not 0 <= spec < status:
        return None
    node, named = text.find(NODE, spec, status), b""
    if node > 0:
        named = text[node : text.find(b'"', node + len(NODE)) + 1]
        # The spec's own name of a node follows its containers, so the last brace before it is a closing one.
        inside = text.rfind(b"{", spec, node) > text.rfind(b"}", spec, node)
        if inside or b"\\" in named or text.find(NODE, node + 1, status) > 0:
            return None
    managed = text.find(MANAGED, begin, spec)
    return (managed if managed > 0 and text[spec - 1 : spec] == b"]" else spec), named, status
