"""The names that Ottoscaler gives: a Pod's name, its labels, and a task's label value (docs/templates.md)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from ottoscaler.model import JsonObject, WorkerId

PREFIX = "ottoscaler.io/"  # of Ottoscaler's own labels and annotations
START_GATE = PREFIX + "noted"  # the scheduling gate, removed once the ledger names the Pod as its attempt's
OWNER = PREFIX + "owner"  # the incarnation that created the Pod: 16 hex digits
GATED = PREFIX + "start-gate"  # the annotation of Pods that were created with the gate
OWN_LABELS = {"app": "otto-agent", "managed-by": "ottoscaler"}  # the same on every worker (docs/templates.md)
MAX_KEPT = 54  # 63 characters of a label value, less "-" and 8 hex digits (docs/events.md)
MAX_NAME = 63  # characters of a DNS label: the Pod's name is its host name, too
APP = OWN_LABELS["app"]

_NOT_KEPT = re.compile(r"[^A-Za-z0-9_.-]")
_NUMBER = re.compile(r"[0-9]{1,20}")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def selector(instance: str, *, owners: Iterable[str] = (), but: Iterable[str] = ()) -> str:
    """The label selector for list and watch of an instance's workers. With ``owners``, it selects those that
    these owners created. With ``but``, it selects all except those of these owners; Pods without the owner
    label are then selected too."""
    text = f"managed-by={OWN_LABELS['managed-by']},{PREFIX}instance={instance}"
    for operator, names in (("in", sorted(owners)), ("notin", sorted(but))):
        if names:
            text += f",{OWNER} {operator} ({','.join(names)})"
    return text


def selector_of_events(instance: str, event_ids: Iterable[str]) -> str:
    """The label selector of these events' workers, whoever created them."""
    return f"{selector(instance)},{PREFIX}event-id in ({','.join(sorted(event_ids))})"


def pod_name(instance: str, event_id: str, index: int, attempt: int) -> str:
    """``otto-agent-<instance>-<event id>-<index>-<attempt>``, a DNS label. The instance is cut to fit.

    Raises ``ValueError`` if the rest alone is too long. That takes an index of 8 digits.
    """
    rest = f"{event_id}-{index}-{attempt}"
    room = MAX_NAME - len(APP) - len(rest) - 2
    if room < -1:
        raise ValueError(f"a Pod's name cannot hold {rest}")
    kept = instance[: max(room, 0)]
    return f"{APP}-{kept}-{rest}" if kept else f"{APP}-{rest}"


def worker_in(name: str) -> WorkerId | None:
    """The worker in a Pod's name; ``None`` if Ottoscaler did not give the name."""
    parts = name.rsplit("-", 4)
    if len(parts) != 5 or not name.startswith(APP + "-"):
        return None
    ms, number, index, attempt = parts[1:]
    if not all(_NUMBER.fullmatch(part) for part in parts[1:]):
        return None
    return WorkerId(f"{ms}-{number}", int(index), int(attempt))


def event_in(name: str) -> str:
    """The event id in a Pod's name; empty if Ottoscaler did not give the name."""
    return "-".join(name.rsplit("-", 4)[1:3])


def labels(instance: str, installation: str, worker: WorkerId, task_label: str, owner: str) -> dict[str, str]:
    """All labels that Ottoscaler sets and trusts (docs/templates.md)."""
    return {
        **OWN_LABELS,
        PREFIX + "instance": instance,
        PREFIX + "installation": installation,
        OWNER: owner,
        PREFIX + "event-id": worker.event_id,
        PREFIX + "index": str(worker.index),
        PREFIX + "attempt": str(worker.attempt),
        PREFIX + "task-id": task_label,
    }


def changed(wanted: dict[str, str], pod: JsonObject) -> list[str]:
    """The names of those ``wanted`` labels that ``pod``, from an answer, lacks or has with another value."""
    meta = pod.get("metadata")
    stand = meta.get("labels") if isinstance(meta, dict) else None
    stand = stand if isinstance(stand, dict) else {}
    return [name for name, value in wanted.items() if stand.get(name) != value]


def label_value(task_id: str) -> str:
    """The label value of ``task_id``: the id itself if it is valid as one, else a valid one made of it.

    Two tasks may share a label (8 hex digits are 32 bits), so the raw id in the annotation decides.
    Raises ``UnicodeEncodeError`` for lone surrogates, which no parsed event holds. Any thread.
    """
    cut = _NOT_KEPT.sub("-", task_id)[:MAX_KEPT]
    if cut == task_id and _LABEL_VALUE.fullmatch(cut):
        return cut
    digest = hashlib.sha256(task_id.encode()).hexdigest()[:8]
    # A label must begin with a letter or a digit. If the text has none, the label is the hash alone.
    readable = cut.lstrip("-_.")
    return f"{readable}-{digest}" if readable else digest
