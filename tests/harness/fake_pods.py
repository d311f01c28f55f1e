"""The Pod API without an API server: Pods in a dictionary, changed by the test, for tests of single steps.

It keeps to the statements of tests/conformance/test_pod_client.py, as the client does before a server.
"""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from ottoscaler.errors import PodExists, PodGone, VersionExpired
from ottoscaler.kube.pod_api import WatchEvent
from ottoscaler.kube.server_health import ServerHealth
from ottoscaler.local.apiserver.selectors import label_selector
from ottoscaler.model import JsonObject, PodView
from ottoscaler.pods.view import parse_pod


def timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class FakeTurn:
    """A create's turn, which comes after ``waits`` calls of ready."""

    def __init__(self, pods: FakePods, body: bytes, *, opened: bool = False) -> None:
        self._pods = pods
        self._body = body
        self._opened = opened
        self._waits = pods.turns_wait
        self._answer: Future[JsonObject] | None = None  # to a request that was completed

    def __enter__(self) -> FakeTurn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def ready(self, seconds: float) -> bool:
        self._waits -= 1
        self._pods.turns_asked += 1
        return self._waits < 0

    def send(self) -> JsonObject:
        return self._answer.result() if self._answer is not None else self._pods.create(self._body)

    def complete(self) -> bool:
        if not (self._opened and self.ready(0)):
            return False
        self._opened = False
        self._answer = answer = Future[JsonObject]()
        try:
            answer.set_result(self._pods.create(self._body))
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader of the answer gets it
            answer.set_exception(error)
        return True

    def leave(self) -> None:
        self._pods.turns_left += 1
        if self._opened:
            self._pods.dropped += 1
        self._opened = False


