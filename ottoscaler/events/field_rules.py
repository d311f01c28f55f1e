"""The rules of single fields of an event (docs/events.md), as readers of their values.

Each raises ``ValueError`` with the words that follow "FIELD: ".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ottoscaler.events import quantities, values
from ottoscaler.events.images import ImagePolicy
from ottoscaler.events.values import MAX_DEDUP_KEY, MAX_TASK_ID
from ottoscaler.model import KeepLogs

SMALLEST = {"cpu": "1m", "memory": "1"}  # the API server would silently round finer amounts

PROFILE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def event_type(text: str) -> str:
    """The event's type."""
    if text not in ("scale_up", "scale_down"):
        raise ValueError(f"invalid value {values.shown(text)}; expected scale_up or scale_down")
    return text


def task_id(text: str) -> str | None:
    """A task's id. An empty one is as good as none."""
    _check_length(text, MAX_TASK_ID)
    if "\0" in text:
        raise ValueError(
            f"invalid value {values.shown(text)}; a NUL character cannot be part of an environment variable"
        )
    return text or None


def dedup_key(text: str) -> str | None:
    """The key by which an event that is sent twice is known. An empty one is as good as none.

    Otherwise events of a script that forgot to set its variable would all be taken for one event."""
    _check_length(text, MAX_DEDUP_KEY)
    return text or None


def _check_length(text: str, most: int) -> None:
    if len(text) > most:
        raise ValueError(
            f"invalid value {values.shown(text)} ({len(text)} characters); expected at most {most}"
        )


def image(policy: ImagePolicy) -> Callable[[str], str]:
    """A reader of images that the policy allows."""

    def read(text: str) -> str:
        problem = policy.problem(text)
        if problem:
            raise ValueError(f"invalid value {values.shown(text)}{problem}")
        return text

    return read


def quantity(resource: str, at_most: str) -> Callable[[str], str]:
    """A reader of Kubernetes quantities of that resource, within the operator's limit."""

    def read(text: str) -> str:
        problem = quantities.problem(text, at_most=at_most, at_least=SMALLEST[resource])
        if problem:
            lowest, meant = SMALLEST[resource], quantities.meant(resource, text)
            hint = f"; did you mean {meant}?" if meant and meant != text else ""
            raise ValueError(
                f"invalid value {values.shown(text)} ({problem}); "
                f"expected a quantity from {lowest} to {at_most}{hint}"
            )
        return text

    return read


def profile(text: str) -> str:
    """A template's name."""
    if not PROFILE.fullmatch(text):
        raise ValueError(
            f"invalid value {values.shown(text)}; expected a template's name: up to 63 of a-z, 0-9 and -"
        )
    return text


def logs(most: KeepLogs) -> Callable[[str], KeepLogs]:
    """A reader of whose logs are kept, within the operator's limit."""

    def read(text: str) -> KeepLogs:
        allowed = [each.value for each in KeepLogs if each.rank <= most.rank]
        if text not in allowed:
            limit = " (not allowed by the operator)" if text in list(KeepLogs) else ""
            raise ValueError(f"invalid value {values.shown(text)}{limit}; expected {' or '.join(allowed)}")
        return KeepLogs(text)

    return read


def refused(instead: str) -> Callable[[str], None]:
    """A reader that refuses every value, and says what to do instead."""

    def read(_text: str) -> None:
        raise ValueError(f"not supported; {instead}")

    return read


def running(text: str) -> bool:
    """Whether a scale_down keeps running workers."""
    if text != "keep":
        raise ValueError(f"invalid value {values.shown(text)}; expected keep")
    return True
