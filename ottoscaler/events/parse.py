"""Turns a stream entry's raw fields into a ``ScaleUp`` or a ``ScaleDown`` (docs/events.md).

Every rule of the event reference (docs/events.md) is applied here, except those that depend on a template
(:mod:`ottoscaler.pods.plan`). Nothing is clamped or guessed: an event that breaks a rule raises a
:class:`~ottoscaler.errors.BadEvent` that names each such field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

from ottoscaler.errors import BadEvent
from ottoscaler.events import field_names, field_rules, values
from ottoscaler.events.images import ImagePolicy
from ottoscaler.model import MOST_TAKEN_AWAY, KeepLogs, ScaleDown, ScaleUp

PRIORITY_BOUND = 2**31 - 1  # the largest signed 32-bit number; the lowest priority is its negative

_JSON_TYPE = re.compile(r'"type"\s*:')
_NOT_OF_A_SCALE_DOWN = {
    "image": field_names.SELECTS,  # a producer may take image and profile for a filter
    "profile": field_names.SELECTS,
    "dedup_key": "only a scale_up can be sent twice and run once",
}

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True)
class Limits:
    """The most that an event may ask for, from the operator's settings. Times are whole seconds."""

    max_pods_per_event: int
    max_event_bytes: int
    max_timeout_seconds: int
    max_event_retries: int
    max_cpu: str
    max_memory: str
    allowed_images: ImagePolicy
    unknown_fields: Literal["suspect", "metadata", "refuse"]
    max_logs: KeepLogs

    @cached_property
    def scale_up_fields(self) -> Mapping[str, Callable[[str], object]]:
        """The readers of a scale_up's fields, in the order in which problems are told."""
        return {
            "pod_count": values.integer(1, self.max_pods_per_event),
            "task_id": field_rules.task_id,
            "image": field_rules.image(self.allowed_images),
            "command": values.command,
            "args": values.arguments,
            "env": values.environment,
            "cpu": field_rules.quantity("cpu", self.max_cpu),
            "memory": field_rules.quantity("memory", self.max_memory),
            "profile": field_rules.profile,
            "timeout_seconds": values.integer(1, self.max_timeout_seconds),
            "max_retries": values.integer(0, self.max_event_retries),
            "priority": values.integer(-PRIORITY_BOUND, PRIORITY_BOUND),
            "expires_at": values.seconds,
            "dedup_key": field_rules.dedup_key,
            "logs": field_rules.logs(self.max_logs),
        }


def parse_event(event_id: str, fields: Sequence[tuple[bytes, bytes]], limits: Limits) -> ScaleUp | ScaleDown:
    """Read one stream entry. Any thread; the cost is linear in the event's bytes.

    Raises only ``BadEvent``. Its text names every wrong field, its value, and what is expected. Values are
    shortened, and those of ``env``, ``command`` and ``args``, which may hold secrets, are left out.
    """
    size = sum(len(name) + len(value) for name, value in fields)
    if size > limits.max_event_bytes:
        raise BadEvent(f"the event has {size} bytes; the limit is {limits.max_event_bytes}")
    reading = _Reading(_decode(fields))
    kind = reading.take("type", field_rules.event_type, None)
    if kind is None and not reading.problems:
        reading.problems.append("type: missing; expected scale_up or scale_down")
        reading.problems += _instead_of_type(reading.fields, limits)
    event: ScaleUp | ScaleDown | None = None
    if kind == "scale_up":
        event = _scale_up(event_id, reading, limits)
    elif kind == "scale_down":
        event = _scale_down(event_id, reading, limits)
    if event is None or reading.problems:
        raise BadEvent(". ".join(reading.problems))
    return event