class FakePods:
    """A ``PodApi``. For one thread. ``calls`` has (verb, name) of all that was asked, in order."""

    def __init__(self) -> None:
        self.namespace = "workers"
        self.health = ServerHealth()
        self.pods: dict[str, JsonObject] = {}
        self.others: dict[str, FakePods] = {}  # the same in other namespaces
        self.calls: list[tuple[str, str]] = []
        self.logs: dict[str, bytes] = {}
        self.turns_wait = 0  # how often a turn is not ready
        self.dropped = 0  # turns whose request was opened and never sent
        self.turns_left = 0  # how often one was left
        self.turns_asked = 0  # how often somebody asked whether one is
        self.events: list[tuple[int, JsonObject]] = []  # version and event of all that a watch would show
        self.watch_seconds: list[int] = []  # for how long each watch was asked for
        self.mute = False  # a watch ends without an event and without a bookmark
        self.expired = 0  # versions before it are too old to watch from
        self._failures: dict[str, deque[Exception]] = {}
        self._version = itertools.count(1)
        self._last = 0

    # --- the test's side

    def fail(self, verb: str, *errors: Exception) -> None:
        """The next calls of that verb raise these, one after the other, and have no effect.

        Of ``event``: the next watches that were opened."""
        self._failures.setdefault(verb, deque()).extend(errors)

    def lose_reply(self, error: Exception) -> None:
        """The next create takes effect, and raises this."""
        self.fail("reply", error)

    def run(self, name: str) -> None:
        """The Pod's worker runs."""
        state = {"running": {"startedAt": timestamp()}}
        self._change(name, "Running", state)

    def end(self, name: str, exit_code: int = 0, message: str = "") -> None:
        """The Pod is terminal, with this exit code and termination message."""
        ended = {"exitCode": exit_code, "startedAt": timestamp(), "finishedAt": timestamp()}
        self._change(
            name, "Failed" if exit_code else "Succeeded", {"terminated": ended | {"message": message}}
        )

    def expire(self, name: str, *, exit_code: int | None = None, message: str = "") -> None:
        """The kubelet's deadline is over, and its container has ended with this code, or not yet."""
        state: JsonObject = {"running": {"startedAt": timestamp()}}
        if exit_code is not None:
            ended = {"exitCode": exit_code, "startedAt": timestamp(), "finishedAt": timestamp()}
            state = {"terminated": ended}
        self._change(name, "Failed", state, reason="DeadlineExceeded", message=message)

    def vanish(self, name: str) -> None:
        """It is gone, without its end having been shown."""
        self._tell("DELETED", self.pods.pop(name))

    def view(self, name: str) -> PodView:
        return parse_pod(self.pods[name])

    def asked(self, verb: str) -> list[str]:
        """The names that were asked for with that verb."""
        return [name for each, name in self.calls if each == verb]

    # --- the client's side

    def in_namespace(self, namespace: str, no_right_seconds: float = 0.0) -> FakePods:
        if namespace not in self.others:
            self.others[namespace] = FakePods()
            self.others[namespace].namespace = namespace
        return self.others[namespace]

    def create_turn(self, body: bytes, event: str, profile: str) -> FakeTurn:
        return FakeTurn(self, body)

    def open_turn(self, body: bytes, event: str, profile: str) -> FakeTurn:
        return FakeTurn(self, body, opened=True)

    def create(self, body: bytes) -> JsonObject:
        pod = json.loads(body)
        name = pod["metadata"]["name"]
        self._note("create", name)
        if name in self.pods:
            raise PodExists(f'create: pods "{name}" already exists', status=409)
        uid = f"uid-{next(self._version)}"
        pod["metadata"] |= {"uid": uid, "creationTimestamp": timestamp()}
        pod["status"] = {"phase": "Pending"}
        self.pods[name] = pod
        self._tell("ADDED", pod)
        self._raise("reply")
        return copy.deepcopy(pod)

    def get(self, name: str) -> JsonObject:
        self._note("get", name)
        return copy.deepcopy(self._found(name))

    def delete(self, name: str, uid: str, *, told: bool = False) -> JsonObject:
        self._note("delete", name)
        pod = self._found(name)
        if pod["metadata"]["uid"] != uid:
            raise PodGone("delete: the UID in the precondition does not match", status=409)
        if parse_pod(pod).phase == "Running":
            pod["metadata"] |= {"deletionTimestamp": timestamp(), "deletionGracePeriodSeconds": 30}
            self._tell("MODIFIED", pod)
        else:
            self.vanish(name)
        return copy.deepcopy(pod) if told else {}

    def ungate(self, name: str, uid: str) -> None:
        self._note("patch", name)
        pod = self._found(name)
        if pod["metadata"]["uid"] != uid:
            raise PodGone("patch: the UID does not match", status=422)
        if pod["spec"].pop("schedulingGates", None):
            self._tell("MODIFIED", pod)

    def log(self, name: str, container: str, most: int, seconds: float) -> bytes:
        self._note("log", name)
        self._found(name)
        return self.logs.get(name, b"")[-most:]

    def warnings(self, uid: str) -> list[str]:
        self._note("warnings", uid)
        return []

    def list(
        self,
        selector: str,
        progress: Callable[[], None] = lambda: None,
        *,
        cached: bool = False,
        seconds: float = 10.0,
    ) -> tuple[list[PodView], str]:
        progress()
        self._note("list", selector)
        matching = [parse_pod(pod) for pod in self.pods.values() if _matches(pod, selector)]
        return matching, str(self._last)

    def watch(
        self, selector: str, version: str, *, seconds: int, silence: float, opened: Callable[[Any], None]
    ) -> Iterator[WatchEvent]:
        """What has happened since that version, and the bookmark with which a server ends the watch."""
        self._note("watch", version)
        self.watch_seconds.append(seconds)
        if int(version) < self.expired:
            raise VersionExpired("watch: too old resource version", status=410)
        opened(None)
        self._raise("event")
        if self.mute:
            return
        for at, event in self.events:
            if at > int(version) and _matches(event["object"], selector):
                yield WatchEvent(event["type"], str(at), parse_pod(event["object"]))
                self._raise("rest")
        yield WatchEvent("BOOKMARK", str(self._last), None)

    def now(self) -> float | None:
        return time.time()

    # --- inside

    def _note(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        self._raise(verb)

    def _raise(self, verb: str) -> None:
        waiting = self._failures.get(verb)
        if waiting:
            raise waiting.popleft()

    def _found(self, name: str) -> JsonObject:
        if name not in self.pods:
            raise PodGone(f'pods "{name}" not found', status=404)
        return self.pods[name]

    def _change(self, name: str, phase: str, state: JsonObject, **status: str) -> None:
        pod = self.pods[name]
        pod["spec"]["nodeName"] = "node-1"
        shown = [{"name": "worker", "state": state}]
        pod["status"] = {"phase": phase, "containerStatuses": shown, **status}
        self._tell("MODIFIED", pod)

    def _tell(self, kind: str, pod: JsonObject) -> None:
        self._last = next(self._version)
        pod["metadata"]["resourceVersion"] = str(self._last)
        self.events.append((self._last, {"type": kind, "object": copy.deepcopy(pod)}))


def _matches(pod: JsonObject, selector: str) -> bool:
    return label_selector(selector)(pod)
