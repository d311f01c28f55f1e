"""The local cluster for its users, who start, stop and use it from any thread."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from ottoscaler.errors import OttoscalerError
from ottoscaler.local.apiserver.audit import Audit
from ottoscaler.local.apiserver.faults import Faults
from ottoscaler.local.node.machine import KubeletKind, Machine, ServerOptions
from ottoscaler.local.redis_server import RedisServer

CALL_SECONDS = 10.0  # the limit for one call on the event loop
STOP_SECONDS = 15.0


class LocalCluster:
    """A Kubernetes API with nodes, and Redis, on loopback. Use it as a context manager, or call ``start`` and
    ``stop``.

    ``kubelet`` is one of three. ``"process"`` runs each container's command on this machine. ``"simulated"``
    obeys ``sim/...`` annotations. None leaves Pods as they are written: they are not scheduled, so a delete
    is immediate. With ``redis`` False, there is no Redis. With ``directory`` None, ``stop`` removes the
    temporary directory. Without Redis, it starts within 0.5 s.

    ``faults`` and ``audit`` may be used from any thread.
    """

    def __init__(
        self,
        kubelet: KubeletKind | None = "process",
        server: ServerOptions = ServerOptions(),  # noqa: B008 - it is frozen
        *,
        redis: bool = True,
        redis_port: int = 0,
        directory: Path | str | None = None,
        nodes: int = 1,
    ) -> None:
        self._kubelet, self._server, self._nodes = kubelet, server, nodes
        self._with_redis, self._redis_port = redis, redis_port
        self._given = Path(directory) if directory is not None else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._machine: Machine | None = None
        self._redis: RedisServer | None = None
        self._directory = Path()
        self.server_url = self.control_url = ""
        self._faults: Faults | None = None
        self._audit: Audit | None = None

    # --- life

    def start(self) -> Self:
        """Start everything. Raises OSError if a port is in use, RedisNotFound and RedisFailed."""
        self._directory = self._given or Path(tempfile.mkdtemp(prefix="ottoscaler-local-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-cluster", daemon=True)
        self._thread.start()
        try:
            self._start_machine()
            if self._with_redis:
                redis = RedisServer(self._directory / "redis", self._redis_port, spawn=self._call)
                redis.start()
                self._redis = redis
        except BaseException:
            self.stop()
            raise
        return self

    def _start_machine(self) -> None:
        machine = self._machine = Machine(self._server, self._kubelet, self._nodes, self._directory)
        self._audit = Audit(machine.recorder, self._call)
        self._faults = machine.faults = Faults(machine.plan, machine, self._call)
        port, control_port = self._call(machine.start)
        self.server_url = f"http://127.0.0.1:{port}"
        self.control_url = f"http://127.0.0.1:{control_port}"
        self.kubeconfig_path.write_text(self._kubeconfig())
        self.kubeconfig_path.chmod(0o600)

    def stop(self) -> None:
        """Stop everything, containers and Redis included. A second call does nothing."""
        if self._redis is not None:
            self._redis.stop()
            self._redis = None
        if self._loop is not None and self._thread is not None:
            if self._machine is not None:
                self._call(self._machine.stop)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_SECONDS)
            self._loop.close()
        self._loop = self._thread = self._machine = None
        if self._given is None and self._directory.name.startswith("ottoscaler-local-"):
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, what: Callable[[], Any]) -> Any:
        """Call ``what`` on the event loop thread and return its result. Waits at most CALL_SECONDS."""
        loop = self._loop
        if loop is None:
            raise OttoscalerError("the local cluster does not run")
        if threading.current_thread() is self._thread:
            result = what()
            return asyncio.ensure_future(result) if inspect.isawaitable(result) else result
        done: Future[Any] = asyncio.run_coroutine_threadsafe(_awaited(what), loop)
        return done.result(CALL_SECONDS)

    # --- what it is made of

    @property
    def kubeconfig_path(self) -> Path:
        return self._directory / "kubeconfig"

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def redis(self) -> RedisServer:
        """The Redis server, to stop, kill and restart. Raises OttoscalerError if there is none."""
        if self._redis is None:
            raise OttoscalerError("this local cluster has no Redis")
        return self._redis

    @property
    def redis_url(self) -> str:
        return self.redis.url

    @property
    def faults(self) -> Faults:
        assert self._faults is not None, "the local cluster was not started"
        return self._faults

    @property
    def audit(self) -> Audit:
        assert self._audit is not None, "the local cluster was not started"
        return self._audit

    def _kubeconfig(self) -> str:
        user = {"token": self._server.token} if self._server.token else {}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": {"server": self.server_url}}],
            "users": [{"name": "local", "user": user}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
            "current-context": "local",
        }
        return yaml.safe_dump(document, sort_keys=False)


async def _awaited(what: Callable[[], Any]) -> Any:
    result = what()
    return await result if inspect.isawaitable(result) else result
