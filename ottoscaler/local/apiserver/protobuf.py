"""Reads what ``kubectl create`` and ``kubectl auth`` send as protobuf (seen with 1.36), as JSON.

The field numbers are those of ``generated.proto`` in Kubernetes' packages api and apimachinery. Objects of
other kinds or with other fields stay as they are, and the API refuses their media type.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from ottoscaler.model import JsonObject

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_LONGEST_VARINT = 10  # bytes of a 64-bit number

# A field's shape: str, bytes (base64 in JSON), bool, [shape] where it is repeated, {"*": shape} for a map of
# texts to it, {number: (name, shape)} for a message, IGNORED for what the server sets anyway.
_Shape = Any
IGNORED: _Shape = None
QUANTITY: _Shape = "quantity"  # a message of one text, which is that text in JSON
_TEXTS: _Shape = {"*": str}
_METADATA: _Shape = {
    1: ("name", str),
    2: ("generateName", str),
    3: ("namespace", str),
    7: ("generation", IGNORED),
    4: ("selfLink", IGNORED),
    5: ("uid", str),
    6: ("resourceVersion", str),
    8: ("creationTimestamp", IGNORED),
    11: ("labels", _TEXTS),
    12: ("annotations", _TEXTS),
    14: ("finalizers", [str]),
}
_RESOURCE: _Shape = dict(
    enumerate(
        (
            (name, str)
            for name in ("namespace", "verb", "group", "version", "resource", "subresource", "name")
        ),
        1,
    )
)
_REVIEWED: _Shape = {
    1: ("resourceAttributes", _RESOURCE),
    2: ("nonResourceAttributes", {1: ("path", str), 2: ("verb", str)}),
}
_SPEC_AND_STATUS = {3: ("status", IGNORED)}
_KINDS: dict[str, dict[int, tuple[str, _Shape]]] = {
    "Namespace": {2: ("spec", {1: ("finalizers", [str])}), **_SPEC_AND_STATUS},
    "ResourceQuota": {2: ("spec", {1: ("hard", {"*": QUANTITY}), 2: ("scopes", [str])}), **_SPEC_AND_STATUS},
    "ConfigMap": {2: ("data", _TEXTS), 3: ("binaryData", {"*": bytes}), 4: ("immutable", bool)},
    "Secret": {
        2: ("data", {"*": bytes}),
        3: ("type", str),
        4: ("stringData", _TEXTS),
        5: ("immutable", bool),
    },
    "ServiceAccount": {4: ("automountServiceAccountToken", bool)},
    "SelfSubjectAccessReview": {2: ("spec", _REVIEWED), **_SPEC_AND_STATUS},
    "SelfSubjectRulesReview": {2: ("spec", {1: ("namespace", str)}), **_SPEC_AND_STATUS},
}
_ENVELOPE: _Shape = {
    1: ("type", {1: ("apiVersion", str), 2: ("kind", str)}),
    2: ("raw", bytes),
    3: ("contentEncoding", IGNORED),
    4: ("contentType", IGNORED),
}


def as_json(body: bytes) -> bytes | None:
    """The object as JSON, or ``None`` if it is not one of ``_KINDS`` with fields named here."""
    if not body.startswith(_MAGIC):
        return None
    try:
        envelope = _message(body[len(_MAGIC) :], _ENVELOPE)
        named: JsonObject = envelope["type"]
        fields = {1: ("metadata", _METADATA), **_KINDS[named["kind"]]}
        obj = _message(base64.b64decode(envelope.get("raw", "")), fields)
    except (KeyError, ValueError):
        return None
    return json.dumps({**named, **obj}).encode()


def _message(data: bytes, fields: _Shape) -> JsonObject:
    """A message's fields without those that are empty. Raises KeyError for a field that is not in ``fields``,
    and ValueError for what is no message."""
    found: JsonObject = {}
    for number, value in _wire(data):
        name, shape = fields[number]
        if shape is IGNORED:
            continue
        if isinstance(shape, list):
            found.setdefault(name, []).append(_value(value, shape[0]))
        elif isinstance(shape, dict) and "*" in shape:
            pair = dict(_wire(_piece(value)))
            key, inner = _value(pair.get(1, b""), str), pair.get(2, b"")
            found.setdefault(name, {})[key] = _value(inner, shape["*"])
        elif (read := _value(value, shape)) not in ("", False, 0, {}):
            found[name] = read
    return found


def _value(value: int | bytes, shape: _Shape) -> Any:
    if shape is bool:
        return bool(value)
    piece = _piece(value)
    if shape is bytes:
        return base64.b64encode(piece).decode()
    if shape is str:
        return piece.decode()
    if shape is QUANTITY:
        return _message(piece, {1: ("text", str)}).get("text", "0")
    return _message(piece, shape)


def _piece(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where text or a message is expected")
    return value


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field's number and value. Numbers of fixed width are in no object that is read here."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        if key & 7 == 2:
            if at + value > len(data):
                raise ValueError("it is cut off")
            yield key >> 3, data[at : at + value]
            at += value
        elif key & 7 == 0:
            yield key >> 3, value
        else:
            raise ValueError(f"wire type {key & 7} is not read")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at + place + 1
    raise ValueError("it is cut off")
