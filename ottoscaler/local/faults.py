"""Faults on demand: what an API server, a network or a node can do to its clients.

:class:`Faults` is what tests hold, from any thread; :class:`FaultPlan` is its state on the event loop
thread, asked by the server before and after each request. Over HTTP: ``POST /faults`` with
``{"fault": "lose_create_replies", "times": 2}``, ``GET /faults``, ``DELETE /faults``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ottoscaler.local import statuses
from ottoscaler.local.messages import Request, Response, error_response
from ottoscaler.local.statuses import ApiError
from ottoscaler.local.watch import Watch

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


class Cluster(Protocol):
    """What the faults need from the cluster, all on the event loop thread."""

    def refuse_connections(self) -> None: ...
    async def accept_connections(self) -> None: ...
    def cut_connections(self) -> None: ...
    def compact(self) -> None: ...
    def delete_pod(self, namespace: str, name: str, grace_seconds: int | None) -> None: ...
    def evict_pod(self, namespace: str, name: str, message: str) -> None: ...
    def vanish_pod(self, namespace: str, name: str) -> None: ...
    def lose_node(self, name: str) -> None: ...
    def recover_node(self, name: str) -> None: ...


class Faults:
    """The switches. Any thread; each call returns when the fault is in force.

    ``times`` None: until ``clear``; ``verb`` is Kubernetes' word (create, get, list, watch, delete,
    patch...); ``path`` a regular expression searched in the request's path and query.
    """

    def __init__(self, plan: FaultPlan, cluster: Cluster, call: Callable[[Callable[[], Any]], Any]) -> None:
        self._plan, self._cluster, self._call = plan, cluster, call
        self._return: asyncio.TimerHandle | None = None

    # --- single requests

    def lose_create_replies(self, times: int | None = 1, path: str | None = r"/pods(\?|$)") -> None:
        """The Pod is created, then the connection is cut without an answer."""
        self.lose_replies("create", times, path)

    def lose_replies(self, verb: str, times: int | None = 1, path: str | None = None) -> None:
        """The request is carried out, then the connection is cut without an answer."""
        self._add(Rule("lose_reply", times, verb, path))

    def answer(
        self,
        status: int,
        times: int | None = 1,
        verb: str | None = None,
        path: str | None = None,
        *,
        retry_after: int = 0,
        reason: str = "",
        message: str = "",
    ) -> None:
        """The request is not carried out, and is answered with this status (429 with ``Retry-After``)."""
        self._add(Rule("answer", times, verb, path, status, reason, message, retry_after))

    def slow(
        self, seconds: float, verb: str | None = None, path: str | None = None, times: int | None = None
    ) -> None:
        """The request is carried out, and answered, only after ``seconds``."""
        self._add(Rule("slow", times, verb, path, seconds=seconds))

    def hang(self, verb: str | None = None, path: str | None = None, times: int | None = 1) -> None:
        """The request is neither carried out nor answered; its connection stays open."""
        self._add(Rule("hang", times, verb, path))

    def _add(self, rule: Rule) -> None:
        self._call(lambda: self._plan.rules.append(rule))

    # --- watches

    def expire_watches(self) -> None:
        """410 in mid-watch: every open watch gets an ERROR event and ends; older versions are forgotten."""

        def expire() -> None:
            self._cluster.compact()
            for watch in tuple(self._plan.watches):
                watch.fail(statuses.expired("too old resource version"))

        self._call(expire)

    def compact(self) -> None:
        """Forget the history: a list or watch from any older version is answered with 410."""
        self._call(self._cluster.compact)

    def cut_watches(self) -> None:
        """Cut the connection of every open watch."""
        self._each_watch(Watch.cut)

    def end_watches(self) -> None:
        """End every open watch cleanly, as a server does with a slow reader."""
        self._each_watch(Watch.end)

    def _each_watch(self, act: Callable[[Watch], None]) -> None:
        def every() -> None:
            for watch in tuple(self._plan.watches):
                act(watch)

        self._call(every)

    def silence_watches(self, *, future: bool = False) -> None:
        """Open watches stay open and never say anything again; with ``future``, later ones too."""

        def silence() -> None:
            self._plan.silent_from_start = future
            for watch in self._plan.watches:
                watch.silent = True

        self._call(silence)

    def open_watches(self) -> int:
        """How many watches are open now."""
        count: int = self._call(lambda: len(self._plan.watches))
        return count

    # --- outages

    def go_away(self, how: str = "refused", seconds: float | None = None) -> None:
        """An outage: ``refused`` (open connections are cut, new ones refused) or ``hanging`` (no answers).

        It ends by itself after ``seconds``, else with :meth:`come_back`. Raises ValueError for another word.
        """
        if how not in ("refused", "hanging"):
            raise ValueError(f"an outage is 'refused' or 'hanging', not {how!r}")

        def away() -> None:
            if how == "refused":
                self._cluster.refuse_connections()
            else:
                self._plan.hangs = True
                for watch in self._plan.watches:
                    watch.silent = True
            if seconds is not None:
                loop = asyncio.get_running_loop()
                self._return = loop.call_later(seconds, lambda: loop.create_task(self._come_back()))

        self._call(away)

    def come_back(self) -> None:
        """End an outage; connections that were left hanging are cut."""
        self._call(self._come_back)

    async def _come_back(self) -> None:
        if self._return is not None:
            self._return.cancel()
            self._return = None
        if self._plan.hangs:
            self._plan.hangs = False
            self._cluster.cut_connections()
        await self._cluster.accept_connections()

    def cut_connections(self) -> None:
        """Cut every open connection, watches included; new ones are welcome."""
        self._call(self._cluster.cut_connections)

    # --- things done by somebody else

    def delete_pod(self, namespace: str, name: str, grace_seconds: int | None = None) -> None:
        """Somebody deletes the Pod. Raises ApiError 404 where there is none."""
        self._call(lambda: self._cluster.delete_pod(namespace, name, grace_seconds))

    def evict_pod(
        self, namespace: str, name: str, message: str = "The node was low on resource: memory."
    ) -> None:
        """The kubelet evicts the Pod: Failed, reason Evicted; it is not deleted."""
        self._call(lambda: self._cluster.evict_pod(namespace, name, message))

    def vanish_pod(self, namespace: str, name: str) -> None:
        """The Pod is removed at once, whatever it was doing (a force delete)."""
        self._call(lambda: self._cluster.vanish_pod(namespace, name))

    def lose_node(self, name: str) -> None:
        """The node stops answering: NotReady, its Pods NodeLost and marked for deletion, none ever ends."""
        self._call(lambda: self._cluster.lose_node(name))

    def recover_node(self, name: str) -> None:
        """The node is back: Ready, and its kubelet ends the Pods that were deleted meanwhile."""
        self._call(lambda: self._cluster.recover_node(name))

    def deny(self, verb: str, resource: str = "pods") -> None:
        """Access reviews for this verb say no (the requests themselves still work). ``*`` is any."""
        self._call(lambda: self._plan.denied.add((verb, resource)))

    # --- all of them

    def active(self) -> list[dict[str, Any]]:
        """The rules that still wait for requests."""
        rules: list[dict[str, Any]] = self._call(
            lambda: [
                {"fault": rule.fault, "times": rule.times, "verb": rule.verb, "path": rule.path}
                for rule in self._plan.rules
            ]
        )
        return rules

    def clear(self) -> None:
        """Take back every rule, denial, silence to come, and outage."""

        async def clear() -> None:
            self._plan.rules.clear()
            self._plan.denied.clear()
            self._plan.silent_from_start = False
            await self._come_back()

        self._call(clear)
