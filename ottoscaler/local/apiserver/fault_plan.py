"""Which faults are in force, as the server asks before and after each request. Event loop thread only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ottoscaler.local.apiserver import statuses
from ottoscaler.local.apiserver.messages import Request, Response, error_response
from ottoscaler.local.apiserver.statuses import ApiError
from ottoscaler.local.apiserver.watch import Watch

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

    def takes(self, request: Request) -> bool:
        """Whether it applies to this request, which then is counted."""
        if self.times is not None and self.times <= 0:
            return False
        if self.verb is not None and self.verb != request.route.verb:
            return False
        if self.path is not None and re.search(self.path, request.target) is None:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class FaultPlan:
    """Which faults are in force. Event loop thread only; ``control`` paths are never touched."""

    rules: list[Rule] = field(default_factory=list)
    hangs: bool = False
    denied: set[tuple[str, str]] = field(default_factory=set)  # verb and resource, for access reviews
    watches: set[Watch] = field(default_factory=set)
    silent_from_start: bool = False

    def _take(self, fault: str, request: Request) -> Rule | None:
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
        return self.hangs or self._take("hang", request) is not None

    def delay(self, request: Request) -> float:
        rule = self._take("slow", request)
        return rule.seconds if rule is not None else 0.0

    def refusal(self, request: Request) -> Response | None:
        """The error to answer with instead of doing what is asked."""
        rule = self._take("answer", request)
        return None if rule is None else error_response(_error(rule))

    def loses_reply(self, request: Request, response: Response) -> bool:
        """Whether the request, which was carried out, gets no answer but a cut connection."""
        return response.status < 300 and self._take("lose_reply", request) is not None

    def watch_began(self, watch: Watch) -> None:
        watch.silent = self.silent_from_start
        self.watches.add(watch)
        watch.on_end = lambda: self.watches.discard(watch)


def control(request: Request) -> bool:
    """Whether the request is to the switches themselves, which work whatever is broken."""
    return request.path in ("/faults", "/audit")


def _error(rule: Rule) -> ApiError:
    if rule.status == 429:
        return statuses.too_many_requests(rule.retry_after)
    if rule.status == 401:
        return statuses.unauthorized()
    reason = rule.reason or _REASONS.get(rule.status, "InternalError")
    message = rule.message or f"injected fault: {reason}"
    return ApiError(rule.status, reason, message, {}, retry_after=rule.retry_after)
