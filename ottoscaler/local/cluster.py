"""The local cluster: where its parts are wired together, started and stopped."""

from __future__ import annotations

import asyncio
import inspect
import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import yaml

from ottoscaler.errors import OttoscalerError
from ottoscaler.local import pod_status, pods
from ottoscaler.local.api import Api
from ottoscaler.local.audit import Audit, Recorder
from ottoscaler.local.faults import FaultPlan, Faults
from ottoscaler.local.kubelet_process import ProcessKubelet
from ottoscaler.local.kubelet_simulated import RUN_SECONDS, START_DELAY, SimulatedKubelet
from ottoscaler.local.lists import Lists
from ottoscaler.local.messages import Answer, Request, json_response
from ottoscaler.local.namespaces import Namespaces
from ottoscaler.local.nodes import Nodes
from ottoscaler.local.objects import Objects
from ottoscaler.local.quota import Quotas
from ottoscaler.local.redis_server import RedisServer
from ottoscaler.local.scheduler import Scheduler
from ottoscaler.local.server import Server
from ottoscaler.local.statuses import bad_request, method_not_allowed, not_found
from ottoscaler.local.store import HISTORY_LIMIT, Entry, Store

KubeletKind = Literal["process", "simulated"]

CALL_SECONDS = 10.0  # for the event loop to do one thing
STOP_SECONDS = 15.0
BOOKMARK_SECONDS = 5.0  # kube-apiserver sends one a minute; sooner shows more in a test's time
_NODE_SIZE = {"cpu": "4000", "memory": "16Ti", "ephemeral-storage": "16Ti", "pods": "20000"}


class _Options:
    """The constructor's arguments, as they came."""

    def __init__(self, **options: Any) -> None:
        self.kubelet: KubeletKind | None = options["kubelet"]
        self.nodes: int = options["nodes"]
        self.node_size: dict[str, str] = options["node_size"]
        self.port: int = options["port"]
        self.token: str | None = options["token"]
        self.start_delay: float = options["start_delay"]
        self.run_seconds: float = options["run_seconds"]
        self.bookmark_seconds: float = options["bookmark_seconds"]
        self.history_limit: int = options["history_limit"]


class _Machine:
    """Everything that lives on the event loop thread; what faults are done to."""

    def __init__(self, options: _Options, directory: Path) -> None:
        self._options, self._directory = options, directory
        self.store = Store(options.history_limit)
        self.recorder = Recorder(self.store)
        self.plan = FaultPlan()
        self.faults: Faults | None = None
        quotas, namespaces = Quotas(self.store), Namespaces(self.store)
        self.nodes = Nodes(self.store, options.nodes, {**_NODE_SIZE, **options.node_size})
        self.scheduler = Scheduler(self.store, self.nodes)
        self._kubelet = self._make_kubelet()
        self._namespaces = namespaces
        lists = Lists(self.store, self.plan, options.bookmark_seconds)
        objects = Objects(self.store, quotas, namespaces)
        api = Api(self.store, objects, lists, self.plan, self._kubelet, self._control, options.token)
        self._server = Server(api.answer, self.recorder.record, self.plan)
        self._controls = Server(api.answer, self.recorder.record, self.plan)

    def _make_kubelet(self) -> ProcessKubelet | SimulatedKubelet | None:
        options = self._options
        if options.kubelet == "process":
            return ProcessKubelet(self.store, self.nodes, self._directory / "pods")
        if options.kubelet == "simulated":
            return SimulatedKubelet(self.store, self.nodes, options.start_delay, options.run_seconds)
        return None

    async def start(self) -> tuple[int, int]:
        """Start all; the ports of the API and of the switches."""
        self._namespaces.create_first()
        self.nodes.register()
        if self._kubelet is not None:
            self.scheduler.start()
            await self._kubelet.start()
        await self._server.listen(self._options.port)
        await self._controls.listen()
        return self._server.port, self._controls.port

    async def stop(self) -> None:
        self._server.refuse()
        self._controls.refuse()
        if self._kubelet is not None:
            await self._kubelet.stop()

    # --- the switches over HTTP

    def _control(self, request: Request) -> Answer:
        assert self.faults is not None
        if request.path == "/audit":
            return json_response(200, self.recorder.document())
        if request.method == "GET":
            return json_response(200, {"faults": self.faults.active(), "watches": len(self.plan.watches)})
        if request.method == "DELETE":
            self.faults.clear()
            return json_response(200, {})
        if request.method != "POST":
            raise method_not_allowed()
        try:
            body = dict(json.loads(request.body))
            name = str(body.pop("fault"))
        except (ValueError, TypeError, KeyError) as error:
            raise bad_request('a JSON object with a member "fault" is expected') from error
        switch = getattr(self.faults, name, None)
        if name.startswith("_") or not callable(switch):
            known = [one for one in dir(Faults) if not one.startswith("_")]
            raise bad_request(f"there is no fault {name!r}; there are {', '.join(known)}")
        try:
            switch(**body)
        except (TypeError, ValueError) as error:
            raise bad_request(str(error)) from error
        return json_response(200, {})

    # --- what faults do

    def refuse_connections(self) -> None:
        self._server.refuse()

    async def accept_connections(self) -> None:
        if not self._server.listening:
            await self._server.listen()

    def cut_connections(self) -> None:
        self._server.cut()

    def compact(self) -> None:
        self.store.compact()

    def _pod(self, namespace: str, name: str) -> Entry:
        entry = self.store.get("pods", namespace, name)
        if entry is None:
            raise not_found("pods", name)
        return entry

    def delete_pod(self, namespace: str, name: str, grace_seconds: int | None) -> None:
        pods.delete(self.store, self._pod(namespace, name), grace_seconds)

    def evict_pod(self, namespace: str, name: str, message: str) -> None:
        pod_status.write_eviction(self.store, self._pod(namespace, name), message)

    def vanish_pod(self, namespace: str, name: str) -> None:
        self._pod(namespace, name)
        self.store.remove("pods", (namespace, name))

    def lose_node(self, name: str) -> None:
        self.nodes.lose(name)

    def recover_node(self, name: str) -> None:
        self.nodes.recover(name)


