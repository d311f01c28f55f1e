"""The Pod API over raw JSON: the only module, with kubeaccess, that speaks to Kubernetes.

Each call is sent once, has a connect and a read timeout, and raises our errors, whose type says whether
trying again may help. Thread-safe.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.util import Timeout

from ottoscaler.errors import (
    KubernetesError,
    KubernetesUnavailable,
    PodExists,
    PodGone,
    QuotaExceeded,
    Refused,
    VersionExpired,
)
from ottoscaler.governor import CALLS_IN_FLIGHT, Governor, Permit
from ottoscaler.kubeaccess import Access
from ottoscaler.model import JsonObject

CONNECT_SECONDS = 3.0
READ_SECONDS = 12.0  # a create passes admission webhooks, which have 10 s by default
LIST_SECONDS = 10.0  # a page; the watch thread must show progress within 15 s
PAGE = 500  # Pods in one answer of a list, as kubectl asks
LONGEST_RETRY_AFTER = 60.0
_NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
_QUOTA = re.compile(r"exceeded quota")

Observe = Callable[[str, int, float], None]  # verb, code (0: no answer), seconds


class Pods:
    """The worker Pods of one namespace."""

    def __init__(self, access: Access, namespace: str, governor: Governor, observe: Observe) -> None:
        self._access = access
        self._governor = governor
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
        return self._call("create", "POST", path, body, permit=permit, last=last)

    def get(self, name: str) -> JsonObject:
        """Raises PodGone where there is none."""
        return self._call("get", "GET", f"{self._path}/{quote(name)}")

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

        ``beat`` is called before each page. It takes no place among the governor's calls: there is one such
        caller, and behind a thousand creates that hang it would never learn of the API server's return.
        """
        items: list[JsonObject] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            beat()
            path = f"{self._path}?{urlencode(query)}"
            response = self._exchange(
                "list", "GET", path, None, self._headers(None), LIST_SECONDS, stream=False
            )
            self._set_clock(response.headers.get("Date", ""))
            page = _parsed("list", response.data)
            items += page.get("items") or []
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return items, str(meta.get("resourceVersion") or "")
            query["continue"] = meta["continue"]

    def watch(
        self, selector: str, version: str, *, seconds: int, silence: float, opened: Callable[[Any], None]
    ) -> Iterator[JsonObject]:
        """Yield events from a version on, until the server ends the watch after ``seconds``.

        Raises TimeoutError after ``silence`` seconds without a byte, VersionExpired on 410 (as a status or
        as an ERROR event), KubernetesUnavailable on a broken stream. ``opened`` gets the response, so that
        another thread can shut it down.
        """
        query = {
            "labelSelector": selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        path = f"{self._path}?{urlencode(query)}"
        # It lasts for minutes, so it holds no place among the governor's calls.
        response = self._exchange("watch", "GET", path, None, self._headers(None), silence, stream=True)
        try:
            opened(response)
            yield from _events(response)
        finally:
            response.close()

    # --- what else `check` and readiness ask

    def may(self, verb: str, resource: str = "pods") -> tuple[bool, str]:
        """Whether we may do that here, by a SelfSubjectAccessReview."""
        spec = {"resourceAttributes": {"namespace": self.namespace, "verb": verb, "resource": resource}}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status = self._call("review", "POST", path, json.dumps(body).encode()).get("status") or {}
        return bool(status.get("allowed")), str(status.get("reason") or "")

    def rate(self) -> float:
        """Calls a second that the governor allows now."""
        return self._governor.rate

    def now(self) -> float:
        """Unix seconds by the API server's clock, to a second, for comparing with its own times."""
        return time.time() + self._clock_offset

    def _set_clock(self, date: str) -> None:
        try:
            offset = parsedate_to_datetime(date).timestamp() - time.time()
        except ValueError:
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
        with self._governor.call(permit):
            last()
            response = self._exchange(verb, method, path, body, headers, READ_SECONDS, stream=False)
        return _parsed(verb, response.data) if parse else {}

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {**self._access.headers(), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _exchange(
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
            response = self._access.pool().request(
                method,
                self._access.url(path),
                body=body,
                headers=headers,
                timeout=Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                retries=False,
                redirect=False,
                preload_content=not stream,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._observe(verb, 0, time.monotonic() - begun)
            unsent = isinstance(error, _NEVER_SENT)
            raise KubernetesUnavailable(f"{verb}: {_plain(error)}", unsent=unsent) from error
        seconds = time.monotonic() - begun
        self._observe(verb, response.status, seconds)
        after = _retry_after(response) if response.status in (429, 503) else 0.0
        self._governor.answered(response.status, seconds, after)
        if response.status < 300:
            return response
        raise self._error(verb, response, after)

    def _error(self, verb: str, response: Any, after: float) -> KubernetesError:
        code, text, reason = response.status, "", ""
        try:
            status = json.loads(response.data)
            text, reason = str(status.get("message") or ""), str(status.get("reason") or "")
        except (ValueError, AttributeError, urllib3.exceptions.HTTPError):
            text = f"HTTP status {code}"
        finally:
            response.release_conn()
        text = f"{verb}: {text or code}"
        if code == 401:
            self._access.reload()
        if code == 401 or code == 429 or code >= 500:
            unsent = code in (401, 429)
            return KubernetesUnavailable(text, status=code, reason=reason, retry_after=after, unsent=unsent)
        if code == 409:
            # A Conflict on a create is a race inside the server (such as a quota's update), not our name.
            if verb == "create" and reason != "AlreadyExists":
                return KubernetesUnavailable(text, status=code, reason=reason)
            return PodExists(text, status=code, reason=reason)
        if code == 404 and verb in ("get", "delete"):
            return PodGone(text, status=code, reason=reason)
        if code == 410:
            return VersionExpired(text, status=code, reason=reason)
        if code == 403 and _QUOTA.search(text):
            return QuotaExceeded(text, status=code, reason=reason)
        if code == 403 and verb != "create":
            return KubernetesUnavailable(text, status=code, reason=reason)
        if verb == "create" and (code == 404 or "cannot create resource" in text):
            # The namespace is missing, or RBAC says no: an operator's matter, or the first seconds of a
            # restarted API server, which refuses service accounts that are allowed.
            return KubernetesUnavailable(text, status=code, reason=reason)
        if verb == "create":
            return Refused(text, status=code, reason=reason)
        return KubernetesError(text, status=code, reason=reason)


def _parsed(verb: str, data: bytes) -> JsonObject:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise KubernetesUnavailable(f"{verb}: the answer is not JSON") from error
    return answer if isinstance(answer, dict) else {}


def _events(response: Any) -> Iterator[JsonObject]:
    rest = b""
    try:
        for chunk in response.stream(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not line.strip():
                    continue
                event = json.loads(line)
                if event.get("type") == "ERROR":
                    raise _watch_error(event.get("object") or {})
                yield event
    except urllib3.exceptions.ReadTimeoutError as error:
        raise TimeoutError("nothing came on the watch") from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
        raise KubernetesUnavailable(f"watch: {_plain(error)}") from error


def _watch_error(status: JsonObject) -> KubernetesError:
    code, text = int(status.get("code") or 0), f"watch: {status.get('message')}"
    if code == 410:
        return VersionExpired(text, status=code, reason=str(status.get("reason") or ""))
    return KubernetesUnavailable(text, status=code, reason=str(status.get("reason") or ""))


def _retry_after(response: Any) -> float:
    try:
        return min(max(0.0, float(response.headers.get("Retry-After", 0))), LONGEST_RETRY_AFTER)
    except ValueError:
        return 0.0


def _plain(error: BaseException) -> str:
    """A network error in a few words; urllib3 names its objects' addresses."""
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, Exception) else error) or type(error).__name__
    return re.sub(r"<[^>]*>(: )?|\(?HTTPS?ConnectionPool\([^)]*\):? ?", "", text).strip()


def connect(kubeconfig: str, namespace: str, qps: float, burst: int, observe: Observe) -> Pods:
    """The Pod API as configured; nothing is sent or read before the first call."""
    return Pods(Access(kubeconfig, CALLS_IN_FLIGHT + 4), namespace, Governor(qps, burst), observe)