class _Reading:
    """The fields that are not read yet, and the problems found so far."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        self.asked: list[str] = []
        self.given: set[str] = set()  # names of known fields that the event has
        self.problems: list[str] = []

    def take(self, name: str, read: Callable[[str], T], default: D) -> T | D:
        """Remove a field and return its value. After a problem, which is noted, return the default."""
        self.asked.append(name)
        text = self.fields.pop(name, None)
        if text is None:
            return default
        self.given.add(name)
        try:
            return read(text)
        except ValueError as problem:
            self.problems.append(f"{name}: {problem}")
            return default


def _decode(fields: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    decoded: dict[str, str] = {}
    for raw_name, raw_value in fields:
        try:
            name = raw_name.decode()
        except UnicodeDecodeError:
            raise BadEvent(f"the field name {values.shown(raw_name)} is not UTF-8") from None
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            raise BadEvent(f"the value of field {values.shown(name)} is not UTF-8") from None
        if name in decoded:
            raise BadEvent(f"field {values.shown(name)} appears twice; expected each field once")
        decoded[name] = value
    return decoded


def _scale_up(event_id: str, reading: _Reading, limits: Limits) -> ScaleUp:
    if "pod_count" not in reading.fields:
        reading.problems.append(
            f"pod_count: missing; expected an integer from 1 to {limits.max_pods_per_event}"
        )
    given: dict[str, Any] = {"pod_count": 1}
    for name, read in limits.scale_up_fields.items():
        if name not in reading.fields:  # as most of them
            reading.asked.append(name)
        elif (value := reading.take(name, read, None)) is not None:
            given[name] = value
    given.setdefault("task_id", event_id)
    return ScaleUp(event_id=event_id, metadata=_metadata(reading, limits), **given)


def _scale_down(event_id: str, reading: _Reading, limits: Limits) -> ScaleDown:
    for name, instead in _NOT_OF_A_SCALE_DOWN.items():
        reading.take(name, field_rules.refused(instead), None)
    pod_count_given, problems_before = "pod_count" in reading.fields, len(reading.problems)
    task_id = reading.take("task_id", field_rules.task_id, None)
    task_id_wrong = len(reading.problems) > problems_before
    pod_count = reading.take("pod_count", values.integer(1, MOST_TAKEN_AWAY), None)
    if not (task_id or task_id_wrong or pod_count_given):
        reading.problems.append("task_id and pod_count: both missing; expected at least one of them")
    return ScaleDown(
        event_id=event_id,
        task_id=task_id,
        pod_count=pod_count,
        keep_running=reading.take("running", field_rules.running, False),
        expires_at=reading.take("expires_at", values.seconds, None),
        metadata=_metadata(reading, limits),
    )


def _metadata(reading: _Reading, limits: Limits) -> Mapping[str, str]:
    """The fields that no rule uses. Their JSON must fit into one environment variable, ``OTTO_METADATA``."""
    if not reading.fields:
        return {}
    reading.problems += field_names.mark_problems(reading.fields, reading.given)
    if limits.unknown_fields != "metadata":
        reading.problems += field_names.problems(
            reading.fields, reading.asked, type_given=True, refuse=limits.unknown_fields == "refuse"
        )
    metadata = {name.removeprefix(field_names.META): value for name, value in reading.fields.items()}
    size = len(values.metadata_json(metadata).encode()) + len("OTTO_METADATA=")
    if size > values.MAX_STRING:
        reading.problems.append(
            f"the other fields make {size} bytes of metadata as JSON; expected at most {values.MAX_STRING}"
        )
    return metadata


def _instead_of_type(fields: Mapping[str, str], limits: Limits) -> list[str]:
    """Sentences about fields in which the producer may have written the missing type."""
    for name, value in fields.items():
        if value.lstrip().startswith("{") and _JSON_TYPE.search(value):
            return [
                f"Field {values.shown(name)} holds a JSON object with a type in it, but an event's fields "
                "are flat: send each member of the object as a field of the entry"
            ]
    if limits.unknown_fields == "metadata":
        return []
    return field_names.problems(fields, ("type",), type_given=False, refuse=False)
