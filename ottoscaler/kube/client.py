"""The Pod API over raw JSON. What each call promises is said in `pod_api`.

Each call is sent once and has a connect and a read timeout.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from ottoscaler.errors import KubernetesError, KubernetesUnavailable, NoRight, PodExists, PodGone
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.decoding import parsed, pod, slim, warnings
from ottoscaler.kube.list_page import page
from ottoscaler.kube.log_tail import last_bytes
from ottoscaler.kube.open_request import OpenRequest
from ottoscaler.kube.pod_api import PodApi, WatchEvent
from ottoscaler.kube.request import Observe, Requests
from ottoscaler.kube.request_turn import RequestTurn
from ottoscaler.kube.status import BROKEN_ANSWER
from ottoscaler.kube.throttle import CREATES, DELETES, LOGS, LOOKS, Throttle
from ottoscaler.kube.watch_events import events
from ottoscaler.model import JsonObject, PodView
from ottoscaler.pods.labels import START_GATE, event_in
from ottoscaler.pods.view import parse_pod

T = TypeVar("T")

READ_SECONDS = 12.0  # the read timeout of everything but creates and lists
SLOW_READ_SECONDS = 36.0  # of deletes and patches after one without an answer: a webhook may take 30 s
SLOW_CREATE_SECONDS = 33.0  # a create that failed after so long may have been ended by the API server
MOST_UNANSWERED = 256  # Pods, and events, of which such a call is remembered
CREATE_SECONDS = 60.0  # a create passes admission webhooks, each of which may take 30 s
LIST_SECONDS = 10.0  # a page; the watch thread must show progress within 15 s
LEAST_SECONDS = 0.05  # the read timeout of a list whose time is over
MOST_WARNINGS = 50  # about one Pod, in one answer
PAGE = 500  # most Pods in one answer; kubectl asks for as many
# Of a list, read and decoded together. Progress is shown, and the deadline looked at, between two pieces.
# With 256 KiB, a page at 7 KiB a second looked like a stuck thread; 10 ms of CPU were saved with 1,000 Pods.
PIECE_BYTES = 8 * 1024
SMALL_PIECE_BYTES = 1024  # of a list that may not last long: its deadline is missed by one piece at most

_RUNS_ONCE = b'"restartPolicy":"Never"'


class PodClient(PodApi):
    """The worker Pods of one namespace."""

    def __init__(
        self,
        access: Access,
        namespace: str,
        throttle: Throttle,
        observe: Observe,
        create_seconds: float = CREATE_SECONDS,
        received: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._requests = Requests(access, throttle, observe)
        self._throttle = throttle
        self._create_seconds = create_seconds
        self._unanswered: deque[str] = deque(maxlen=MOST_UNANSWERED)  # UIDs
        self._slow: deque[str] = deque(maxlen=MOST_UNANSWERED)  # events with a slow create that failed
        self._received = received  # told how many bytes came, by lists and watches
        self.explain = access.sentence  # an error, with what was tried and what to do
        self.namespace = namespace
        self.health = self._requests.health
        self._path = f"/api/v1/namespaces/{quote(namespace)}/pods"
        self._no_right_seconds: float | None = None  # set by in_namespace: no Pod is created there
        self._refused_since = 0.0  # monotonic: since when a right has been missing there

    def in_namespace(self, namespace: str, no_right_seconds: float = math.inf) -> PodClient:
        other = copy.copy(self)
        other.namespace = namespace
        other._path = f"/api/v1/namespaces/{quote(namespace)}/pods"
        other._no_right_seconds = no_right_seconds
        return other

    # --- one Pod

    def create_turn(self, body: bytes, event: str, profile: str) -> RequestTurn:
        # Credentials are read before the turn, since that may be slow.
        headers = self._requests.headers(body)
        return RequestTurn(self._throttle, event, profile, lambda _: self._create(event, body, headers))

    def _creates(self, event: str) -> str:
        """An older API server ends a create after 34 s, unless it is told how long its client waits."""
        return f"{self._path}?timeout={self._create_seconds:g}s" if event in self._slow else self._path

    def open_turn(self, body: bytes, event: str, profile: str) -> RequestTurn | None:
        headers = self._requests.headers_at_once(body)
        if headers is None:
            return None
        opened = self._requests.open("POST", self._creates(event), body, headers)
        if opened is None:
            return None
        return RequestTurn(
            self._throttle, event, profile, lambda it: self._create(event, body, headers, it), opened
        )

    def _create(
        self, event: str, body: bytes, headers: dict[str, str], opened: OpenRequest | None = None
    ) -> JsonObject:
        path, seconds, begun = self._creates(event), self._create_seconds, time.monotonic()
        try:
            response = self._requests.send(
                "create", "POST", path, body, headers, seconds, stream=False, opened=opened
            )
        except KubernetesError:
            if time.monotonic() - begun > SLOW_CREATE_SECONDS and event not in self._slow:
                self._slow.append(event)
            raise
        # The whole answer is decoded only where admission may have changed the spec.
        whole = _RUNS_ONCE not in response.data
        return pod("create", parsed("create", response.data if whole else slim(response.data)))

    def get(self, name: str) -> JsonObject:
        with self._throttle.look(event_in(name)):
            return pod("get", self._call("get", "GET", f"{self._path}/{quote(name)}"), name)

    def delete(self, name: str, uid: str, *, told: bool = False) -> JsonObject:
        # The API server itself drops the grace period for Pods that are terminal or not bound to a node.
        options: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        try:
            with self._throttle.delete(event_in(name)):
                body, path = json.dumps(options).encode(), f"{self._path}/{quote(name)}"
                return self._patiently(
                    uid, lambda seconds: self._call("delete", "DELETE", path, body, seconds, parse=told)
                )
        except PodExists as error:  # 409: the precondition failed, so that Pod is gone
            raise PodGone(str(error), status=409) from error

    def log(self, name: str, container: str, most: int, seconds: float) -> bytes:
        # The Pod's node answers such a call. So its errors say nothing about the API server, and calls that
        # hang there take no place from any other kind of call.
        deadline = time.monotonic() + seconds
        with self._throttle.log(event_in(name), seconds) as allowed:
            if not allowed:
                raise KubernetesUnavailable("log: too many logs are being read", unsent=True)

            def read(lines: int, limit: int) -> bytes:
                query = urlencode({"container": container, "tailLines": lines, "limitBytes": limit})
                return self._requests.read_log(f"{self._path}/{quote(name)}/log?{query}", limit, deadline)

            text = last_bytes(most, read)
        if text is None:
            raise KubernetesError("log: its last lines are too long")
        return text

    def warnings(self, uid: str) -> list[str]:
        query = {"fieldSelector": f"involvedObject.uid={uid},type=Warning", "limit": str(MOST_WARNINGS)}
        path = f"/api/v1/namespaces/{quote(self.namespace)}/events?{urlencode(query)}"
        with self._throttle.look(""):
            return warnings(self._call("get", "GET", path))

    def ungate(self, name: str, uid: str) -> None:
        gates = [{"name": START_GATE, "$patch": "delete"}]
        body = json.dumps({"metadata": {"uid": uid}, "spec": {"schedulingGates": gates}}).encode()
        headers = {**self._requests.headers(body), "Content-Type": "application/strategic-merge-patch+json"}
        try:
            with self._throttle.look(event_in(name)):
                path = f"{self._path}/{quote(name)}"
                self._patiently(
                    uid,
                    lambda seconds: self._requests.send(
                        "patch", "PATCH", path, body, headers, seconds, stream=False
                    ),
                )
        except KubernetesUnavailable:
            raise
        except KubernetesError as error:
            if error.status in (409, 422):  # the UID belongs to another Pod
                raise PodGone(str(error), status=error.status) from error
            raise

    # --- all Pods

    def list(
        self,
        selector: str,
        progress: Callable[[], None] = lambda: None,
        *,
        cached: bool = False,
        seconds: float = math.inf,
    ) -> tuple[list[PodView], str]:
        # A list takes no place in the throttle. Its callers are few, such as the watch and a scale_down's
        # choice. If they waited behind a thousand creates that hang, they would never learn that the API
        # server is back. Only one Pod at a time is held whole, however large the page is.
        deadline = time.monotonic() + seconds  # of all pages

        def came(size: int) -> None:
            if time.monotonic() > deadline:
                raise TimeoutError
            progress()
            self._received(size)

        views: list[PodView] = []
        patient = seconds >= LIST_SECONDS
        piece = PIECE_BYTES if patient else SMALL_PIECE_BYTES
        query = {"labelSelector": selector, "limit": str(PAGE)}
        if cached:
            query["resourceVersion"] = "0"  # most servers then send everything in one page
        while True:
            progress()
            path = f"{self._path}?{urlencode(query)}"
            read_seconds = min(max(deadline - time.monotonic(), LEAST_SECONDS), LIST_SECONDS)
            response = self._requests.send(
                "list", "GET", path, None, None, read_seconds, stream=True, patient=patient
            )
            try:
                found, version, rest = page(_telling(response.stream(piece), came), parse_pod)
            except BROKEN_ANSWER as error:
                raise self._requests.unanswered("list", error, read_seconds, patient=patient) from error
            finally:
                response.close()
            views += found
            if not rest:
                return views, version
            query.pop("resourceVersion", None)  # the continue token contains it
            query["continue"] = rest

    def watch(
        self, selector: str, version: str, *, seconds: int, silence: float, opened: Callable[[Any], None]
    ) -> Iterator[WatchEvent]:
        query = {
            "labelSelector": selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        path = f"{self._path}?{urlencode(query)}"
        # A watch lasts long, so it takes no place in the throttle.
        response = self._requests.send("watch", "GET", path, None, None, silence, stream=True)
        try:
            opened(response)
            yield from events(response, self._received)
        except KubernetesError as error:
            self._requests.judge_server("watch", response, error)
            raise
        finally:
            response.close()

    # --- what its answers have taught

    def rate(self) -> float:
        """How many calls a second the throttle allows now."""
        return self._throttle.rate

    def now(self) -> float | None:
        return self._requests.clock.now()

    # --- the request

    def _patiently(self, uid: str, call: Callable[[float], T]) -> T:
        """``call`` with the seconds for its answer: more once one for this Pod got none.

        An API server gives up a request whose client has left, also in the middle of a slow webhook."""
        slow = uid in self._unanswered and self.health.healthy
        try:
            return call(SLOW_READ_SECONDS if slow else READ_SECONDS)
        except KubernetesUnavailable as error:
            if not (error.unsent or error.status) and uid not in self._unanswered:
                self._unanswered.append(uid)
            raise

    def _call(
        self,
        verb: str,
        method: str,
        path: str,
        body: bytes | None = None,
        seconds: float | None = None,
        *,
        parse: bool = True,
    ) -> JsonObject:
        try:
            response = self._requests.send(
                verb, method, path, body, None, seconds or READ_SECONDS, stream=False
            )
        except KubernetesError as error:
            if self._no_right_seconds is not None and error.status == 403:
                raise self._without_right(error, self._no_right_seconds) from error
            raise
        self._refused_since = 0.0
        return parsed(verb, slim(response.data)) if parse else {}

    def _without_right(self, error: KubernetesError, no_right_seconds: float) -> KubernetesError:
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        text = f"in namespace {self.namespace}: {error}"
        if now - self._refused_since > no_right_seconds:
            return NoRight(text, status=403)
        return KubernetesUnavailable(text, status=403)


def _telling(pieces: Iterator[bytes], came: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        came(len(piece))
        yield piece


def connect(
    kubeconfig: str,
    namespace: str,
    throttle: Throttle,
    observe: Observe,
    create_seconds: float,
    received: Callable[[int], None] = lambda _: None,
) -> PodClient:
    """A client as configured. Nothing is sent or read before its first call."""
    most = CREATES + DELETES + LOOKS + LOGS
    return PodClient(Access(kubeconfig, most + 4), namespace, throttle, observe, create_seconds, received)