class LocalCluster:
    """A Kubernetes API with nodes, and Redis, on loopback; a context manager, or ``start`` and ``stop``.

    ``kubelet``: ``"process"`` runs each container's command on this machine, ``"simulated"`` obeys
    ``sim/...`` annotations, None leaves Pods as they are written (unscheduled, so that a delete is
    immediate). ``redis`` False leaves Redis out. ``directory`` None is a temporary one that ``stop``
    removes. ``token``: without this bearer token requests are answered with 401. ``node_size`` changes
    each node's cpu, memory and pods. Starts within 0.5 s, Redis apart.

    ``faults`` and ``audit`` may be used from any thread.
    """

    def __init__(
        self,
        kubelet: KubeletKind | None = "process",
        *,
        redis: bool = True,
        directory: Path | str | None = None,
        port: int = 0,
        redis_port: int = 0,
        redis_fsync: str = "everysec",
        nodes: int = 1,
        node_size: dict[str, str] | None = None,
        token: str | None = None,
        start_delay: float = START_DELAY,
        run_seconds: float = RUN_SECONDS,
        bookmark_seconds: float = BOOKMARK_SECONDS,
        history_limit: int = HISTORY_LIMIT,
    ) -> None:
        self._options = _Options(
            kubelet=kubelet,
            nodes=nodes,
            node_size=node_size or {},
            port=port,
            token=token,
            start_delay=start_delay,
            run_seconds=run_seconds,
            bookmark_seconds=bookmark_seconds,
            history_limit=history_limit,
        )
        self._with_redis, self._redis_port, self._redis_fsync = redis, redis_port, redis_fsync
        self._given = Path(directory) if directory is not None else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._machine: _Machine | None = None
        self._redis: RedisServer | None = None
        self._directory = Path()
        self.server_url = self.control_url = ""
        self._faults: Faults | None = None
        self._audit: Audit | None = None

    # --- life

    def start(self) -> Self:
        """Start everything. Raises OSError for a port in use, RedisNotFound and RedisFailed."""
        self._directory = self._given or Path(tempfile.mkdtemp(prefix="ottoscaler-local-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-cluster", daemon=True)
        self._thread.start()
        try:
            self._start_machine()
            if self._with_redis:
                redis = RedisServer(
                    self._directory / "redis", self._redis_port, fsync=self._redis_fsync, spawn=self._call
                )
                redis.start()
                self._redis = redis
        except BaseException:
            self.stop()
            raise
        return self

    def _start_machine(self) -> None:
        machine = self._machine = _Machine(self._options, self._directory)
        self._audit = Audit(machine.recorder, self._call)
        self._faults = machine.faults = Faults(machine.plan, machine, self._call)
        port, control_port = self._call(machine.start)
        self.server_url = f"http://127.0.0.1:{port}"
        self.control_url = f"http://127.0.0.1:{control_port}"
        self.kubeconfig_path.write_text(self._kubeconfig())
        self.kubeconfig_path.chmod(0o600)

    def stop(self) -> None:
        """Stop everything, containers and Redis included; nothing is left running. Harmless twice."""
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
        """Do something on the event loop thread, CALL_SECONDS at most, and return what it returns."""
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
        """The Redis server, to stop, kill and restart. Raises OttoscalerError where it was left out."""
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
        user = {"token": self._options.token} if self._options.token else {}
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
