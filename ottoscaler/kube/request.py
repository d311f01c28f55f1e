"""Sends one request to the API server, once, and learns from its answer.

Every answer tells the throttle how much load the API server bears, the health whether it is in trouble, the
clock what time it has, and the transport whether another server behind the same name might do better.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import urllib3

from ottoscaler import __version__
from ottoscaler.errors import KubernetesError, KubernetesUnavailable, UnusableAnswer
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.open_request import OpenRequest
from ottoscaler.kube.server_clock import ServerClock
from ottoscaler.kube.server_health import ServerHealth, ServerSign, sign_of
from ottoscaler.kube.status import BROKEN_ANSWER, NEVER_SENT, error_of, plain, retry_after
from ottoscaler.kube.throttle import Throttle
from ottoscaler.kube.transport import Transport
from ottoscaler.pods.refusal_table import is_policy

USER_AGENT = f"ottoscaler/{__version__}"

_TIMED_OUT = (TimeoutError, urllib3.exceptions.ReadTimeoutError)
_ADMITTED = ("create", "patch")  # deletes pass admission too, and tell how busy the server is all the same
_CACHED = ("list", "watch")  # a server that has lost its etcd may still answer these
_ANY_SERVER = (0, 401, 429)  # a broken stream; our credentials; overload, which new connections make worse

Observe = Callable[[str, int, float], None]  # verb, code (0: no answer), seconds


class Requests:
    """Sends requests for all namespaces. Thread-safe. The caller takes the place in the throttle."""

    def __init__(self, access: Access, throttle: Throttle, observe: Observe) -> None:
        self._access = access
        self._transport = Transport(access)
        self._throttle = throttle
        self._observe = observe
        self.clock = ServerClock()
        self.health = ServerHealth()

    def headers(self, body: bytes | None) -> dict[str, str]:
        """The headers of a request. The credentials in them may be read from disk."""
        return _headers(self._access.headers(), body)

    def headers_at_once(self, body: bytes | None) -> dict[str, str] | None:
        """The same without waiting. ``None`` if a plugin may have to tell the credentials."""
        credentials = self._access.headers_at_once()
        return _headers(credentials, body) if credentials is not None else None

    def open(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> OpenRequest | None:
        """Send a request but for its last byte. ``send`` reads the answer when it was completed.

        ``None`` if that is not possible without waiting."""
        try:
            return self._transport.open(method, path, body, headers)
        except BROKEN_ANSWER:
            return None

    def send(
        self,
        verb: str,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str] | None,
        read_seconds: float,
        *,
        stream: bool,
        opened: OpenRequest | None = None,
        patient: bool = True,
    ) -> Any:
        """The response, read whole unless ``stream``. ``headers`` defaults to ``headers(body)``.

        ``opened`` is the same request, which was sent already. If it is not ``patient``, that no answer came
        within ``read_seconds`` says nothing of the server's health. Raises a KubernetesError for any answer
        but success, KubernetesUnavailable if none came in time."""
        headers = headers if headers is not None else self.headers(body)
        begun = opened.completed_at if opened is not None else time.monotonic()
        try:
            response: Any
            if opened is not None:
                response = opened.answer(read_seconds)
            elif verb == "list":
                response = self._transport.page(path, headers, read_seconds)
            elif stream:
                response = self._transport.stream(method, path, headers, read_seconds, paced=verb == "watch")
            else:
                response = self._transport.send(method, path, body, headers, read_seconds)
        except BROKEN_ANSWER as error:
            self._observe(verb, 0, time.monotonic() - begun)
            raise self.unanswered(verb, error, read_seconds, patient=patient) from error
        seconds = time.monotonic() - begun
        if response is None:  # whether it may be sent now, the caller must check anew
            self._observe(verb, HTTPStatus.EXPECTATION_FAILED, seconds)
            raise KubernetesUnavailable(f"{verb}: a proxy does not know Expect: 100-continue", unsent=True)
        self._observe(verb, response.status, seconds)
        if response.status < 300:
            self._throttle.answered(response.status, seconds, patient=verb in _ADMITTED)
            self.health.note(verb, ServerSign.WELL)
            if verb not in _CACHED:
                self._transport.well()
            if "continue=" not in path:  # the pages of a list are one answer
                self.clock.note(response.headers.get("date", ""), begun)
            return response
        try:
            data = response.data
        except BROKEN_ANSWER as error:
            raise self.unanswered(verb, error, read_seconds, patient=patient) from error
        finally:
            if stream:
                response.close()
        raise self._refused(verb, response, data, seconds)

    def read_log(self, path: str, most: int, deadline: float) -> bytes:
        """The first ``most`` bytes of a log, until ``deadline`` (monotonic). Raises KubernetesError.

        A node answers the call, so only a 429 says anything about the API server."""
        begun = time.monotonic()
        headers = {**self.headers(None), "Accept": "application/json, */*"}  # as kubectl asks
        code = 0
        try:
            response = self._transport.stream("GET", path, headers, max(0.05, deadline - begun))
            try:
                data = bytearray()
                for piece in response.stream():
                    data += piece
                    if time.monotonic() > deadline:
                        raise TimeoutError("it takes too long")
                    if len(data) >= most:
                        break
                code = response.status
            finally:
                response.close()
        except BROKEN_ANSWER as error:
            raise KubernetesUnavailable(f"log: {plain(error)}") from error
        finally:
            self._observe("log", code, time.monotonic() - begun)
        if code == 429:
            self._throttle.answered(code, 0.0)
        if code >= 300:
            raise error_of("log", code, bytes(data), 0.0)
        return bytes(data[:most])

    def unanswered(
        self, verb: str, error: Exception, read_seconds: float, *, patient: bool = True
    ) -> KubernetesUnavailable:
        """The error for a request without a whole answer."""
        unsent = isinstance(error, NEVER_SENT)
        timed_out = isinstance(error, _TIMED_OUT) and not unsent
        text = (
            f"{verb}: no answer within {round(read_seconds, 2):g} s"
            if timed_out
            else f"{verb}: {plain(error)}"
        )
        sign = sign_of(verb, 0, text, unsent=unsent)
        if timed_out and not patient:
            sign = ServerSign.NOTHING
        self.health.note(verb, sign, read_seconds if timed_out else 0.0)
        if timed_out and sign is ServerSign.TROUBLED:
            self._transport.wrong(None, text)
        if unsent:
            with suppress(KubernetesUnavailable):
                self._access.reload_if_changed()
        if _lacks_certificates(error):
            # The client keeps a kubeconfig's inline certificates in temporary files, which a cleaner of /tmp
            # deletes after some days. To read the kubeconfig again writes them anew.
            with suppress(KubernetesUnavailable):
                self._access.reload()
        return KubernetesUnavailable(text, unsent=unsent)

    def _refused(self, verb: str, response: Any, data: bytes, seconds: float) -> KubernetesError:
        """The error for an answer that is not a success, after everybody has learned from it."""
        after = retry_after(response.headers) if response.status in (429, 503) else 0.0
        refusal = error_of(verb, response.status, data, after)
        self._learn(verb, refusal, seconds, after)
        self.judge_server(verb, response, refusal)
        return refusal

    def _learn(self, verb: str, error: KubernetesError, seconds: float, after: float) -> None:
        """Learn from an answer that is not a success.

        Admission webhooks may be slow and may deny with any status. So nothing is concluded from how long a
        create or the opening of a start gate took, or from a webhook's denial."""
        text = str(error)
        policy = is_policy(text)
        if not policy:
            self._throttle.answered(error.status, seconds, after, patient=verb in _ADMITTED)
            if error.status == 401:
                self._access.reload()
        sign = sign_of(verb, error.status, text)
        sign = ServerSign.TROUBLED if isinstance(error, UnusableAnswer) else sign
        self.health.note(verb, sign, seconds)

    def judge_server(self, verb: str, response: Any, error: KubernetesError) -> None:
        """Tell the transport if another server behind the same name might do better than this one."""
        troubled = sign_of(verb, error.status, str(error)) is ServerSign.TROUBLED
        if troubled and error.status not in _ANY_SERVER:
            self._transport.wrong(response, str(error))


def _lacks_certificates(error: BaseException) -> bool:
    """Whether there was no connection because of certificates, the server's or our own, or a missing file.

    A handshake that was cut off says nothing about them."""
    causes = (error, getattr(error, "reason", None), *error.args)
    return any(
        isinstance(each, (ssl.SSLError, FileNotFoundError))
        and not isinstance(each, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        for each in causes
    )


def _headers(credentials: dict[str, str], body: bytes | None) -> dict[str, str]:
    headers = {**credentials, "Accept": "application/json", "User-Agent": USER_AGENT}
    if body is not None:
        headers["Content-Type"] = "application/json"
    return headers
