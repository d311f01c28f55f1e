"""What a run needs around it: a cluster, a namespace of its own, a Redis of its own, and the contestants."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from ottoscaler.local.ports import free_port
from ottoscaler.local.redis_server import RedisServer
from tests.tools.bench import bare_go, wire
from tests.tools.bench.processes import Process, is_ready, python, requests_told, scrape, watch_bytes_told
from tests.tools.bench.witness import Witness

STREAM = "otto:scale:events"
NAMESPACE_SECONDS = 20.0  # for a new namespace to take Pods, which waits for its service account
READY_SECONDS = 20.0
ROOT = Path(__file__).parents[3]


class Stage:
    """A context manager for one thread. It uses the kubeconfig's cluster; without one, a local cluster.

    ``go``: the limit is the Go program, so Go must be at hand; else the Python one."""

    def __init__(self, kubeconfig: str = "", *, go: bool = False) -> None:
        self._held = ExitStack()
        self._go = go
        self._go_binary = Path()
        self.directory = Path()
        self.namespace = f"otto-bench-{os.getpid()}"
        self.kind = "the kubeconfig's cluster" if kubeconfig else "local (simulated kubelet)"
        self.kubeconfig = kubeconfig
        self.version = ""
        self.where: wire.Server
        self.witness: Witness
        self._number = 0

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _set_up(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="otto-bench-"))
        self._held.callback(shutil.rmtree, self.directory, ignore_errors=True)
        if self._go:
            self._go_binary = bare_go.build(self.directory)
        self.kubeconfig = self.kubeconfig or self._start_cluster()
        self.where = wire.server(self.kubeconfig)
        self._make_namespace()
        self.witness = self._held.enter_context(Witness(self.where, self.namespace))

    def _start_cluster(self) -> str:
        words = ("up", "--simulated", "--no-redis", "--dir", str(self.directory / "cluster"))
        cluster = self._held.enter_context(
            Process("the local cluster", python("-m", "ottoscaler.local", *words), {}, self.log("cluster"))
        )
        return cluster.line().partition("KUBECONFIG=")[2].split()[0]

    def _make_namespace(self) -> None:
        connection = wire.Connection(self.where)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        status, answer = connection.request("POST", "/api/v1/namespaces", json.dumps(body).encode())
        if status not in (201, 409):
            raise RuntimeError(f"HTTP status {status} on the namespace: {answer[:300]!r}")
        self._held.callback(connection.close)
        self._held.callback(connection.request, "DELETE", f"/api/v1/namespaces/{self.namespace}")
        self.version = str(json.loads(connection.request("GET", "/version")[1])["gitVersion"])
        account = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default"
        deadline = time.monotonic() + NAMESPACE_SECONDS
        while connection.request("GET", account)[0] == 404 and time.monotonic() < deadline:
            if self.kind.startswith("local"):
                return  # it has no service accounts, and asks for none
            time.sleep(0.05)

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    # --- contestants

    def redis(self) -> Store:
        """A new, empty Redis; a context manager."""
        self._number += 1
        return Store(RedisServer(self.directory / f"redis-{self._number}"))

    def service(self, store: Store, *, replica: int = 0, **settings: str) -> Service:
        port = free_port()
        environ = {
            "REDIS_URL": store.url,
            "REDIS_CONSUMER": f"replica-{replica}",
            "KUBECONFIG": self.kubeconfig,
            "NAMESPACE": self.namespace,
            "OTTO_INSTANCE": "bench",
            "OTTO_MAX_WORKERS": "1000",
            "OTTO_HTTP_ADDRESS": "127.0.0.1",
            "OTTO_HTTP_PORT": str(port),
            "OTTO_SHUTDOWN_GRACE_SECONDS": "5",
            **settings,
        }
        return Service(port, environ, self.log(f"service-{replica}"))

    def naive(self, store: Store) -> Process:
        words = ("--namespace", self.namespace, "--redis-url", store.url, "--workers", "1000")
        command = python("-m", "tests.tools.bench.naive", *words)
        return Process("the naive peer", command, {"KUBECONFIG": self.kubeconfig}, self.log("naive"))

    def bare(self, count: int, run_seconds: float) -> Process:
        if self._go:
            task = self.directory / "bare.json"
            bare_go.write_task(task, self.where, self.namespace, count, run_seconds)
            return Process("the bare generator", [str(self._go_binary), str(task)], {}, self.log("bare"))
        words = ("--namespace", self.namespace, "--count", str(count), "--run-seconds", f"{run_seconds:g}")
        command = python("-m", "tests.tools.bench.bare", *words)
        return Process("the bare generator", command, {"KUBECONFIG": self.kubeconfig}, self.log("bare"))


class Store(AbstractContextManager["Store"]):
    """A Redis of the run's own."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.client: Any = None

    def __enter__(self) -> Self:
        self._server.start()
        self.client = redis.Redis.from_url(self._server.url, decode_responses=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    def add(self, pods: int, run_seconds: float, *, events: int = 1) -> float:
        """XADD so many events in one round trip; the moment before its bytes left, monotonic.

        What redis-py takes to pack the words, 0.2 ms after a pause, is the producer's and no service's."""
        fields = {
            "type": "scale_up",
            "pod_count": str(pods),
            "env": json.dumps({"SIM_RUN_SECONDS": f"{run_seconds:g}"}),
        }
        words = ("XADD", STREAM, "*", *(word for pair in fields.items() for word in pair))
        pool = self.client.connection_pool
        connection = pool.get_connection()
        try:
            data = connection.pack_commands([words] * events)
            now = time.monotonic()
            connection.send_packed_command(data)
            for _ in range(events):
                connection.read_response()
        finally:
            pool.release(connection)
        return now

    def await_reader(self) -> float:
        """Wait until somebody blocks in XREADGROUP; the moment, monotonic, to some 3 ms."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if any(client["cmd"] == "xreadgroup" for client in self.client.client_list()):
                return time.monotonic()
            time.sleep(0.003)
        raise TimeoutError(f"nobody read the stream within {READY_SECONDS:.0f} s")

    def results(self) -> int:
        """Workers that have their entry in the results stream."""
        entries = self.client.xrange("otto:scale:results")
        return sum(
            1 for _, fields in entries if fields["kind"] == "worker" and fields["status"] == "succeeded"
        )


class Service(Process):
    """``python -m ottoscaler``."""

    def __init__(self, port: int, environ: dict[str, str], log: Path) -> None:
        super().__init__("the service", python("-m", "ottoscaler"), environ, log)
        self._port = port

    def await_ready(self) -> float:
        """Seconds from the start of the process to the first 200 of /readyz, to some 5 ms."""
        deadline = self.started_at + READY_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if is_ready(self._port):
                return time.monotonic() - self.started_at
            time.sleep(0.005)
        raise TimeoutError(f"the service was not ready within {READY_SECONDS:.0f} s")

    def requests(self) -> dict[str, int]:
        """Requests to the API server so far, by verb."""
        return dict(requests_told(scrape(self._port)))

    def watch_bytes(self) -> float:
        """Bytes of Pods that its watch and its lists have brought so far."""
        return watch_bytes_told(scrape(self._port))
