"""From a stream entry's raw fields to a ``ScaleUp`` or a ``ScaleDown`` (DESIGN.md 3.2).

Every rule of the event reference (docs/events.md) is applied here, except those that only a template
can decide (:mod:`ottoscaler.pods.plan`). Nothing is clamped or guessed: what breaks a rule is a
:class:`~ottoscaler.errors.BadEvent` that names each field in question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ottoscaler.errors import BadEvent
from ottoscaler.events import quantities
from ottoscaler.events import values as fieldvalues
from ottoscaler.events.images import ImagePolicy
from ottoscaler.events.values import MAX_TASK_ID
from ottoscaler.model import ScaleDown, ScaleUp

MAX_SCALE_DOWN = 1_000_000  # workers: more than any installation runs, few enough to stay a plain number
PRIORITY_BOUND = 2**31 - 1  # what a signed 32-bit number holds, both ways
SMALLEST = {"cpu": "1m", "memory": "1"}  # finer parts the API server would round, with a warning to nobody

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MISLEADING = ("image", "profile")  # on a scale_down they read like a filter, which they are not

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True)
class Limits:
    """What an event may ask for at most: the operator's settings of 3.1. Times are whole seconds."""

    max_pods_per_event: int
    max_event_bytes: int
    max_timeout_seconds: int
    max_event_retries: int
    max_cpu: str
    max_memory: str
    allowed_images: ImagePolicy


def parse_event(event_id: str, fields: Sequence[tuple[bytes, bytes]], limits: Limits) -> ScaleUp | ScaleDown:
    """Read one stream entry. Any thread; the cost is linear in the event's bytes.

    Raises ``BadEvent`` whose text names every wrong field, its value (shortened, and never that of
    ``env``, ``command`` or ``args``, which may hold secrets) and what is accepted. Nothing else.
    """
    size = sum(len(name) + len(value) for name, value in fields)
    if size > limits.max_event_bytes:
        raise BadEvent(f"the event has {size} bytes, more than the limit of {limits.max_event_bytes}")
    reading = _Reading(_decode(fields))
    kind = reading.take("type", _type, None)
    if kind is None and not reading.problems:
        reading.problems.append("type is missing: scale_up or scale_down is required")
    event: ScaleUp | ScaleDown | None = None
    if kind == "scale_up":
        event = _scale_up(event_id, reading, limits)
    elif kind == "scale_down":
        event = _scale_down(event_id, reading)
    if event is None or reading.problems:
        raise BadEvent("; ".join(reading.problems))
    return event


class _Reading:
    """The fields not taken yet, and the problems found so far."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        self.problems: list[str] = []

    def take(self, name: str, read: Callable[[str], T], default: D) -> T | D:
        """Take a field off and read it; a problem is noted, and the default stands in for the value."""
        text = self.fields.pop(name, None)
        if text is None:
            return default
        try:
            return read(text)
        except ValueError as problem:
            self.problems.append(f"{name} {problem}")
            return default


def _decode(fields: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    decoded: dict[str, str] = {}
    for raw_name, raw_value in fields:
        try:
            name = raw_name.decode()
        except UnicodeDecodeError:
            raise BadEvent(f"a field's name, {fieldvalues.shown(raw_name)}, is not UTF-8") from None
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            raise BadEvent(f"the value of field {fieldvalues.shown(name)} is not UTF-8") from None
        if name in decoded:
            raise BadEvent(f"field {fieldvalues.shown(name)} is given twice: each field may be given once")
        decoded[name] = value
    return decoded


def _scale_up(event_id: str, reading: _Reading, limits: Limits) -> ScaleUp:
    take = reading.take
    if "pod_count" not in reading.fields:
        reading.problems.append(f"pod_count is missing: a whole number from 1 to {limits.max_pods_per_event}")
    return ScaleUp(
        event_id=event_id,
        pod_count=take("pod_count", fieldvalues.integer(1, limits.max_pods_per_event), 1),
        task_id=take("task_id", _task_id, None) or event_id,
        image=take("image", _image(limits.allowed_images), None),
        command=take("command", fieldvalues.command, None),
        args=take("args", fieldvalues.arguments, None),
        env=take("env", fieldvalues.environment, {}),
        cpu=take("cpu", _quantity("cpu", limits.max_cpu), None),
        memory=take("memory", _quantity("memory", limits.max_memory), None),
        profile=take("profile", _profile, "default"),
        timeout_seconds=take("timeout_seconds", fieldvalues.integer(1, limits.max_timeout_seconds), None),
        max_retries=take("max_retries", fieldvalues.integer(0, limits.max_event_retries), None),
        priority=take("priority", fieldvalues.integer(-PRIORITY_BOUND, PRIORITY_BOUND), 0),
        expires_at=take("expires_at", fieldvalues.seconds, None),
        metadata=_metadata(reading),
    )


def _scale_down(event_id: str, reading: _Reading) -> ScaleDown:
    for name in _MISLEADING:
        if name in reading.fields:
            reading.problems.append(
                f"{name} does not choose workers: a scale_down takes task_id, pod_count and running=keep"
            )
    task_id = reading.take("task_id", _task_id, None)
    asked = "pod_count" in reading.fields
    pod_count = reading.take("pod_count", fieldvalues.integer(1, MAX_SCALE_DOWN), None)
    if not task_id and not asked:
        reading.problems.append("task_id and pod_count are both missing: a scale_down needs one of them")
    return ScaleDown(
        event_id=event_id,
        task_id=task_id,
        pod_count=pod_count,
        keep_running=reading.take("running", _running, False),
        expires_at=reading.take("expires_at", fieldvalues.seconds, None),
        metadata=_metadata(reading),
    )


def _type(text: str) -> str:
    if text not in ("scale_up", "scale_down"):
        raise ValueError(f"is {fieldvalues.shown(text)}: scale_up or scale_down is accepted")
    return text


def _task_id(text: str) -> str | None:
    if len(text) > MAX_TASK_ID:
        raise ValueError(
            f"{fieldvalues.shown(text)} has {len(text)} characters: up to {MAX_TASK_ID} are accepted"
        )
    if "\0" in text:
        raise ValueError(
            f"{fieldvalues.shown(text)} holds a NUL character, which no environment variable can"
        )
    return text or None


def _image(policy: ImagePolicy) -> Callable[[str], str]:
    def read(text: str) -> str:
        problem = policy.problem(text)
        if problem:
            raise ValueError(f"{fieldvalues.shown(text)} {problem}")
        return text

    return read


def _quantity(resource: str, at_most: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        problem = quantities.problem(text, at_most=at_most, at_least=SMALLEST[resource])
        if problem:
            raise ValueError(f"{fieldvalues.shown(text)} {problem}")
        return text

    return read


def _profile(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise ValueError(
            f"{fieldvalues.shown(text)} is not a template's name: up to 63 lower case letters, digits and -"
        )
    return text


def _running(text: str) -> bool:
    if text != "keep":
        raise ValueError(f"is {fieldvalues.shown(text)}: only keep is accepted")
    return True


def _metadata(reading: _Reading) -> Mapping[str, str]:
    """All that no rule has taken. Its JSON must fit into one environment variable, ``OTTO_METADATA``."""
    size = len(fieldvalues.metadata_json(reading.fields).encode()) + len("OTTO_METADATA=")
    if size > fieldvalues.MAX_STRING:
        reading.problems.append(
            f"the other fields make {size} bytes of metadata as JSON: "
            f"up to {fieldvalues.MAX_STRING} are accepted"
        )
    return reading.fields
