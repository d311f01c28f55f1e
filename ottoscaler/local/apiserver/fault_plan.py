"""The faults in force. The server asks for them before and after each request. Event loop thread only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ottoscaler.local.apiserver import statuses
from ottoscaler.local.apiserver.etcd_stall import EtcdStall
from ottoscaler.local.apiserver.messages import Request, Response, error_response
from ottoscaler.local.apiserver.statuses import ApiError
from ottoscaler.local.apiserver.watch import Watch
from ottoscaler.model import JsonObject

# The time after which a request is answered with 504: kube-apiserver's --request-timeout.
REQUEST_SECONDS = 60.0

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(slots=True)
class Rule:
    """A fault for the next ``times`` requests of ``verb`` (None: any) whose path matches ``path``."""

    fault: str
    times: int | None  # None: until cleared
    verb: str | None = None
    path: str | None = None  # a regular expression, searched in the path with its query
    status: int = 0
    reason: str = ""
    message: str = ""
    retry_after: int = 0
    seconds: float = 0.0
    webhook: str = ""
    labels: dict[str, str | None] = field(default_factory=dict)
    spec: JsonObject = field(default_factory=dict)
    sidecar: JsonObject | None = None
    prefix: str = ""

    def takes(self, request: Request) -> bool:
        """Whether it applies to this request. If so, the request is counted."""
        if self.times is not None and self.times <= 0:
            return False
        if self.verb is not None and self.verb != request.route.verb:
            return False
        if self.path is not None and re.search(self.path, request.target) is None:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class Delay:
    """A request is carried out after ``seconds``. With ``late``, that is so even if its client has gone."""

    seconds: float
    late: bool


@dataclass
class FaultPlan:
    """The faults in force. Event loop thread only. They never affect ``control`` paths."""

    rules: list[Rule] = field(default_factory=list)
    kept: list[Callable[[], None]] = field(default_factory=list)  # late requests, until they are let go
    hangs: bool = False
    etcd: EtcdStall = field(default_factory=EtcdStall)
    denied: set[tuple[str, str]] = field(default_factory=set)  # verb and resource, for access reviews
    watches: set[Watch] = field(default_factory=set)
    silent_from_start: bool = False

    def take(self, fault: str, request: Request) -> Rule | None:
        """The rule of this fault that applies to the request. If there is one, it counts the request."""
        if not self.rules or control(request):
            return None
        taken = next((rule for rule in self.rules if rule.fault == fault and rule.takes(request)), None)
        if taken is not None and taken.times == 0:
            self.rules.remove(taken)
        return taken

    def hanging(self, request: Request) -> bool:
        """Whether this request is never answered."""
        if control(request):
            return False
        return self.hangs or self.take("hang", request) is not None

    def held(self, request: Request, resume: Callable[[Response | None], None]) -> bool:
        """Whether etcd holds this request. ``resume`` is called later, with a refusal or None to go on."""
        return not control(request) and self.etcd.held(request, resume)

    def delay(self, request: Request) -> Delay | None:
        """How long to wait before the request is carried out; None for no wait."""
        late = self.take("late", request)
        if late is not None:
            return Delay(late.seconds, late=True)
        rule = self.take("slow", request)
        return Delay(rule.seconds, late=False) if rule is not None and rule.seconds > 0 else None

    def refusal(self, request: Request) -> Response | None:
        """The error to answer with instead of doing what is asked."""
        rule = self.take("answer", request)
        if rule is not None:
            return error_response(_error(rule))
        return None if control(request) else self.etcd.refusal(request)

    def loses_reply(self, request: Request, response: Response) -> bool:
        """Whether the connection is cut instead of answering the request, which was carried out."""
        return response.status < 300 and self.take("lose_reply", request) is not None

    def watch_began(self, watch: Watch) -> None:
        watch.silent = self.silent_from_start
        self.watches.add(watch)
        watch.on_end = lambda: self.watches.discard(watch)


def control(request: Request) -> bool:
    """Whether the request is to the fault switches themselves, which always work."""
    return request.path in ("/faults", "/audit")


def _error(rule: Rule) -> ApiError:
    if rule.status == 429 and not rule.message:
        return statuses.too_many_requests(rule.retry_after)
    if rule.status == 401:
        return statuses.unauthorized()
    reason = rule.reason or _REASONS.get(rule.status, "InternalError")
    message = rule.message or f"injected fault: {reason}"
    return ApiError(rule.status, reason, message, {}, retry_after=rule.retry_after)
