"""What chaos plays with: three replicas, each with its own way to Kubernetes, and two Redis."""

from __future__ import annotations

from collections import Counter
from typing import Any

import redis

from ottoscaler.local import LocalCluster
from ottoscaler.local.ports import free_port
from ottoscaler.local.redis_server import RedisServer
from tests.harness.evidence import Evidence
from tests.harness.proxy import Proxy
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for
from tests.tools.chaos.schedule import Schedule

REPLICAS = 3
LEASE_SECONDS = 2
FAILOVER_SECONDS = 10.0


class Stage:
    """The replicas by slot, the proxies, and what is up. One thread."""

    def __init__(self, place: Sandbox, schedule: Schedule, faults: Counter[str]) -> None:
        assert place.cluster is not None, "chaos needs the local cluster's faults"
        self.place, self.schedule, self.faults = place, schedule, faults
        self.cluster: LocalCluster = place.cluster
        self.slots: dict[str, Replica] = {}
        self.redis_up = self.api_up = True
        self.rolled: dict[str, str] = {}  # settings that were changed since the start
        self.evidence = Evidence(place)
        self.deleted: set[str] = set()  # UIDs of Pods that chaos itself took away
        self._lives = 0
        self._standby = RedisServer(place.directory / "redis-standby", 0, fsync="always")
        self.redis_road = Proxy(place.redis_server.port)
        port = int(self.cluster.server_url.rpartition(":")[2])
        self.kube_roads = {f"slot-{i}": Proxy(port) for i in range(REPLICAS)}
        text = self.cluster.kubeconfig_path.read_text()
        for slot, road in self.kube_roads.items():
            self._kubeconfig(slot).write_text(text.replace(f":{port}", f":{road.port}"))

    def _kubeconfig(self, slot: str) -> Any:
        return self.place.directory / f"kubeconfig-{slot}"

    def close(self) -> None:
        for proxy in (self.redis_road, *self.kube_roads.values()):
            proxy.close()
        self._standby.stop()

    # --- replicas

    def pick(self, number: int) -> str:
        return f"slot-{number % REPLICAS}"

    def start(self, slot: str) -> None:
        """Every other life has a name of its own, as in a Deployment; the others keep theirs."""
        self._lives += 1
        name = slot if self._lives % 2 else f"{slot}-{self._lives}"
        settings: dict[str, Any] = {"OTTO_HTTP_PORT": free_port(), **self.rolled}
        settings["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_road.port}/0"
        settings["KUBECONFIG"] = str(self._kubeconfig(slot))
        self.slots[slot] = self.place.start(name, ready=False, **settings)

    # --- Redis

    def redis_back(self) -> None:
        if not self.redis_up:
            self.redis_road.refuse()
            self.place.redis_server.start()
            self.evidence.catch_up()
            self.redis_road.accept()
            self.redis_up = True

    def fail_over(self) -> None:
        """The standby becomes the master behind the same address, with all that was acknowledged.

        Connections that are open stay with the old master, which then refuses writes as a replica does.
        """
        old, new = self.place.redis_server, self._standby
        if new.pid is None:
            new.start()
        following = redis.Redis.from_url(new.url, decode_responses=True, socket_timeout=5)
        if self._role(following) == "master":
            following.replicaof("127.0.0.1", old.port)
        wait_for(lambda: following.info("replication").get("master_link_status") == "up", "it follows")
        # After a first sync the append-only file is written anew; a crash before its end loses everything.
        wait_for(
            lambda: self._is_durable(following), "its append-only file holds what it has", FAILOVER_SECONDS
        )
        target = ("FAILOVER", "TO", "127.0.0.1", new.port)
        wait_for(lambda: self._told(target), "the failover begins", FAILOVER_SECONDS)
        wait_for(lambda: self._role(following) == "master", "the standby is the master", FAILOVER_SECONDS)
        # First for the evidence: the old one follows the new one with a delay.
        self.place.redis_server, self._standby = new, old
        self.redis_road.lead_to(new.port)
        self.place.redis.close()
        self.place.redis = redis.Redis.from_url(
            new.url, decode_responses=True, encoding_errors="replace", socket_timeout=5
        )
        following.close()

    def _told(self, command: tuple[Any, ...]) -> bool:
        try:
            self.place.redis.execute_command(*command)
        except redis.ResponseError as error:  # the replica has not caught up with its first sync yet
            if "FAILOVER" not in str(error):
                raise
            return False
        return True

    @staticmethod
    def _is_durable(client: Any) -> bool:
        told = client.info("persistence")
        return not (told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])

    @staticmethod
    def _role(client: Any) -> str:
        return str(client.info("replication")["role"])

    # --- Kubernetes

    def api_away(self, how: str) -> None:
        self.api_up = False
        if how == "refused":
            for road in self.kube_roads.values():
                road.refuse()
        self.cluster.faults.go_away(how)

    def api_back(self) -> None:
        self.cluster.faults.come_back()
        for road in self.kube_roads.values():
            road.accept()
        self.api_up = True

    # --- the end

    def calm(self) -> None:
        """Everything is well again, and every slot has a living replica."""
        self.redis_back()
        self.redis_road.delay = 0.0
        self.cluster.faults.clear()
        for road in self.kube_roads.values():
            road.flow()
            road.accept()
        for slot, replica in list(self.slots.items()):
            replica.thaw()
            if replica.process.poll() is not None:
                self.start(slot)
