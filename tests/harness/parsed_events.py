"""Events as the parser reads them, under usual limits, and what it says of bad ones."""

from __future__ import annotations

import pytest

from ottoscaler.errors import BadEvent
from ottoscaler.events.images import ImagePolicy
from ottoscaler.events.parse import Limits, parse_event
from ottoscaler.model import KeepLogs, ScaleDown, ScaleUp

LIMITS = Limits(
    max_pods_per_event=1000,
    max_event_bytes=65536,
    max_timeout_seconds=86400,
    max_event_retries=10,
    max_cpu="8",
    max_memory="32Gi",
    allowed_images=ImagePolicy(["busybox:latest"]),
    unknown_fields="suspect",
    max_logs=KeepLogs.ALL,
)


def read(fields: dict[str, str], limits: Limits = LIMITS) -> ScaleUp | ScaleDown:
    """Read an event's fields."""
    return parse_event("1717-0", [(k.encode(), v.encode()) for k, v in fields.items()], limits)


def up(**fields: str) -> ScaleUp:
    """A scale_up of three workers with these fields."""
    event = read({"type": "scale_up", "pod_count": "3", **fields})
    assert isinstance(event, ScaleUp)
    return event


def down(**fields: str) -> ScaleDown:
    """A scale_down with these fields."""
    event = read({"type": "scale_down", **fields})
    assert isinstance(event, ScaleDown)
    return event


def sentence(fields: dict[str, str], limits: Limits = LIMITS) -> str:
    """What the producer of a bad event is told."""
    with pytest.raises(BadEvent) as caught:
        read(fields, limits)
    return str(caught.value)


def bad(**fields: str) -> str:
    """The same, of a scale_up with these fields."""
    return sentence({"type": "scale_up", "pod_count": "3", **fields})
