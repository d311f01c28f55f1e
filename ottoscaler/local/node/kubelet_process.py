"""A kubelet that runs each container's command as a process group on this machine.

No image is pulled. A malformed name is refused, a name that contains ``does-not-exist`` cannot be pulled, and
every other name stands for this machine's own programs.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from ottoscaler.local.apiserver import pods
from ottoscaler.local.apiserver.core_events import CoreEvents
from ottoscaler.local.apiserver.quota import terminal
from ottoscaler.local.apiserver.store import Event, Store, Stored
from ottoscaler.local.node import container_env, images, pod_status, trouble
from ottoscaler.local.node.containers import Container, Sandbox
from ottoscaler.local.node.nodes import Nodes
from ottoscaler.local.node.runtime import Runtime
from ottoscaler.model import JsonObject

MOUNT_RETRY_SECONDS = 1.0  # a real kubelet begins with half a second, and doubles it
PULL_RETRY_SECONDS = 1.0  # from ErrImagePull to ImagePullBackOff; some 10 with a real kubelet
RESTART_SECONDS, MAX_RESTART_SECONDS = 1.0, 300.0  # a real kubelet begins with 10


class ProcessKubelet:
    """Runs the Pods bound to the fake nodes. Event loop thread only."""

    def __init__(self, store: Store, nodes: Nodes, events: CoreEvents, directory: Path) -> None:
        self._store, self._nodes, self._events, self._directory = store, nodes, events, directory
        self._runtime = Runtime(self._started, self._failed, self._ended)
        self._pods: dict[str, Sandbox] = {}
        self._addresses = itertools.count(1)

    async def start(self) -> None:
        await self._runtime.start()
        self._store.subscribe("pods", self._pod_event)

    async def stop(self) -> None:
        """Kill every container and wait until all are gone."""
        for sandbox in self._pods.values():
            sandbox.cancel_timers()
        self._pods.clear()
        await self._runtime.stop()

    # --- what the API server tells

    def _pod_event(self, event: Event) -> None:
        pod, uid = event.entry.obj, event.entry.uid
        node = pod["spec"].get("nodeName")
        if event.type == "DELETED":
            self._forget(uid)
            return
        if node not in self._nodes.names:
            return
        sandbox = self._pods.get(uid)
        if sandbox is None:
            if terminal(pod):
                return
            address = pod_status.pod_address(next(self._addresses))
            sandbox = Sandbox(uid, event.key, node, address, self._directory / uid, pod["spec"])
            self._pods[uid] = sandbox
            self._soon(sandbox, self._begin)
        if pod["metadata"].get("deletionTimestamp"):
            grace = int(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            if sandbox.grace is None or grace < sandbox.grace:
                sandbox.grace = grace
                self._soon(sandbox, self._terminate)
        elif terminal(pod) and not sandbox.finished:
            sandbox.finished = True  # somebody else wrote the last status: an eviction
            self._kill(sandbox, signal.SIGKILL)

    def _soon(self, sandbox: Sandbox, step: Callable[[Sandbox], None]) -> None:
        asyncio.get_running_loop().call_soon(self._step, sandbox, step)

    def _step(self, sandbox: Sandbox, step: Callable[[Sandbox], None]) -> None:
        self._nodes.when_there(sandbox.node, lambda: step(sandbox) if sandbox.uid in self._pods else None)

    def _later(self, sandbox: Sandbox, seconds: float, step: Callable[[Sandbox], None]) -> None:
        sandbox.timers.append(asyncio.get_running_loop().call_later(seconds, self._step, sandbox, step))

    def _forget(self, uid: str) -> None:
        sandbox = self._pods.pop(uid, None)
        if sandbox is None:
            return
        sandbox.cancel_timers()
        self._kill(sandbox, signal.SIGKILL)
        shutil.rmtree(sandbox.directory, ignore_errors=True)

    def _entry(self, sandbox: Sandbox) -> Stored | None:
        entry = self._store.get("pods", *sandbox.key)
        return entry if entry is not None and entry.uid == sandbox.uid else None

    # --- starting

    def _begin(self, sandbox: Sandbox) -> None:
        entry = self._entry(sandbox)
        if entry is None or sandbox.grace is not None:
            return
        sandbox.began = self._nodes.now(sandbox.node)
        sandbox.create_directories()
        limit = entry.obj["spec"].get("activeDeadlineSeconds")
        if limit:
            self._later(sandbox, limit, self._expire)
        self._mount(sandbox)

    def _mount(self, sandbox: Sandbox) -> None:
        """Start the containers once all volumes exist. Until then the Pod waits in ContainerCreating."""
        entry = self._entry(sandbox)
        if entry is None or sandbox.grace is not None or sandbox.finished:
            return
        missing = container_env.missing_volume(entry.obj, self._store)
        if missing is None:
            self._advance(sandbox)
        else:
            trouble.tell(self._events, entry, f"FailedMount {missing}", self._nodes.now(sandbox.node))
            self._later(sandbox, MOUNT_RETRY_SECONDS, self._mount)
        self._report(sandbox)

    def _advance(self, sandbox: Sandbox) -> None:
        for container in sandbox.startable():
            self._start(sandbox, container)

    def _start(self, sandbox: Sandbox, container: Container) -> None:
        entry = self._entry(sandbox)
        if entry is None:
            return
        problem = images.problem(container.spec.get("image", ""))
        if problem is not None:
            self._wait(sandbox, container, entry, *problem)
            if container.waits_for("ErrImagePull"):
                self._later(sandbox, PULL_RETRY_SECONDS, self._back_off_pulls)
            return
        try:
            self._launch(sandbox, container, entry.obj)
        except container_env.ConfigError as error:
            self._wait(sandbox, container, entry, "CreateContainerConfigError", str(error))

    def _wait(self, sandbox: Sandbox, container: Container, entry: Stored, reason: str, message: str) -> None:
        container.wait(reason, message)
        now = self._nodes.now(sandbox.node)
        trouble.tell_waiting(self._events, entry, container.spec, reason, message, now)

    def _launch(self, sandbox: Sandbox, container: Container, pod: JsonObject) -> None:
        status = {**pod["status"], "podIP": sandbox.ip, "hostIP": "127.0.0.1"}
        variables = container_env.environment({**pod, "status": status}, container.spec, self._store)
        mounted = container_env.mounts(container.spec, sandbox.volumes)
        directory = container_env.relocated(container.spec.get("workingDir") or str(sandbox.home), mounted)
        hostname = pod["spec"].get("hostname") or pod["metadata"]["name"]
        container.launch(sandbox.log_path(container))
        self._runtime.run(
            container.identity,
            container_env.command_line(container.spec, variables),
            container_env.process_environment(variables, mounted, hostname, sandbox.home),
            directory,
            container.log,
        )

    def _back_off_pulls(self, sandbox: Sandbox) -> None:
        entry = self._entry(sandbox)
        for container in sandbox.all:
            if entry is not None and container.waits_for("ErrImagePull"):
                words = f'Back-off pulling image "{container.spec["image"]}"'
                self._wait(sandbox, container, entry, "ImagePullBackOff", words)
        self._report(sandbox)

    # --- what the runtime tells

    def _found(self, identity: str) -> tuple[Sandbox, Container] | None:
        sandbox = self._pods.get(identity.partition("/")[0])
        if sandbox is None:
            return None
        container = next((one for one in sandbox.all if one.identity == identity), None)
        return (sandbox, container) if container is not None else None

    def _started(self, identity: str) -> None:
        found = self._found(identity)
        if found is not None:
            found[1].run(self._nodes.now(found[0].node))
            self._soon(found[0], self._report)

    def _failed(self, identity: str, message: str) -> None:
        found = self._found(identity)
        if found is not None:
            found[1].end(128, "StartError", self._nodes.now(found[0].node), message)
            self._soon(found[0], self._conclude)

    def _ended(self, identity: str, code: int) -> None:
        found = self._found(identity)
        if found is not None:
            found[1].end(code, "Completed" if code == 0 else "Error", self._nodes.now(found[0].node))
            self._soon(found[0], self._conclude)

    def _conclude(self, sandbox: Sandbox) -> None:
        """After a container has ended: restart it, start the next one, or finish the Pod."""
        entry = self._entry(sandbox)
        if entry is None:
            return
        if sandbox.grace is not None:
            self._terminate(sandbox)
            return
        if sandbox.finished:
            return
        if sandbox.reason:
            self._report(sandbox)
            return
        policy = entry.obj["spec"].get("restartPolicy", "Always")
        for container in sandbox.ended_to_restart(policy):
            delay = min(RESTART_SECONDS * 2**container.restarts, MAX_RESTART_SECONDS)
            container.back_off()
            self._later(sandbox, delay, self._restart)
        self._advance(sandbox)
        self._report(sandbox)

    def _restart(self, sandbox: Sandbox) -> None:
        if sandbox.grace is None and not sandbox.finished:
            for container in sandbox.all:
                if container.waits_for("CrashLoopBackOff"):
                    container.state = {}
            self._advance(sandbox)
            self._report(sandbox)

    # --- ending

    def _kill(self, sandbox: Sandbox, number: int) -> None:
        for container in sandbox.all:
            if container.alive:
                self._runtime.signal(container.identity, number)

    def _terminate(self, sandbox: Sandbox) -> None:
        """End a deleted Pod: SIGTERM, then SIGKILL after its grace. With its last container, it is gone."""
        if any(container.alive for container in sandbox.all):
            if not sandbox.told:
                self._kill(sandbox, signal.SIGTERM)
                sandbox.told = True
            if sandbox.armed is None or (sandbox.grace or 0) < sandbox.armed:
                sandbox.armed = sandbox.grace or 0
                self._later(sandbox, sandbox.armed, lambda one: self._kill(one, signal.SIGKILL))
            return
        entry = self._entry(sandbox)
        if entry is None:
            return
        if sandbox.began and not sandbox.finished:
            self._report(sandbox)
            entry = self._entry(sandbox)
        if entry is not None:
            pods.finish_deletion(self._store, entry)

    def _expire(self, sandbox: Sandbox) -> None:
        """After activeDeadlineSeconds: the Pod is Failed, and its containers get their grace."""
        entry = self._entry(sandbox)
        if entry is None or sandbox.finished or sandbox.grace is not None:
            return
        sandbox.reason, sandbox.message = "DeadlineExceeded", pod_status.DEADLINE_MESSAGE
        self._kill(sandbox, signal.SIGTERM)
        grace = entry.obj["spec"].get("terminationGracePeriodSeconds", 30)
        self._later(sandbox, grace, lambda one: self._kill(one, signal.SIGKILL))
        self._report(sandbox)

    # --- reporting

    def _report(self, sandbox: Sandbox) -> None:
        entry = self._entry(sandbox)
        if entry is None or (sandbox.finished and terminal(entry.obj) and not sandbox.reason):
            return
        phase = sandbox.phase()
        if phase in ("Succeeded", "Failed"):
            sandbox.finished = not any(container.alive for container in sandbox.all)
        status = pod_status.pod_status(
            entry.obj,
            phase,
            [one.status(sandbox.uid, behind_init=bool(sandbox.init)) for one in sandbox.containers],
            began=sandbox.began,
            now=self._nodes.now(sandbox.node),
            ip=sandbox.ip,
            init=[container.status(sandbox.uid, init=True) for container in sandbox.init],
            reason=sandbox.reason,
            message=sandbox.message,
        )
        pod_status.write_status(self._store, entry, status)

    # --- logs

    def log(self, pod: JsonObject, container: str) -> Path | bytes:
        """The file that this container's output goes to. It is removed with the Pod."""
        sandbox = self._pods.get(pod["metadata"]["uid"])
        one = sandbox.find(container) if sandbox is not None else None
        return one.log if one is not None else b""

    def running(self, uid: str, container: str) -> bool:
        """Whether the container may still write to its log."""
        sandbox = self._pods.get(uid)
        one = sandbox.find(container) if sandbox is not None else None
        return one is not None and (one.alive or one.idle)
