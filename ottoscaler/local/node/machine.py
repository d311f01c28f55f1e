"""Connects the parts of the local cluster that live on its event loop thread. Faults act on these parts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ottoscaler.local.apiserver import pods
from ottoscaler.local.apiserver.admission import Admission
from ottoscaler.local.apiserver.api import Api
from ottoscaler.local.apiserver.audit import Recorder
from ottoscaler.local.apiserver.core_events import CoreEvents
from ottoscaler.local.apiserver.discovery import MINOR
from ottoscaler.local.apiserver.fault_plan import FaultPlan
from ottoscaler.local.apiserver.faults import Faults
from ottoscaler.local.apiserver.lists import Lists
from ottoscaler.local.apiserver.messages import Answer, Request, json_response
from ottoscaler.local.apiserver.namespaces import Namespaces
from ottoscaler.local.apiserver.objects import Objects
from ottoscaler.local.apiserver.quota import Quotas
from ottoscaler.local.apiserver.server import Server
from ottoscaler.local.apiserver.statuses import bad_request, method_not_allowed, not_found
from ottoscaler.local.apiserver.store import Store, Stored
from ottoscaler.local.node import pod_status
from ottoscaler.local.node.kubelet_process import ProcessKubelet
from ottoscaler.local.node.kubelet_simulated import SimulatedKubelet
from ottoscaler.local.node.nodes import Nodes
from ottoscaler.local.node.scheduler import Scheduler

BOOKMARK_SECONDS = 5.0  # kube-apiserver sends one a minute, which is too seldom for tests

KubeletKind = Literal["process", "simulated"]

_NODE_SIZE = {"cpu": "4000", "memory": "16Ti", "ephemeral-storage": "16Ti", "pods": "20000"}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of the API server. With a ``token``, requests without this bearer token get 401. The server
    reports the version 1.``minor``. Below 27, it knows no scheduling gates."""

    port: int = 0
    token: str | None = None
    bookmark_seconds: float = BOOKMARK_SECONDS
    minor: int = MINOR


class Machine:
    """Everything that lives on the event loop thread. Faults act on it."""

    def __init__(
        self, server: ServerOptions, kubelet: KubeletKind | None, nodes: int, directory: Path
    ) -> None:
        self._port, self._directory = server.port, directory
        self.store = Store()
        self.recorder = Recorder(self.store)
        self.plan = FaultPlan()
        self.faults: Faults | None = None
        quotas, namespaces = Quotas(self.store), Namespaces(self.store)
        self.nodes = Nodes(self.store, nodes, _NODE_SIZE)
        self.events = CoreEvents(self.store)
        self.scheduler = Scheduler(self.store, self.nodes, self.events)
        self._kubelet = self._make_kubelet(kubelet)
        self._namespaces = namespaces
        lists = Lists(self.store, self.plan, server.bookmark_seconds)
        objects = Objects(self.store, quotas, namespaces, Admission(self.plan), server.minor)
        api = Api(
            self.store, objects, lists, self.plan, self._kubelet, self._control, server.token, server.minor
        )
        self._server = Server(api.answer, self.recorder.record, self.plan)
        self._controls = Server(api.answer, self.recorder.record, self.plan)

    def _make_kubelet(self, kind: KubeletKind | None) -> ProcessKubelet | SimulatedKubelet | None:
        if kind == "process":
            return ProcessKubelet(self.store, self.nodes, self.events, self._directory / "pods")
        if kind == "simulated":
            return SimulatedKubelet(self.store, self.nodes, self.events)
        return None

    async def start(self) -> tuple[int, int]:
        """Start everything. Returns the ports of the API and of the fault switches."""
        self._namespaces.create_first()
        self.nodes.register()
        if self._kubelet is not None:
            self.scheduler.start()
            await self._kubelet.start()
        await self._server.listen(self._port)
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

    def _pod(self, namespace: str, name: str) -> Stored:
        entry = self.store.get("pods", namespace, name)
        if entry is None:
            raise not_found("pods", name)
        return entry

    def delete_pod(self, namespace: str, name: str, grace_seconds: int | None) -> None:
        pods.delete(self.store, self._pod(namespace, name), grace_seconds)

    def evict_pod(self, namespace: str, name: str, message: str) -> None:
        entry = self._pod(namespace, name)
        now = self.nodes.now(entry.obj["spec"].get("nodeName", ""))
        pod_status.write_eviction(self.store, entry, message, now)

    def vanish_pod(self, namespace: str, name: str) -> None:
        self._pod(namespace, name)
        self.store.remove("pods", (namespace, name))

    def lose_node(self, name: str) -> None:
        self.nodes.lose(name)

    def recover_node(self, name: str) -> None:
        self.nodes.recover(name)

    def shift_node_clock(self, name: str, seconds: float) -> None:
        self.nodes.shift_clock(name, seconds)

    def set_node_clocks_right(self) -> None:
        self.nodes.clocks.clear()

    def stall_etcd(self, how: str) -> None:
        self.plan.etcd.begin(how)
        self.nodes.pause()

    def resume_etcd(self) -> None:
        self.plan.etcd.end()
        self.nodes.resume()
