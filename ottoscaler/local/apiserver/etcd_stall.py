"""An API server whose etcd has stalled: what it can still answer, and in which words it refuses the rest.

Seen on kube-apiserver 1.20.2 with its etcd process stopped: lists, gets and watches from its cache and
access reviews go on; everything else hangs until etcd is back or the request's time is over (504), and
once the connection to etcd is given up, after some 40 s, is refused at once: creates of Pods with 403, since
the quota's admission asks etcd, all others with 500 that has no reason. ``no leader`` and ``timed out`` are
what an etcd of several members answers itself. Event loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ottoscaler.local.apiserver.messages import Request, Response, error_response, text_response
from ottoscaler.local.apiserver.statuses import ApiError, forbidden

MODES = ("hanging", "unavailable", "no leader", "timed out")
GIVE_UP_SECONDS = 34.0  # a request's time on 1.20; 60 on later ones

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
        """Whether the request waits for etcd; ``resume`` is called once, at its end or its time-out."""
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
        """The answer of a server that has given etcd up; None where it does not need etcd."""
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
        """Stall so. Raises ValueError for another word than MODES."""
        if mode not in MODES:
            raise ValueError(f"etcd stalls as one of {', '.join(MODES)}, not {mode!r}")
        self.mode = mode

    def end(self) -> None:
        """etcd is back: what was held is carried out."""
        self.mode = ""
        waiting, self._waiting = self._waiting, {}
        for resume, timer in waiting.values():
            timer.cancel()
            resume(None)


def needs_etcd(request: Request) -> bool:
    """Whether an answer comes from etcd, and not from the server's cache or from itself alone."""
    route = request.route
    if not route.resource or route.group == "authorization.k8s.io" or route.verb == "watch":
        return False
    if route.verb in ("get", "list") and not route.subresource:
        return request.query.get("resourceVersion") != "0"
    return True
