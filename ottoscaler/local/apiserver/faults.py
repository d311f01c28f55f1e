"""Faults on demand: what an API server, a network or a node can do to its clients.

Tests use :class:`Faults`, from any thread. Its state, :class:`FaultPlan`, lives on the event loop thread,
where the server asks it before and after each request. Over HTTP: ``POST /faults`` with
``{"fault": "lose_create_replies", "times": 2}``, ``GET /faults``, ``DELETE /faults``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from ottoscaler.local.apiserver.fault_plan import FaultPlan
from ottoscaler.local.apiserver.request_faults import RequestFaults
from ottoscaler.local.apiserver.watch_faults import WatchFaults


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
    def shift_node_clock(self, name: str, seconds: float) -> None: ...
    def set_node_clocks_right(self) -> None: ...
    def stall_etcd(self, how: str) -> None: ...
    def resume_etcd(self) -> None: ...


class Faults(RequestFaults, WatchFaults):
    """All fault switches. Any thread; each call returns when the fault is in force."""

    def __init__(self, plan: FaultPlan, cluster: Cluster, call: Callable[[Callable[[], Any]], Any]) -> None:
        RequestFaults.__init__(self, plan, call)
        WatchFaults.__init__(self, plan, cluster.compact, call)
        self._cluster = cluster
        self._return: asyncio.TimerHandle | None = None

    # --- outages

    def go_away(self, how: str = "refused", seconds: float | None = None) -> None:
        """An outage: ``refused`` (open connections are cut, new ones refused) or ``hanging`` (no answers).

        It ends after ``seconds`` if given, or by :meth:`come_back`. Raises ValueError for another ``how``.
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
        """End an outage. Connections that still hang are cut."""
        self._call(self._come_back)

    async def _come_back(self) -> None:
        if self._return is not None:
            self._return.cancel()
            self._return = None
        if self._plan.hangs:
            self._plan.hangs = False
            self._cluster.cut_connections()
        await self._cluster.accept_connections()

    def stall_etcd(self, how: str = "hanging") -> None:
        """The server's etcd stalls until :meth:`resume_etcd`. Answers from the server's cache go on.

        ``how`` is one of ``etcd_stall.MODES``: requests hang, or are refused in the words of an etcd that is
        gone, has no leader or is too slow. Meanwhile nodes write no status. Raises ValueError for another
        ``how``.
        """
        self._call(lambda: self._cluster.stall_etcd(how))

    def resume_etcd(self) -> None:
        """etcd works again, and requests that still hang are carried out."""
        self._call(self._cluster.resume_etcd)

    def cut_connections(self) -> None:
        """Cut every open connection, watches included. New ones are accepted."""
        self._call(self._cluster.cut_connections)

    # --- things done by somebody else

    def delete_pod(self, namespace: str, name: str, grace_seconds: int | None = None) -> None:
        """Somebody deletes the Pod. Raises ApiError 404 where there is none."""
        self._call(lambda: self._cluster.delete_pod(namespace, name, grace_seconds))

    def evict_pod(
        self, namespace: str, name: str, message: str = "The node was low on resource: memory."
    ) -> None:
        """The kubelet evicts the Pod: it is Failed with the reason Evicted, and is not deleted."""
        self._call(lambda: self._cluster.evict_pod(namespace, name, message))

    def vanish_pod(self, namespace: str, name: str) -> None:
        """The Pod is removed at once, whatever it was doing (a force delete)."""
        self._call(lambda: self._cluster.vanish_pod(namespace, name))

    def lose_node(self, name: str) -> None:
        """The node stops answering. It is NotReady. Its Pods are NodeLost and marked for deletion, and none
        of them ends."""
        self._call(lambda: self._cluster.lose_node(name))

    def recover_node(self, name: str) -> None:
        """The node is Ready again, and its kubelet ends the Pods that were deleted meanwhile."""
        self._call(lambda: self._cluster.recover_node(name))

    def shift_node_clock(self, name: str, seconds: float) -> None:
        """Set the node's clock ahead by ``seconds``, or back if negative. Its kubelet writes times by it."""
        self._call(lambda: self._cluster.shift_node_clock(name, seconds))

    def deny(self, verb: str, resource: str = "pods") -> None:
        """Access reviews for this verb say no, but the requests themselves still work. ``*`` is any verb or
        resource."""
        self._call(lambda: self._plan.denied.add((verb, resource)))

    # --- all of them

    def active(self) -> list[dict[str, Any]]:
        """The rules that still apply to later requests."""
        rules: list[dict[str, Any]] = self._call(
            lambda: [
                {"fault": rule.fault, "times": rule.times, "verb": rule.verb, "path": rule.path}
                for rule in self._plan.rules
            ]
        )
        return rules

    def clear(self) -> None:
        """Remove every rule, denial, shifted clock and outage. Later watches are not silent."""

        async def clear() -> None:
            self._plan.rules.clear()
            self._plan.denied.clear()
            self._plan.silent_from_start = False
            self._cluster.set_node_clocks_right()
            self._cluster.resume_etcd()
            await self._come_back()

        self._call(clear)
