"""The Pod API over raw JSON: the only module, with credentials, that speaks to Kubernetes.

Each call is sent once, has a connect and a read timeout, and raises our errors, whose type says whether
trying again may help. Thread-safe.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from ottoscaler import __version__
from ottoscaler.errors import KubernetesUnavailable, PodExists, PodGone, UnusableAnswer
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.decoding import events, page, parsed, pod, slim
from ottoscaler.kube.status import NEVER_SENT, error_of, plain, retry_after
from ottoscaler.kube.throttle import CALLS_IN_FLIGHT, Permit, Throttle
from ottoscaler.kube.transport import Transport
from ottoscaler.model import JsonObject

USER_AGENT = f"ottoscaler/{__version__}"
READ_SECONDS = 12.0  # a create passes admission webhooks, which have 10 s by default
LIST_SECONDS = 10.0  # a page; the watch thread must show progress within 15 s
PAGE = 500  # Pods in one answer of a list, as kubectl asks

Observe = Callable[[str, int, float], None]  # verb, code (0: no answer), seconds


class PodClient:
    """The worker Pods of one namespace."""

    def __init__(self, access: Access, namespace: str, throttle: Throttle, observe: Observe) -> None:
        self._access = access
        self._transport = Transport(access)
        self._throttle = throttle
        self._observe = observe
        self._clock_offset = 0.0
        self.namespace = namespace
        self._path = f"/api/v1/namespaces/{quote(namespace)}/pods"

    # --- one Pod

    def create(
        self,
        body: bytes,
        *,
        permit: Permit = lambda: None,
        last: Permit = lambda: None,
        dry_run: bool = False,
    ) -> JsonObject:
        """Create a Pod from JSON. Raises PodExists, QuotaExceeded, Refused or KubernetesUnavailable.

        ``permit`` is asked while the request waits for its turn, and ``last`` once, directly before it is
        sent; both raise where the Pod may not be created any more.
        """
        path = self._path + ("?dryRun=All" if dry_run else "")
        return pod("create", self._call("create", "POST", path, body, permit=permit, last=last))

    def get(self, name: str) -> JsonObject:
        """Raises PodGone where there is none."""
        return pod("get", self._call("get", "GET", f"{self._path}/{quote(name)}"))

    def delete(self, name: str, uid: str) -> None:
        """Ask for this very Pod to go, with its own grace. Raises PodGone where it has gone already.

        The UID is a precondition, so a younger Pod of the same name is never hit. The API server itself
        drops the grace for Pods that are terminal or not bound to a node.
        """
        options: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        try:
            self._call(
                "delete", "DELETE", f"{self._path}/{quote(name)}", json.dumps(options).encode(), parse=False
            )
        except PodExists as error:  # 409: the precondition failed, so that Pod is gone
            raise PodGone(str(error), status=409, reason="Conflict") from error

    # --- all Pods

    def list(self, selector: str, beat: Callable[[], None] = lambda: None) -> tuple[list[JsonObject], str]:
        """All Pods that match, and the resource version to watch from. A failure is unknown, never zero.

        ``beat`` is called before each page. It takes no place among the throttle's calls: there is one such
        caller, and behind a thousand creates that hang it would never learn of the API server's return.
        """
        items: list[JsonObject] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            beat()
            path = f"{self._path}?{urlencode(query)}"
            response = self._send("list", "GET", path, None, self._headers(None), LIST_SECONDS, stream=False)
            self._set_clock(response.headers.get("date", ""))
            found, version, rest = page(response.data)
            items += found
            if not rest:
                return items, version
            query["continue"] = rest

    def watch(
        self, selector: str, version: str, *, seconds: int, silence: float, opened: Callable[[Any], None]
    ) -> Iterator[JsonObject]:
        """Yield events from a version on, until the server ends the watch after ``seconds``.

        Raises TimeoutError after ``silence`` seconds without a byte, VersionExpired on 410 (as a status or
        as an ERROR event), KubernetesUnavailable on a broken stream, UnusableAnswer on one that makes no
        sense. ``opened`` gets the response, so that another thread can shut it down.
        """
        query = {
            "labelSelector": selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        path = f"{self._path}?{urlencode(query)}"
        # It lasts for minutes, so it holds no place among the throttle's calls.
        response = self._send("watch", "GET", path, None, self._headers(None), silence, stream=True)
        try:
            opened(response)
            yield from events(response)
        finally:
            response.close()

    # --- what else `check` and readiness ask

    def may(self, verb: str, resource: str = "pods") -> tuple[bool, str]:
        """Whether we may do that here, by a SelfSubjectAccessReview."""
        spec = {"resourceAttributes": {"namespace": self.namespace, "verb": verb, "resource": resource}}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status = self._call("review", "POST", path, json.dumps(body).encode()).get("status")
        if not isinstance(status, dict):
            raise UnusableAnswer("review: the answer has no status")
        return bool(status.get("allowed")), str(status.get("reason") or "")

    def rate(self) -> float:
        """Calls a second that the throttle allows now."""
        return self._throttle.rate

    def now(self) -> float:
        """Unix seconds by the API server's clock, to a second, for comparing with its own times."""
        return time.time() + self._clock_offset

    def _set_clock(self, date: str) -> None:
        try:
            offset = parsedate_to_datetime(date).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return
        # Within two seconds they agree as far as whole seconds can tell.
        self._clock_offset = offset if abs(offset) > 2 else 0.0

    def version(self) -> str:
        """The API server's version, such as v1.30.2."""
        return str(self._call("get", "GET", "/version").get("gitVersion"))

    # --- the request

    def _call(
        self,
        verb: str,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        parse: bool = True,
        permit: Permit | None = None,
        last: Permit = lambda: None,
    ) -> JsonObject:
        headers = self._headers(body)
        with self._throttle.call(permit):
            last()
            response = self._send(verb, method, path, body, headers, READ_SECONDS, stream=False)
        return parsed(verb, slim(response.data)) if parse else {}

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {**self._access.headers(), "Accept": "application/json", "User-Agent": USER_AGENT}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _send(
        self,
        verb: str,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        read_seconds: float,
        *,
        stream: bool,
    ) -> Any:
        begun = time.monotonic()
        try:
            response = (
                self._transport.stream(method, path, headers, read_seconds)
                if stream
                else self._transport.page(path, headers, read_seconds)
                if verb == "list"
                else self._transport.send(method, path, body, headers, read_seconds)
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._observe(verb, 0, time.monotonic() - begun)
            unsent = isinstance(error, NEVER_SENT)
            raise KubernetesUnavailable(f"{verb}: {plain(error)}", unsent=unsent) from error
        seconds = time.monotonic() - begun
        self._observe(verb, response.status, seconds)
        after = retry_after(response.headers) if response.status in (429, 503) else 0.0
        self._throttle.answered(response.status, seconds, after)
        if response.status < 300:
            return response
        if response.status == 401:
            self._access.reload()
        data = response.data
        if stream:
            response.close()
        raise error_of(verb, response.status, data, after)


def connect(kubeconfig: str, namespace: str, qps: float, burst: int, observe: Observe) -> PodClient:
    """The Pod API as configured; nothing is sent or read before the first call."""
    return PodClient(Access(kubeconfig, CALLS_IN_FLIGHT + 4), namespace, Throttle(qps, burst), observe)
