"""Faults on demand: what an API server, a network or a node can do to its clients.

:class:`Faults` is what tests hold, from any thread; its state, :class:`FaultPlan`, is on the event loop
thread, asked by the server before and after each request. Over HTTP: ``POST /faults`` with
``{"fault": "lose_create_replies", "times": 2}``, ``GET /faults``, ``DELETE /faults``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from ottoscaler.local.apiserver import statuses
from ottoscaler.local.apiserver.fault_plan import FaultPlan, Rule
from ottoscaler.local.apiserver.watch import Watch


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
