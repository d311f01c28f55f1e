"""An API server whose etcd has stalled: what it can still answer, and in which words it refuses the rest.

Event loop thread only. This was seen on kube-apiserver 1.20.2 with its etcd process stopped. Access reviews
go on, and so do lists, gets and watches from its cache. Everything else hangs until etcd is back or the
request's time is over (504). After some 40 s, the server gives up its connection to etcd and refuses at once:
creates of Pods with 403, since the quota's admission asks etcd, and all others with 500 and no reason. ``no
leader`` and ``timed out`` are answers of an etcd with several members.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ottoscaler.local.apiserver.messages import Request, Response, error_response, text_response
from ottoscaler.local.apiserver.statuses import ApiError, forbidden

MODES = ("hanging", "unavailable", "no leader", "timed out")
GIVE_UP_SECONDS = 34.0  # a request's time on 1.20; later versions allow 60

_UNAVAILABLE = "rpc error: code = Unavailable desc = transport is closing"
_ETCD_WORDS = {"no leader": "etcdserver: no leader", "timed out": "etcdserver: request timed out"}
_HEALTH = ("/healthz", "/livez", "/readyz")
_HEALTH_WORDS = "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\n"

Resume = Callable[[Response | None], None]


class EtcdStall:
    """The stall in force, if any, and the requests that it holds."""

    def __init__(self) -> None:
        self.mode = ""
        self._waiting: dict[int, tuple[Resume, asyncio.TimerHandle]] = {}
        self._number = 0

    def held(self, request: Request, resume: Resume) -> bool:
        """Whether the request waits for etcd. If so, ``resume`` is called once: when the stall ends, or when
        the request's time is over."""
        if self.mode != "hanging" or not needs_etcd(request):
            return False
        self._number += 1
        number = self._number
        timer = asyncio.get_running_loop().call_later(GIVE_UP_SECONDS, self._give_up, number)
        self._waiting[number] = (resume, timer)
        return True

    def _give_up(self, number: int) -> None:
        resume, _ = self._waiting.pop(number)
        message = f"Timeout: request did not complete within requested timeout {GIVE_UP_SECONDS:.0f}s"
        resume(error_response(ApiError(504, "Timeout", message, {})))

    def refusal(self, request: Request) -> Response | None:
        """The answer of a server that has given up etcd; None if the request does not need etcd."""
        if self.mode and request.path.rstrip("/") in _HEALTH:
            return text_response(_HEALTH_WORDS, 500)
        if self.mode in ("", "hanging") or not needs_etcd(request):
            return None
        if self.mode in _ETCD_WORDS:
            return error_response(ApiError(500, "", _ETCD_WORDS[self.mode]))
        route = request.route
        if route.verb == "create" and route.resource == "pods":
            return error_response(forbidden("pods", request.body_name, _UNAVAILABLE))
        return error_response(ApiError(500, "", _UNAVAILABLE))

    def begin(self, mode: str) -> None:
        """Stall in this mode. Raises ValueError if it is not one of MODES."""
        if mode not in MODES:
            raise ValueError(f"etcd stalls as one of {', '.join(MODES)}, not {mode!r}")
        self.mode = mode

    def end(self) -> None:
        """End the stall and carry out the requests that were held."""
        self.mode = ""
        waiting, self._waiting = self._waiting, {}
        for resume, timer in waiting.values():
            timer.cancel()
            resume(None)


def needs_etcd(request: Request) -> bool:
    """Whether an answer needs etcd: the server cannot give it from its cache or by itself."""
    route = request.route
    if not route.resource or route.group == "authorization.k8s.io" or route.verb == "watch":
        return False
    if route.verb in ("get", "list") and not route.subresource:
        return request.query.get("resourceVersion") != "0"
    return True
