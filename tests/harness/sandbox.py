"""A sandbox to run the service in: a Redis, an API server with a namespace, and replicas as real processes.

The API server is the local cluster or, where ``OTTOSCALER_TEST_KUBECONFIG`` names a kubeconfig, that real
one.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from ottoscaler.local import LocalCluster
from ottoscaler.local.ports import free_port
from ottoscaler.local.redis_server import RedisServer
from tests.harness.observer import ANSWER_SECONDS, Json, Kube
from tests.harness.replica import Replica
from tests.harness.waiting import wait_for

REAL = os.environ.get("OTTOSCALER_TEST_KUBECONFIG", "")
INSTANCE = "test"


class Sandbox:
    """Redis, an API server's namespace, and the replicas that a test starts. Close it at the end."""

    def __init__(
        self,
        cluster: LocalCluster | None,
        redis_server: RedisServer,
        directory: Path,
        program: tuple[str, ...],
        bounds: Mapping[str, float],
        **settings: str,
    ) -> None:
        self.cluster = cluster
        self.program = program
        self.bounds = dict(bounds)
        self.redis_server = redis_server
        self.directory = directory
        kubeconfig = str(cluster.kubeconfig_path) if cluster is not None else REAL
        self.kube = Kube(kubeconfig, f"t-{secrets.token_hex(4)}")
        self.settings = settings
        self.replicas: list[Replica] = []
        # Dead letters carry bytes that are not UTF-8; a test that looks at those has a client of its own.
        self.redis: Any = redis.Redis.from_url(
            redis_server.url, decode_responses=True, encoding_errors="replace", socket_timeout=ANSWER_SECONDS
        )
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.kube.namespace}}
        status, answer = self.kube.request("POST", "/api/v1/namespaces", namespace)
        assert status == 201, answer
        # A real controller makes the default service account, which Pods need, a moment later.
        accounts = f"/api/v1/namespaces/{self.kube.namespace}/serviceaccounts/default"
        wait_for(lambda: self.kube.request("GET", accounts)[0] == 200, "the default service account exists")

    @property
    def socket_path(self) -> Path:
        """Redis's Unix socket."""
        return self.directory / "redis.sock"

    # --- replicas

    def environment(self, **settings: Any) -> dict[str, str]:
        """A replica's environment: quick where the defaults are slow, and nothing of the test's own."""
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "REDIS_URL": self.redis_server.url,
            "KUBECONFIG": self.kube.kubeconfig,
            "NAMESPACE": self.kube.namespace,
            "OTTO_INSTANCE": INSTANCE,
            "OTTO_HTTP_ADDRESS": "127.0.0.1",
            "OTTO_LOG_LEVEL": "DEBUG",
            "OTTO_LEASE_SECONDS": "3",
            "OTTO_SHUTDOWN_GRACE_SECONDS": "5",
        }
        every = {**base, **self.settings, **settings}
        return {name: str(value) for name, value in every.items() if value is not None}

    def start(
        self,
        name: str | None = None,
        *,
        ready: bool = True,
        program: tuple[str, ...] | None = None,
        **settings: Any,
    ) -> Replica:
        """Start a replica under a consumer name of its own and wait until it is ready.

        ``program`` are Python's arguments where they matter: the service's command itself, or a wrapper.
        """
        name = name or f"replica-{len(self.replicas)}"
        settings.setdefault("OTTO_HTTP_PORT", free_port())
        settings.setdefault("REDIS_CONSUMER", name)
        log = self.directory / f"{name}.log"
        replica = Replica(
            self.environment(**settings), log, self.program if program is None else program, self.bounds
        )
        self.replicas.append(replica)
        return replica.wait_ready() if ready else replica

    # --- events and what comes back

    def send(self, event_type: str = "scale_up", **fields: Any) -> str:
        """XADD an event, as redis-cli would; its id."""
        flat = {k: v if isinstance(v, (str, bytes)) else json.dumps(v) for k, v in fields.items()}
        return str(self.redis.xadd("otto:scale:events", {"type": event_type, **flat}))

    def scale_up(
        self, pod_count: int = 1, *, run_seconds: float | str = 0.2, env: Json | None = None, **fields: Any
    ) -> str:
        """A scale_up whose simulated workers run for so long."""
        env = {"SIM_RUN_SECONDS": str(run_seconds), "SIM_START_DELAY": "0.02", **(env or {})}
        return self.send("scale_up", pod_count=pod_count, env=env, **fields)

    def results(self, kind: str, event_id: str | None = None) -> list[dict[str, str]]:
        found = [fields for _, fields in self.redis.xrange("otto:scale:results")]
        return [f for f in found if f["kind"] == kind and event_id in (None, f["event_id"])]

    def workers(self, event_id: str) -> list[dict[str, str]]:
        """An event's worker entries, in the order of their indexes."""
        return sorted(self.results("worker", event_id), key=lambda f: int(f["index"]))

    def dead(self) -> list[dict[str, str]]:
        return [fields for _, fields in self.redis.xrange("otto:scale:dead")]

    def wait_event(self, event_id: str, seconds: float = 30.0) -> dict[str, str]:
        """The event's one entry in the results."""
        try:
            return wait_for(lambda: self.results("event", event_id), f"event {event_id} ends", seconds)[0]
        except AssertionError as error:
            told = "\n".join(f"--- {r.log_path.name}\n{r.log()[-6000:]}" for r in self.replicas)
            pods = [(p["metadata"]["name"], p["status"]) for p in self.kube.workers(event_id)]
            raise AssertionError(f"{error}\n{told}\nPods: {pods}\npending: {self.pending()}") from None

    def only_worker(self, event_id: str) -> dict[str, str]:
        """The worker's entry of an event that has one worker, once the event has ended."""
        self.wait_event(event_id)
        (worker,) = self.workers(event_id)
        return worker

    def wait_dead(self, event_id: str, seconds: float = 10.0) -> dict[str, str]:
        look = lambda: [f for f in self.dead() if f["event_id"] == event_id]  # noqa: E731
        return wait_for(look, f"event {event_id} is dead-lettered", seconds)[0]

    def wait_workers(self, event_id: str, phase: str, count: int, seconds: float = 20.0) -> list[Json]:
        """At least so many of the event's Pods in this phase."""

        def look() -> list[Json]:
            pods = [p for p in self.kube.workers(event_id) if p["status"].get("phase") == phase]
            return pods if len(pods) >= count else []

        return wait_for(look, f"{count} workers of {event_id} are {phase}", seconds)

    def wait_no_pods(self, seconds: float = 20.0) -> None:
        wait_for(lambda: not self.kube.workers(), "no worker Pod is left", seconds)

    def pending(self) -> int:
        """Entries of the group that are not acknowledged."""
        return int(self.redis.xpending("otto:scale:events", "ottoscaler")["pending"])

    def wait_nothing_pending(self) -> None:
        wait_for(lambda: self.pending() == 0, "nothing is pending", 20.0)

    def close(self) -> None:
        for replica in self.replicas:
            replica.close()
        self.redis.close()
        self.kube.request("DELETE", f"/api/v1/namespaces/{self.kube.namespace}")


@contextmanager
def sandbox(
    *,
    kubelet: str = "simulated",
    program: tuple[str, ...] = (),
    bounds: Mapping[str, float] | None = None,
    **settings: str,
) -> Iterator[Sandbox]:
    """A sandbox of its own: a fresh Redis, and the local cluster or a namespace of the real one.

    Its replicas are forks with these ``bounds`` (see Replica and tests.harness.preloaded; named as in
    "workers.monitor.UNSEEN_LOOK_SECONDS"), or with SERVICE as ``program`` the command itself.
    """
    with tempfile.TemporaryDirectory(prefix="ottoscaler-test-") as name:
        directory = Path(name)
        cluster = None if REAL else LocalCluster(kubelet, redis=False).start()  # type: ignore[arg-type]
        server = RedisServer(
            directory / "redis", 0, fsync="always", arguments=("--unixsocket", str(directory / "redis.sock"))
        )
        server.start()
        made: Sandbox | None = None
        try:
            made = Sandbox(cluster, server, directory, program, bounds or {}, **settings)
            yield made
        finally:
            if made is not None:
                made.close()
            server.kill()  # nobody reads its data any more
            if cluster is not None:
                cluster.stop()
