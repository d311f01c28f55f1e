"""One line of ``check``'s report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The level, what was checked, and a sentence."""

    level: Level
    subject: str
    text: str
