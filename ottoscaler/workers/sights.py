"""What a replica's heartbeat tells of it: in a few words always, of each worker's Pod while somebody looks.

The ledger does not know whether a Pod runs, nor where. A worker's thread has no need to tell it; so the
heartbeat does, in one text for all, and only while the status page is open.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ottoscaler.model import PodView
from ottoscaler.telemetry.recent import Recent

MOST_DETAILED = 1000  # workers told with node and times; of the others whether they run
SHARE = 0.005  # of a core: where it takes longer, it is told less often
RUNNING, STARTING = "r", "s"
KEEP, CLEAR = "", "-"

Json = dict[str, Any]


class ReplicaDescription:
    """What :class:`ottoscaler.ledger.lease.Description` promises. ``views`` are the Pods that workers of this
    replica wait for."""

    def __init__(
        self, info: Callable[[], Json], recent: Recent, views: Callable[[], Iterable[PodView]]
    ) -> None:
        self.info = info
        self._recent = recent
        self._views = views
        self._told = False
        self._due = 0.0

    def page(self, now: float, *, viewed: bool) -> tuple[str, str, str]:
        """Recent, sights and details."""
        recent = self._recent.text(now)
        if not viewed:
            stale, self._told, self._due = self._told, False, 0.0
            return (recent, CLEAR, CLEAR) if stale else (recent, KEEP, KEEP)
        if now < self._due:
            return recent, KEEP, KEEP
        began = time.thread_time()
        sights, details = told(self._views())
        self._told = True
        self._due = now + (time.thread_time() - began) / SHARE
        return recent, sights, details


def told(views: Iterable[PodView]) -> tuple[str, str]:
    """The two texts. ``sights``: how many run, and per event its indexes in ranges, each with a letter
    (``0-4r 5s``). ``details``: per event index, creation, start and node of each worker."""
    letters: dict[str, list[tuple[int, str]]] = {}
    details: dict[str, list[tuple[int, str, str, str]]] = {}
    running = detailed = 0
    for view in views:
        worker = view.worker
        if worker is None:
            continue
        letter = RUNNING if view.started_at else STARTING
        running += letter == RUNNING
        letters.setdefault(worker.event_id, []).append((worker.index, letter))
        if detailed < MOST_DETAILED:
            detailed += 1
            words = (worker.index, view.created_at, view.started_at, view.node)
            details.setdefault(worker.event_id, []).append(words)
    cells = {event_id: " ".join(_ranges(found)) for event_id, found in letters.items()}
    return _json({"running": running, "cells": cells}), _json(details)


def _ranges(found: list[tuple[int, str]]) -> Iterator[str]:
    found.sort()
    first, last, letter = found[0][0], found[0][0], found[0][1]
    for index, each in (*found[1:], (-1, "")):
        if index == last + 1 and each == letter:
            last = index
            continue
        yield f"{first}-{last}{letter}" if last > first else f"{first}{letter}"
        first, last, letter = index, index, each


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
