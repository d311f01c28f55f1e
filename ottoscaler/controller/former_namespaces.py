"""Pods in namespaces that NAMESPACE named before: the watch does not show them, so lists do.

Workers that have not ended are looked at by whoever owns their events. What is left over is swept here: Pods
whose end was recorded, and whose replica died before it deleted them.
"""

from __future__ import annotations

from collections.abc import Callable

from ottoscaler.controller.sweep import PodSource, Sweep
from ottoscaler.errors import KubernetesError, RedisError
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.pod_api import PodApi
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.model import PodView
from ottoscaler.telemetry.logs import flood, get_logger

log = get_logger(__name__)

LIST_SECONDS = 5.0  # between two lists of one namespace, so that what is seen twice stood for so long
FORGET_SECONDS = 3600.0  # without a Pod of ours in it, and without a replica that creates there
MOST = 16  # namespaces that are looked after at one time

SweepOf = Callable[[PodSource, PodDeleter], Sweep]


class _Listed:
    """What the last list of a namespace showed, in the place of a watch."""

    def __init__(self, claimed: Callable[[str], bool]) -> None:
        self.found: list[PodView] = []
        self.claimed = claimed

    def health(self) -> tuple[bool, str]:
        return True, ""

    def views(self) -> list[PodView]:
        return self.found


class FormerNamespaces:
    """``step`` is the reconciler thread's and returns at once; lists and sweeps run in one of the deleter's
    threads, one at a time."""

    def __init__(
        self,
        ledger: Ledger,
        pods: PodApi,
        deleter: PodDeleter,
        sweep_of: SweepOf,
        *,
        selector: str,
        claimed: Callable[[str], bool],
    ) -> None:
        self._ledger = ledger
        self._pods = pods
        self._deleter = deleter
        self._sweep_of = sweep_of
        self._selector = selector
        self._claimed = claimed
        self._sweeps: dict[str, tuple[PodApi, _Listed, Sweep]] = {}
        self._empty: set[str] = set()
        self._busy = False
        self._next = 0.0

    def step(self, now: float) -> None:
        """Where it is due, look through each former namespace. The first step tells of them. Raises
        RedisError."""
        if self._busy or now < self._next:
            return
        self._next = now + LIST_SECONDS
        names = self._ledger.upkeep.namespaces(sorted(self._empty), FORGET_SECONDS)[:MOST]
        self._empty.intersection_update(names)
        for name in set(self._sweeps) - set(names):
            del self._sweeps[name]
        for name in names:
            if name not in self._sweeps:
                self._enter(name)
        if names:
            self._busy = True
            self._deleter.call("", self._look)

    def _enter(self, name: str) -> None:
        log.warning(
            "namespace_former",
            f"replicas of this installation create or created Pods in namespace {name}, this one does in "
            f"{self._pods.namespace} (NAMESPACE): what is left there is deleted, which needs the Role there",
        )
        listed = _Listed(self._claimed)
        self._sweeps[name] = (
            self._pods.in_namespace(name),
            listed,
            self._sweep_of(listed, self._deleter.in_namespace(name)),
        )

    def _look(self) -> None:
        try:
            for name, (pods, listed, sweep) in self._sweeps.items():
                try:
                    listed.found = pods.list(self._selector)[0]
                    sweep.step()
                except (KubernetesError, RedisError) as error:
                    flood.warning(
                        "namespace_waits",
                        f"Pods in the former namespace {name} cannot be looked after: {error}",
                        key=name,
                    )
                else:
                    (self._empty.discard if listed.found else self._empty.add)(name)
        finally:
            self._busy = False
