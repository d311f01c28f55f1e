"""What the process kubelet knows about one Pod (its sandbox) and each of its containers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ottoscaler.local.node import pod_status
from ottoscaler.model import JsonObject

# The kubelet's limits for a termination message from the log.
MESSAGE_BYTES, MESSAGE_LINES = 2048, 80


class Container:
    """One container: its state, and how often it was restarted."""

    def __init__(self, uid: str, spec: JsonObject) -> None:
        self.uid, self.spec = uid, spec
        self.name: str = spec["name"]
        self.state: JsonObject = {}
        self.last: JsonObject = {}
        self.restarts = 0
        self.alive = False  # whether it was given to the runtime and has not ended yet
        self.log = Path()
        self.identity = ""

    @property
    def idle(self) -> bool:
        """Whether it has never been started, or must be started again."""
        return not self.state and not self.alive

    @property
    def succeeded(self) -> bool:
        ended = self.state.get("terminated")
        return ended is not None and ended["exitCode"] == 0

    def waits_for(self, reason: str) -> bool:
        return bool((self.state.get("waiting") or {}).get("reason") == reason)

    def wait(self, reason: str, message: str = "") -> None:
        self.state = pod_status.waiting(reason, message)

    def launch(self, log: Path) -> None:
        """Note that it is about to be started. Its output goes to ``log``."""
        self.identity = f"{self.uid}/{self.name}/{self.restarts}"
        self.alive, self.log = True, log

    def run(self, now: str) -> None:
        """Note that it runs, since ``now`` by its node's clock."""
        if self.alive:
            self.state = pod_status.running(now)

    def end(self, code: int, reason: str, now: str, message: str = "") -> None:
        """Note that it has ended or could not be started. A failed one's message may come from its log."""
        self.alive = False
        began = (self.state.get("running") or {}).get("startedAt") or now
        if code and not message and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = last_words(self.log)
        self.state = pod_status.terminated(code, reason, began, now, message)

    def must_restart(self, policy: str) -> bool:
        ended = self.state.get("terminated")
        if ended is None or policy == "Never":
            return False
        return bool(policy == "Always" or ended["exitCode"])

    def back_off(self) -> None:
        """Note that it waits for its restart. Until then it shows how it ended."""
        self.last = self.state
        self.restarts += 1
        self.wait("CrashLoopBackOff", f"back-off restarting failed container={self.name}")

    def status(self, uid: str, *, init: bool = False, behind_init: bool = False) -> JsonObject:
        """Its status. With ``behind_init``, it starts only after the Pod's init containers."""
        state = self.state or pod_status.waiting("PodInitializing" if behind_init else "ContainerCreating")
        status = pod_status.container_status(self.spec, state, uid, self.restarts, self.last)
        if init and self.succeeded:
            status["ready"] = True
        return status


class Sandbox:
    """One Pod on this kubelet: its containers, its directory, and how far its deletion has come."""

    def __init__(
        self, uid: str, key: tuple[str, str], node: str, ip: str, directory: Path, spec: JsonObject
    ) -> None:
        self.uid, self.key, self.node, self.ip, self.directory = uid, key, node, ip, directory
        self.init = [Container(uid, one) for one in spec.get("initContainers") or []]
        self.containers = [Container(uid, one) for one in spec["containers"]]
        self.volume_names = [volume["name"] for volume in spec.get("volumes") or []]
        self.never = spec.get("restartPolicy") == "Never"
        self.began = ""
        self.reason = self.message = ""
        self.grace: int | None = None  # seconds of grace, if it is being deleted
        self.armed: int | None = None  # seconds until SIGKILL, as the timer was last set
        self.told = False  # whether SIGTERM was sent
        self.finished = False  # whether its last status is written
        self.timers: list[asyncio.TimerHandle] = []

    @property
    def all(self) -> list[Container]:
        return [*self.init, *self.containers]

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def volumes(self) -> Path:
        return self.directory / "volumes"

    def find(self, name: str) -> Container | None:
        return next((one for one in self.all if one.name == name and one.identity), None)

    def log_path(self, container: Container) -> Path:
        return self.directory / "logs" / f"{container.name}-{container.restarts}.log"

    def create_directories(self) -> None:
        """Create the Pod's own directories: a home, logs, and one for each volume."""
        for directory in (
            self.home,
            self.directory / "logs",
            *(self.volumes / one for one in self.volume_names),
        ):
            directory.mkdir(parents=True, exist_ok=True)

    def startable(self) -> list[Container]:
        """What may start now: the next init container or, once these are done, all other containers."""
        for container in self.init:
            if not container.succeeded:
                return [container] if container.idle else []
        return [container for container in self.containers if container.idle]

    def ended_to_restart(self, policy: str) -> list[Container]:
        """The containers that have ended and must be restarted by the Pod's restart policy."""
        of_init = "OnFailure" if policy == "Always" else policy
        return [one for one in self.init if one.must_restart(of_init)] + [
            one for one in self.containers if one.must_restart(policy)
        ]

    def cancel_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def phase(self) -> str:
        """The Pod's phase, from its containers' states."""
        if self.reason:
            return "Failed"
        if not all(one.succeeded for one in self.init):
            ended = any("terminated" in one.state for one in self.init if not one.succeeded)
            return "Failed" if ended and self.over else "Pending"
        states = [one.state for one in self.containers]
        if all("terminated" in state for state in states):
            return "Succeeded" if all(one.succeeded for one in self.containers) else "Failed"
        if any("running" in state or "terminated" in state for state in states):
            return "Running"
        return "Running" if any(one.restarts for one in self.containers) else "Pending"

    @property
    def over(self) -> bool:
        """Whether an init container's failure is final."""
        return self.never or self.grace is not None


def last_words(log: Path) -> str:
    """The end of a log, which the kubelet uses as a termination message: at most 80 lines and 2,048 bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MESSAGE_BYTES))
            text = file.read()
    except OSError:
        return ""
    lines = text.splitlines(keepends=True)[-MESSAGE_LINES:]
    return b"".join(lines).decode(errors="replace")
