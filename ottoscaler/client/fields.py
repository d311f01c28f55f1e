"""Turns typed arguments into an event's flat fields, and checks them by the rules that every service applies,
whatever its settings are."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from ottoscaler.client.errors import BadRequest
from ottoscaler.errors import BadEvent
from ottoscaler.events.field_names import META
from ottoscaler.events.images import ImagePolicy, Reference
from ottoscaler.events.parse import Limits, parse_event
from ottoscaler.model import Event, KeepLogs

Fields: TypeAlias = "Sequence[tuple[bytes, bytes]]"
Text: TypeAlias = "str | Sequence[str]"


class _AnyImage(ImagePolicy):
    """Allows every well-formed name, because only the service knows which images it allows."""

    def allows(self, reference: Reference) -> bool:  # noqa: ARG002
        return True


# The highest values that the operator's settings can have (ottoscaler.config.settings).
LOOSEST = Limits(
    max_pods_per_event=100_000,
    max_event_bytes=1_048_576,
    max_timeout_seconds=365 * 86_400,
    max_event_retries=100,
    max_cpu="1000000",
    max_memory="1Ei",
    allowed_images=_AnyImage(()),
    unknown_fields="metadata",
    max_logs=KeepLogs.ALL,
)


def check(fields: Fields) -> Event:
    """The event, if some service could accept it. Raises BadRequest with a sentence for each wrong field."""
    if not isinstance(fields, Sequence) or not all(map(_is_pair, fields)):
        raise BadRequest("fields: expected a list of pairs of bytes, such as [(b'type', b'scale_up')]")
    try:
        return parse_event("0-1", fields, LOOSEST)
    except BadEvent as error:
        raise BadRequest(_with_misspelt(fields) or str(error)) from None


def _is_pair(found: object) -> bool:
    return isinstance(found, tuple | list) and len(found) == 2 and all(isinstance(i, bytes) for i in found)


def _with_misspelt(fields: Fields) -> str:
    """What is wrong with an event that every service refuses, with the fields that are probably misspelt."""
    try:
        parse_event("0-1", fields, replace(LOOSEST, unknown_fields="suspect"))
    except BadEvent as error:
        return str(error)
    return ""


def with_dedup_key(fields: Fields) -> Fields:
    """A scale_up's fields with a ``dedup_key``; one is made if there is none. With it, the event may be sent
    again after an XADD without an answer. A scale_down cannot have one, so its fields are returned as they
    are."""
    given = dict(fields)
    if given.get(b"type") != b"scale_up" or given.get(b"dedup_key"):
        return fields
    others = [pair for pair in fields if pair[0] != b"dedup_key"]  # an empty one is as good as none
    return [*others, (b"dedup_key", secrets.token_hex(16).encode())]


def flat(event_type: str, values: Mapping[str, Any], metadata: Mapping[str, str] | None) -> Fields:
    """The fields of an event, without those that are ``None``. Raises BadRequest for a wrong type."""
    found = [("type", event_type)]
    found += [(name, _READERS[name](name, value)) for name, value in values.items() if value is not None]
    if metadata is not None and not isinstance(metadata, Mapping):
        raise BadRequest(f"metadata: expected a dictionary of strings, not {type(metadata).__name__}")
    for name, value in (metadata or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadRequest(f"metadata: {name!r} is not a string with a string for its value")
        found.append((META + name, value))  # the prefix keeps the name from being taken for a field
    try:
        return [(name.encode(), value.encode()) for name, value in found]
    except UnicodeEncodeError:
        raise BadRequest("a value contains an unpaired surrogate, which is not a character") from None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{name}: expected a string, not {type(value).__name__}")
    return value


def _whole(name: str, value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(f"{name}: expected an integer, not {type(value).__name__}")
    return str(value)


def _words(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{name}: expected a string or a list of strings")
    return json.dumps(list(value))


def _map(name: str, value: object) -> str:
    if not isinstance(value, Mapping) or not all(isinstance(i, str) for pair in value.items() for i in pair):
        raise BadRequest(f"{name}: expected a dictionary of strings")
    return json.dumps(dict(value))


def _moment(name: str, value: object) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BadRequest(f"{name}: this datetime has no time zone; give one, such as datetime.UTC")
        value = value.timestamp()
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadRequest(f"{name}: expected Unix seconds or a datetime, not {type(value).__name__}")
    return f"{value:.3f}" if isinstance(value, float) else str(value)


_READERS = {
    "pod_count": _whole,
    "task_id": _text,
    "image": _text,
    "command": _words,
    "args": _words,
    "env": _map,
    "cpu": _text,
    "memory": _text,
    "profile": _text,
    "timeout_seconds": _whole,
    "max_retries": _whole,
    "priority": _whole,
    "expires_at": _moment,
    "dedup_key": _text,
    "logs": _text,
    "running": _text,
}
