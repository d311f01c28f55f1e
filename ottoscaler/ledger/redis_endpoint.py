"""Which Redis server new connections go to, and which old connections must not be used any more.

After a failover, a name or an address leads to another server. Open connections stay with the old server,
which takes no more writes: a former master that is now a replica, or a node of a Redis Cluster whose slot has
moved. When an answer says so, no connection made before is used again. This module does no input or output.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1  # before new connections after a wrong server's answer; doubled each time
LONGEST_PAUSE_SECONDS = 1.0  # so that a lease has room for several tries
EPISODE_SECONDS = 10.0  # wrong answers within this time of each other belong to one failover
MOST_NODES = 1000  # Redis Cluster supports no more nodes

Address = tuple[str, int]


class Endpoint:
    """The address that all connections of a process share. Thread-safe.

    ``generation`` is raised when the connections made so far must not be used any more. ``configured`` is the
    address in the settings. It is ``None`` if a Sentinel or a socket's path says where to connect.
    """

    def __init__(
        self, configured: Address | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.generation = 1
        self.deadline: float | None = None  # monotonic; no connection waits beyond it
        self._configured = configured
        self._clock = clock
        self._lock = threading.Lock()
        self._current = configured
        self._nodes: tuple[Address, ...] = ()  # of a Redis Cluster, beside the configured address
        self._pause = 0.0
        self._no_connection_before = 0.0
        self._last_wrong = clock() - 2 * EPISODE_SECONDS
        self._answer = ""
        self._told = configured  # who the log says serves our slot
        self._reached: set[Address] = set()  # masters that Sentinels have led this generation to
        self._named: Address | None = None  # the master that a Sentinel named last
        self._named_since = 0.0

    def address(self) -> Address:
        """The address for the next connection."""
        assert self._current is not None
        return self._current

    def pause(self) -> tuple[float, str]:
        """Seconds for which no new connection may be made (0 or less: one may be), and the answer that is the
        reason."""
        return self._no_connection_before - self._clock(), self._answer

    def wrong_server(self, answer: str, generation: int) -> None:
        """A connection of that generation got an answer that says that its server cannot serve us."""
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
        """A node of a Redis Cluster said that the node at ``address`` serves our slot."""
        with self._lock:
            if generation != self.generation:
                return
            self._current = address
            if address not in self._nodes and len(self._nodes) < MOST_NODES:
                self._nodes += (address,)
            self.generation += 1
            # Until a failover is over, the replicas go on naming the master that is gone.
            news, self._told = address != self._told, address
        if news:
            log.info("redis_moved", f"our hash slot is served by {address[0]}:{address[1]} now")

    def reached(self, address: Address) -> None:
        """A connection was made to the master that a Sentinel had named."""
        with self._lock:
            self._reached.add(address)

    def named(self, address: Address) -> None:
        """A Sentinel names this master.

        If that is news, connections to any other are not used again. Another Sentinel may send new ones to
        the old master for some seconds, so this goes on for EPISODE_SECONDS. It does not go on for longer,
        since Sentinels may know one master by several names.
        """
        with self._lock:
            now = self._clock()
            if address != self._named:
                self._named, self._named_since = address, now
            if now - self._named_since >= EPISODE_SECONDS or self._reached <= {address}:
                return
            self._reached.clear()
            self.generation += 1
            news, self._told = address != self._told, address
        if news:
            log.info("redis_moved", f"the Sentinels name {address[0]}:{address[1]} as the master now")

    def unreachable(self, address: Address) -> None:
        """No connection could be made. The next one tries another node, if one is known."""
        with self._lock:
            if address == self._current:
                self._go_on_to_another()

    def learn_nodes(self, nodes: Iterable[Address]) -> None:
        """Remember the nodes of a Redis Cluster. Any of them knows which node serves our slot."""
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
    """The nodes in an answer to CLUSTER SLOTS. A node without a host has the host that answered."""
    found = []
    for _, _, *nodes in slots:
        for host, port, *_ in nodes:
            name = answering[0] if host == b"" else (host or b"?").decode()
            if name != "?":  # a node that does not know its own name sends "?"
                found.append((name, int(port)))
    return found
