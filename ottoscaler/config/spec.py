"""What a line of the settings' table consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ottoscaler.config.kinds import Kind


@dataclass(frozen=True, slots=True)
class Spec:
    """A row of the table but its name. ``worked_out``: ``shown_default`` is words, not a value."""

    kind: Kind
    meaning: str
    shown_default: str
    worked_out: bool
    secret: bool


def setting(
    kind: Kind,
    default: Any,
    meaning: str,
    *,
    shown_default: str | None = None,
    secret: bool = False,
) -> Any:
    """A field of ``Settings``: its kind, its default (a value or a function that finds it), its meaning."""
    shown = shown_default if shown_default is not None else show(default)
    metadata = {"spec": Spec(kind, meaning, shown, shown_default is not None, secret)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def show(value: Any) -> str:
    """A setting's value as it would stand in the environment."""
    if isinstance(value, tuple):
        return ",".join(_address(*item) if isinstance(item, tuple) else str(item) for item in value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
