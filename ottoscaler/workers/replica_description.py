"""What a replica's heartbeat tells the status page: always a few words, and every Pod while the page is open.

The ledger does not know whether a Pod runs, nor where. No worker's thread needs to write that. So the
heartbeat tells it, in one text for all workers, and only while the status page is open.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ottoscaler.model import JsonObject, PodView
from ottoscaler.telemetry.recent import Recent

MOST_DETAILED = 1000  # workers that are told with node and times; of the others, only whether they run
SHARE = 0.005  # of a core: if the texts take more, they are made less often
RUNNING, STARTING = "r", "s"
KEEP, CLEAR = "", "-"


class ReplicaDescription:
    """Implements :class:`ottoscaler.ledger.lease.Description`. ``views`` gives the Pods that workers of this
    replica wait for."""

    def __init__(
        self, info: Callable[[], JsonObject], recent: Recent, views: Callable[[], Iterable[PodView]]
    ) -> None:
        self.info = info
        self._recent = recent
        self._views = views
        self._told = False
        self._due = 0.0

    def page(self, now: float, *, viewed: bool) -> tuple[str, str, str]:
        """The texts for recent, sights and details. KEEP leaves what is there, CLEAR removes it."""
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
    """The texts ``sights`` and ``details``.

    ``sights`` has how many workers run, and for each event its indexes in ranges, each with a letter
    (``0-4r 5s``). ``details`` has for each event the index, creation, start and node of each worker.
    """
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
