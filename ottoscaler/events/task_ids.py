"""A task's id as a Kubernetes label value: readable where it can be, told apart where it cannot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

PREFIX = "ottoscaler.io/"  # of our own labels and annotations
MAX_TASK_ID = 256  # characters (DESIGN.md 3.2)
OWN_LABELS = {"app": "otto-agent", "managed-by": "ottoscaler"}  # the same on every worker (DESIGN.md 3.4)
MAX_KEPT = 54  # 63 characters of a label value, less "-" and 8 hex digits (DESIGN.md 3.2)

_NOT_KEPT = re.compile(r"[^A-Za-z0-9_.-]")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def raw_task_id(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The task that an entry names, for its log lines, though all else may be wrong with it. Any thread."""
    raw = next((value for name, value in fields if name == b"task_id"), b"")
    try:
        return raw.decode()[:MAX_TASK_ID] or None
    except UnicodeDecodeError:
        return None


def label_value(task_id: str) -> str:
    """The label of ``task_id``: always a valid label value, and itself wherever that is one already.

    Two tasks may share a label (8 hex digits are 32 bits), so the raw id in the annotation decides.
    Raises ``UnicodeEncodeError`` for lone surrogates, which no parsed event holds. Any thread.
    """
    cut = _NOT_KEPT.sub("-", task_id)[:MAX_KEPT]
    if cut == task_id and _LABEL_VALUE.fullmatch(cut):
        return cut
    digest = hashlib.sha256(task_id.encode()).hexdigest()[:8]
    # A label must begin with a letter or a digit; where nothing of that kind is left, the hash stands alone.
    readable = cut.lstrip("-_.")
    return f"{readable}-{digest}" if readable else digest
