"""A kubelet that runs nothing: timers of the event loop simulate thousands of Pods, as they ask for it."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable

from ottoscaler.local.apiserver import pods
from ottoscaler.local.apiserver.core_events import CoreEvents
from ottoscaler.local.apiserver.quota import terminal
from ottoscaler.local.apiserver.store import Event, Store, Stored
from ottoscaler.local.node import pod_status, simulation, trouble
from ottoscaler.local.node.nodes import Nodes
from ottoscaler.model import JsonObject

START_DELAY, RUN_SECONDS, TERM_SECONDS = 0.2, 1.0, 0.05
WAITING_STEP_SECONDS = 0.5  # from one waiting reason to the next
BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 1.0, 300.0


class _Simulated:
    """What this kubelet knows about one Pod."""

    __slots__ = (
        "began",
        "deadline",
        "ip",
        "key",
        "last",
        "node",
        "ran",
        "restarts",
        "shown",
        "stage",
        "started",
        "timer",
        "waits",
    )

    def __init__(self, key: tuple[str, str], node: str, ip: str) -> None:
        self.key, self.node, self.ip = key, node, ip
        self.stage = "new"
        self.began = self.started = ""
        self.restarts = self.shown = 0
        self.ran = False  # whether its containers still ran when its deletion began
        self.last: list[JsonObject] = []
        self.waits: list[str] | None = None  # the waiting reasons still to come
        self.timer: asyncio.TimerHandle | None = None
        self.deadline: asyncio.TimerHandle | None = None


class SimulatedKubelet:
    """Simulates the Pods bound to the fake nodes. Event loop thread only."""

    def __init__(self, store: Store, nodes: Nodes, events: CoreEvents) -> None:
        self._store, self._nodes, self._events = store, nodes, events
        self._pods: dict[str, _Simulated] = {}
        self._addresses = itertools.count(1)

    async def start(self) -> None:
        self._store.subscribe("pods", self._pod_event)

    async def stop(self) -> None:
        for uid in list(self._pods):
            self._forget(uid)

    # --- events; a listener must not write, so writes are done later

    def _pod_event(self, event: Event) -> None:
        pod = event.entry.obj
        uid = event.entry.uid
        if event.type == "DELETED":
            self._forget(uid)
            return
        node = pod["spec"].get("nodeName")
        if node not in self._nodes.names:
            return
        known = self._pods.get(uid)
        if known is None:
            address = pod_status.pod_address(next(self._addresses))
            known = self._pods[uid] = _Simulated(event.key, node, address)
            if terminal(pod):
                known.stage = "ended"
            elif not pod["metadata"].get("deletionTimestamp"):
                self._after(simulation.number(pod, "start-delay", START_DELAY), self._begin, uid)
        if pod["metadata"].get("deletionTimestamp") and known.stage != "ending":
            self._end(uid, known, pod)
        elif terminal(pod) and known.stage not in ("ended", "ending"):
            known.stage = "ended"  # somebody else wrote the last status: an eviction
            self._cancel(known)

    def _end(self, uid: str, known: _Simulated, pod: JsonObject) -> None:
        self._cancel(known)
        idle = known.stage in ("new", "ended")
        known.stage, known.ran = "ending", not idle
        grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        seconds = 0.0 if idle else min(grace, simulation.number(pod, "term-seconds", TERM_SECONDS))
        self._after(seconds, self._remove, uid)

    def _forget(self, uid: str) -> None:
        known = self._pods.pop(uid, None)
        if known is not None:
            self._cancel(known)

    @staticmethod
    def _cancel(known: _Simulated) -> None:
        for timer in (known.timer, known.deadline):
            if timer is not None:
                timer.cancel()

    def _after(self, seconds: float, step: Callable[[str, _Simulated, Stored], None], uid: str) -> None:
        known = self._pods[uid]
        known.timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), self._step, step, uid)

    def _step(self, step: Callable[[str, _Simulated, Stored], None], uid: str) -> None:
        known = self._pods.get(uid)
        if known is None:
            return

        def run() -> None:
            entry = self._store.get("pods", *known.key)
            if entry is not None and entry.uid == uid:
                step(uid, known, entry)

        self._nodes.when_there(known.node, run)

    # --- steps of a Pod's life

    def _begin(self, uid: str, known: _Simulated, entry: Stored) -> None:
        pod = entry.obj
        if known.stage not in ("new", "backoff"):
            return
        known.began = known.began or self._nodes.now(known.node)
        limit = pod["spec"].get("activeDeadlineSeconds")
        if limit and known.deadline is None:
            known.deadline = asyncio.get_running_loop().call_later(limit, self._step, self._expire, uid)
        if known.waits is None:
            known.waits = [one for one in (simulation.text(pod, "waiting") or "").split(",") if one]
            if known.waits:
                known.stage = "waiting"
                self._wait(uid, known, entry)
                return
        known.started, known.stage = self._nodes.now(known.node), "running"
        containers = pod["spec"]["containers"]
        seconds = max(simulation.number(pod, "run-seconds", RUN_SECONDS, [one]) for one in containers)
        if math.isfinite(seconds):
            self._after(seconds, self._finish, uid)
        self._report(known, entry, "Running", [pod_status.running(known.started) for _ in containers])

    def _wait(self, uid: str, known: _Simulated, entry: Stored) -> None:
        """Show the next waiting reason. After the last one, the containers start, if they ever do."""
        if known.stage != "waiting" or known.waits is None:
            return
        if not known.waits:
            known.stage = "new"
            self._begin(uid, known, entry)
            return
        pod, reason, first = entry.obj, known.waits.pop(0), known.shown == 0
        known.shown += 1
        containers = pod["spec"]["containers"]
        given = simulation.text(pod, "waiting-message") if first else None
        message = given or trouble.usual_words(reason, containers[0])
        entry = self._report(
            known, entry, "Pending", [pod_status.waiting(reason, message) for _ in containers]
        )
        for container in containers:
            trouble.tell_waiting(self._events, entry, container, reason, message, self._nodes.now(known.node))
        if first and (said := simulation.text(pod, "event")):
            trouble.tell(self._events, entry, said, self._nodes.now(known.node))
        seconds = WAITING_STEP_SECONDS if known.waits else simulation.number(pod, "waiting-seconds", math.inf)
        if math.isfinite(seconds):
            self._after(seconds, self._wait, uid)

    def _finish(self, uid: str, known: _Simulated, entry: Stored) -> None:
        pod = entry.obj
        if known.stage != "running":
            return
        codes = [int(simulation.number(pod, "exit-code", 0, [one])) for one in pod["spec"]["containers"]]
        states = self._ended(known, pod, codes)
        policy, failed = pod["spec"].get("restartPolicy"), any(codes)
        if policy == "Always" or (policy == "OnFailure" and failed):  # all containers restart together
            delay = min(BACKOFF_SECONDS * 2**known.restarts, MAX_BACKOFF_SECONDS)
            known.last, known.stage = states, "backoff"
            known.restarts += 1
            self._after(delay, self._begin, uid)
            self._report(known, entry, "Running", [pod_status.waiting("CrashLoopBackOff") for _ in states])
            return
        known.stage = "ended"
        self._cancel(known)
        self._report(known, entry, "Failed" if failed else "Succeeded", states)

    def _expire(self, _: str, known: _Simulated, entry: Stored) -> None:
        if known.stage in ("ended", "ending"):
            return
        known.stage = "ended"
        self._cancel(known)
        states = self._ended(known, entry.obj, [137 for _ in entry.obj["spec"]["containers"]], plain=True)
        self._report(
            known, entry, "Failed", states, reason="DeadlineExceeded", message=pod_status.DEADLINE_MESSAGE
        )

    def _remove(self, _: str, known: _Simulated, entry: Stored) -> None:
        pod = entry.obj
        if known.ran and not terminal(pod):
            code = int(simulation.number(pod, "term-exit-code", 143))
            states = self._ended(known, pod, [code for _ in pod["spec"]["containers"]], plain=True)
            entry = self._report(known, entry, "Failed" if code else "Succeeded", states)
        pods.finish_deletion(self._store, entry)

    # --- statuses

    def _ended(
        self, known: _Simulated, pod: JsonObject, codes: list[int], *, plain: bool = False
    ) -> list[JsonObject]:
        now = self._nodes.now(known.node)
        began = known.started or now
        states = []
        for container, code in zip(pod["spec"]["containers"], codes, strict=True):
            reason = "Error" if code else "Completed"
            if not plain:
                reason = simulation.text(pod, "reason", [container]) or reason
            states.append(pod_status.terminated(code, reason, began, now))
        return states

    def _report(
        self,
        known: _Simulated,
        entry: Stored,
        phase: str,
        states: list[JsonObject],
        reason: str = "",
        message: str = "",
    ) -> Stored:
        pod = entry.obj
        uid = entry.uid
        last = known.last if known.restarts else []
        containers = [
            pod_status.container_status(one, state, uid, known.restarts, last[i] if i < len(last) else None)
            for i, (one, state) in enumerate(zip(pod["spec"]["containers"], states, strict=True))
        ]
        now = self._nodes.now(known.node)
        began = known.began or now
        done = pod_status.terminated(0, "Completed", began, now)
        init = [
            {**pod_status.container_status(one, done, uid), "ready": True}
            for one in pod["spec"].get("initContainers") or []
        ]
        status = pod_status.pod_status(
            pod,
            phase,
            containers,
            began=began,
            now=now,
            ip=known.ip,
            init=init,
            reason=reason,
            message=message,
        )
        return pod_status.write_status(self._store, entry, status)

    # --- logs

    def log(self, pod: JsonObject, container: str) -> bytes:
        """What its annotation says, since this kubelet keeps no files."""
        where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}/{container}"
        return (simulation.text(pod, "log") or f"no container ran: {where}\n").encode()
