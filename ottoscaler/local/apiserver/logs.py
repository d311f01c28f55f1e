"""Pod logs: where they come from, and how they are sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from ottoscaler.local.apiserver.messages import Answer, Request, Response, Sink, StreamedResponse
from ottoscaler.local.apiserver.statuses import Cause, bad_request, invalid
from ottoscaler.model import JsonObject

FOLLOW_SECONDS = 0.05  # how often a followed log is looked at
# What `tailLines` counts: container runtimes cut a line in parts of 16 KiB, and kubelets count the parts.
_LINE = re.compile(rb"[^\n]{1,16384}\n?|\n")


class LogSource(Protocol):
    """What logs need from a kubelet."""

    def log(self, pod: JsonObject, container: str) -> Path | bytes:
        """The file that the container's output goes to; the log so far where there is no file."""


def log_answer(pod: JsonObject, source: LogSource | None, request: Request) -> Answer:
    """The log of one container, once or followed. Raises ApiError 400 and 422."""
    name = pod["metadata"]["name"]
    container = _container(pod, request.query.get("container", ""))
    tail = request.number("tailLines")
    if tail is not None and tail < 0:
        message = f"Invalid value: {tail}: must be greater than or equal to 0"
        raise invalid("PodLogOptions", name, [Cause("FieldValueInvalid", message, "tailLines")])
    limit = request.number("limitBytes")
    if request.flag("previous"):
        raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    state = _state(pod, container)
    if source is None or "waiting" in state or not state:
        why = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
        if why == "ContainerCreating":
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {why}')
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {_waiting(why)}')
    found = source.log(pod, container)
    if isinstance(found, Path) and request.flag("follow"):
        uid = pod["metadata"]["uid"]
        return StreamedResponse(
            _Follower(found, tail, lambda: _running(source, uid, container)).start, "text/plain"
        )
    text = found if isinstance(found, bytes) else _read(found)
    return Response(200, _cut(text, tail, limit), content_type="text/plain")


def _waiting(reason: str) -> str:
    return "trying and failing to pull image" if reason in ("ErrImagePull", "ImagePullBackOff") else reason


def _running(source: LogSource, uid: str, container: str) -> bool:
    running: Callable[[str, str], bool] = getattr(source, "running", lambda *_: False)
    return running(uid, container)


def _container(pod: JsonObject, asked: str) -> str:
    name = pod["metadata"]["name"]
    regular = [one["name"] for one in pod["spec"].get("containers") or []]
    init = [one["name"] for one in pod["spec"].get("initContainers") or []]
    if asked:
        if asked not in regular + init:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(regular) > 1:
        choice = " ".join(regular)
        message = f"a container name must be specified for pod {name}, choose one of: [{choice}]"
        raise bad_request(message + (f" or one of the init containers: [{' '.join(init)}]" if init else ""))
    only: str = regular[0]
    return only


def _state(pod: JsonObject, container: str) -> JsonObject:
    status = pod["status"]
    for one in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if one["name"] == container:
            state: JsonObject = one.get("state") or {}
            return state
    return {}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _cut(text: bytes, tail: int | None, limit: int | None) -> bytes:
    if tail is not None:
        lines = _LINE.findall(text)
        text = b"".join(lines[-tail:]) if tail else b""
    return text[:limit] if limit else text


class _Follower:
    """Sends a log file's text as it grows, until its container has ended.

    The file stays open, so that the last lines are sent even if the Pod is deleted right after its end.
    """

    def __init__(self, path: Path, tail: int | None, running: Callable[[], bool]) -> None:
        self._path, self._tail, self._running = path, tail, running
        self._file: BinaryIO | None = None
        self._sink: Sink | None = None

    def start(self, sink: Sink) -> Callable[[], None]:
        self._sink = sink
        sink.write(_cut(self._more(), self._tail, None))
        asyncio.get_running_loop().call_later(FOLLOW_SECONDS, self._step)
        return self._stop

    def _stop(self) -> None:
        self._sink = None
        if self._file is not None:
            self._file.close()

    def _more(self) -> bytes:
        """What was written since the last call."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return b""
        return self._file.read()

    def _step(self) -> None:
        if self._sink is None:
            return
        running = self._running()  # asked first, so that nothing written before its end is missed
        self._sink.write(self._more())
        if running and self._path.exists():
            asyncio.get_running_loop().call_later(FOLLOW_SECONDS, self._step)
        else:
            sink = self._sink
            self._stop()
            sink.finish()
