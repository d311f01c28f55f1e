"""Which Redis server a process's connections lead to, and which of them lead to a wrong one.

A name or an address may lead to another server from one moment to the next, while connections that were
open before stay with a server that takes no more writes: an old master that lives on as a replica, a node
of a Redis Cluster whose slot has moved. Its answers say so, and then none of the connections made until
then is used again. There is no input or output here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1  # before new connections after a wrong server's answer; then doubled
LONGEST_PAUSE_SECONDS = 1.0  # several in a lease
EPISODE_SECONDS = 10.0  # wrong answers less far apart belong to one failover
MOST_NODES = 1000  # of a Redis Cluster, which is its own bound

Address = tuple[str, int]


class Endpoint:
    """Shared by all connections of a process. Thread-safe.

    ``generation`` is raised when the connections made so far are of no use any more. ``configured`` is the
    address in the settings, ``None`` where a Sentinel or a socket's path says where to connect.
    """

    def __init__(
        self, configured: Address | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.generation = 1
        self._configured = configured
        self._clock = clock
        self._lock = threading.Lock()
        self._current = configured
        self._nodes: tuple[Address, ...] = ()  # of a Redis Cluster, beside the configured address
        self._pause = 0.0
        self._no_connection_before = 0.0
        self._last_wrong = clock() - 2 * EPISODE_SECONDS
        self._answer = ""

    def address(self) -> Address:
        """Where the next connection goes to."""
        assert self._current is not None
        return self._current

    def pause(self) -> tuple[float, str]:
        """Seconds for which no new connection may be made, if above 0, and the answer that is the reason."""
        return self._no_connection_before - self._clock(), self._answer

    def wrong_server(self, answer: str, generation: int) -> None:
        """A connection of that generation got an answer that only another server can better."""
        with self._lock:
            if generation != self.generation:
                return
            now = self._clock()
            first = now - self._last_wrong > EPISODE_SECONDS
            self._pause = FIRST_PAUSE_SECONDS if first else min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            self._last_wrong, self._no_connection_before = now, now + self._pause
            self._answer = answer
            self._go_on_to_another()
            self.generation += 1
        if first:
            log.warning(
                "redis_wrong_server",
                f"Redis answers {answer}: the server behind these connections cannot serve us (any more), "
                "so all of them are made anew",
            )

    def moved(self, address: Address, generation: int) -> None:
        """A node of a Redis Cluster named the one that serves our slot."""
        with self._lock:
            if generation != self.generation:
                return
            self._current = address
            if address not in self._nodes and len(self._nodes) < MOST_NODES:
                self._nodes += (address,)
            self.generation += 1
        log.info("redis_moved", f"our hash slot is served by {address[0]}:{address[1]} now")

    def unreachable(self, address: Address) -> None:
        """No connection could be made: the next one tries another node, where any is known."""
        with self._lock:
            if address == self._current:
                self._go_on_to_another()

    def learn_nodes(self, nodes: Iterable[Address]) -> None:
        """The nodes of a Redis Cluster, any of which knows who serves our slot."""
        found = tuple(dict.fromkeys(nodes))[:MOST_NODES]
        with self._lock:
            self._nodes = found

    def _go_on_to_another(self) -> None:
        if self._configured is None or not self._nodes:
            return
        ring = tuple(dict.fromkeys((self._configured, *self._nodes)))
        at = ring.index(self._current) if self._current in ring else -1
        self._current = ring[(at + 1) % len(ring)]


def nodes_of(slots: Sequence[Any], answering: Address) -> list[Address]:
    """The nodes in the answer to CLUSTER SLOTS. One without a host has that of the node that answered."""
    found = []
    for _, _, *nodes in slots:
        for host, port, *_ in nodes:
            name = answering[0] if host == b"" else (host or b"?").decode()
            if name != "?":  # a node that does not know its own name
                found.append((name, int(port)))
    return found
