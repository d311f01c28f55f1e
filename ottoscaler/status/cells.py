"""The stage of each worker's Pod, as replicas report it while somebody views the page."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ottoscaler.model import JsonObject

UNTOLD = "p"  # the ledger knows that there is a Pod, but not whether it runs
_RANGE = re.compile(r"(\d+)(?:-(\d+))?([sr])")


class PodsSeen:
    """The sights of all replicas together. ``running`` is ``None`` if no replica reports any."""

    def __init__(self, sights: Iterable[JsonObject]) -> None:
        self.running: int | None = None
        self._ranges: dict[str, str] = {}
        for each in sights:
            running, ranges = each.get("running"), each.get("cells")
            if isinstance(running, int):
                self.running = (self.running or 0) + running
            if isinstance(ranges, dict):
                for event_id, text in ranges.items():
                    self._ranges[event_id] = f"{self._ranges.get(event_id, '')} {text}"

    def of(self, event_id: str) -> str:
        """Ranges of indexes with a letter each, such as ``0-4r 5s``."""
        return self._ranges.get(event_id, "")


def merged(cells: str, ranges: str) -> str:
    """The ledger's letters, replaced by the replicas' letters for the indexes that have a Pod."""
    parts, done = [], 0
    for found in sorted(_RANGE.findall(ranges), key=lambda each: int(each[0])):
        first, last = int(found[0]), int(found[1] or found[0]) + 1
        if first < done:  # two replicas tell of it, in a takeover
            continue
        parts += [cells[done:first], cells[first:last].replace(UNTOLD, found[2])]
        done = last
    return "".join((*parts, cells[done:]))
