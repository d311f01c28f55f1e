"""A real Redis Cluster: three masters, and a replica of one of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from ottoscaler.local.ports import free_port
from ottoscaler.local.redis_server import RedisServer
from tests.harness.waiting import wait_for

NODE_TIMEOUT_MS = 1000  # after which a silent master is failed over
TAG = "{otto}"
NAMES = {
    "REDIS_STREAM": f"{TAG}:scale:events",
    "REDIS_RESULTS_STREAM": f"{TAG}:scale:results",
    "REDIS_DEAD_STREAM": f"{TAG}:scale:dead",
}
FIRST_SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))


class RedisClusterServers:
    """Three masters and, as the fourth, a replica of the second. One thread."""

    def __init__(self, directory: Path) -> None:
        self.servers: list[RedisServer] = []
        self._buses: list[int] = []
        for number in range(4):
            bus = free_port()  # by default 10,000 above, which a free port may not have
            options = {
                "cluster-enabled": "yes",
                "cluster-port": str(bus),
                "cluster-node-timeout": str(NODE_TIMEOUT_MS),
                "repl-diskless-sync-delay": "0",
                "shutdown-timeout": "0",
            }
            arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
            server = RedisServer(directory / str(number), arguments=arguments)
            server.start()
            self.servers.append(server)
            self._buses.append(bus)
        self.nodes: list[Any] = [
            redis.Redis(port=server.port, decode_responses=True) for server in self.servers
        ]
        self.ids = [str(node.execute_command("CLUSTER MYID")) for node in self.nodes]
        self._join()
        self.slot = int(self.nodes[0].execute_command("CLUSTER KEYSLOT", NAMES["REDIS_STREAM"]))

    def _join(self) -> None:
        for number, (first, last) in enumerate(FIRST_SLOTS):
            self.nodes[number].execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            self.nodes[number].execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        for server, bus in zip(self.servers[1:], self._buses[1:], strict=True):
            self.nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", server.port, bus)
        wait_for(lambda: self._known() == {4}, "all know each other", 15)
        self.nodes[3].execute_command("CLUSTER REPLICATE", self.ids[1])
        wait_for(self.replicates, "the replica follows and the cluster is well", 15)

    def _known(self) -> set[int]:
        return {int(node.cluster("INFO")["cluster_known_nodes"]) for node in self.nodes}

    def replicates(self) -> bool:
        """Whether every node sees a well cluster, and the replica has all of its master."""
        well = all(node.cluster("INFO")["cluster_state"] == "ok" for node in self.nodes)
        return well and self.nodes[3].info("replication").get("master_link_status") == "up"

    @property
    def owner(self) -> int:
        """The number of the node that serves our slot, as any living node sees it."""
        for node in self.nodes:
            with contextlib.suppress(redis.RedisError):
                for first, last, master, *_ in node.execute_command("CLUSTER SLOTS"):
                    if int(first) <= self.slot <= int(last):
                        return self.ids.index(str(master[2]))
        raise AssertionError("nobody serves the slot")

    def begin_move(self, to: int) -> int:
        """Put the slot on its way to another master; the keys stay where they are. Returns its owner."""
        source = self.owner
        self.nodes[to].execute_command("CLUSTER SETSLOT", self.slot, "IMPORTING", self.ids[source])
        self.nodes[source].execute_command("CLUSTER SETSLOT", self.slot, "MIGRATING", self.ids[to])
        return source

    def move_keys(self, source: int, to: int) -> None:
        while keys := self.nodes[source].execute_command("CLUSTER GETKEYSINSLOT", self.slot, 100):
            self.nodes[source].execute_command(
                "MIGRATE", "127.0.0.1", self.servers[to].port, "", 0, 5000, "KEYS", *keys
            )

    def end_move(self, to: int) -> None:
        for node in (self.nodes[to], *(n for n in self.nodes[:3] if n is not self.nodes[to])):
            node.execute_command("CLUSTER SETSLOT", self.slot, "NODE", self.ids[to])
        wait_for(lambda: self.owner == to, "the slot has moved")

    def move(self, to: int) -> None:
        """Give our slot to another master, as redis-cli --cluster reshard does it."""
        source = self.begin_move(to)
        self.move_keys(source, to)
        self.end_move(to)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        for server in self.servers:
            server.stop()


@contextmanager
def redis_cluster(directory: Path) -> Iterator[RedisClusterServers]:
    made = RedisClusterServers(directory)
    try:
        yield made
    finally:
        made.close()
