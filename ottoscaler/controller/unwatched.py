"""Finds Pods that no replica watches, by lists. One replica does it for all, while its claim in Redis stands.

In this namespace, these are Pods whose owner no live replica watches: the owner died and left no event to be
taken over, or the Pod lost its owner label. In namespaces that NAMESPACE named before, these are all Pods.
Whoever owns the event of a Pod that has not ended looks at it. Leftover Pods are swept here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ottoscaler.controller.sweep import Sweep
from ottoscaler.errors import KubernetesError, RedisError
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.pod_api import PodApi
from ottoscaler.kube.selection import MOST_OWNERS
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.lease import suspended_clock
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.surveys import EVERYBODY, Surveys
from ottoscaler.ledger.upkeep import Search
from ottoscaler.model import PodView
from ottoscaler.pods.labels import selector
from ottoscaler.telemetry.logs import flood, get_logger

log = get_logger(__name__)

CLAIM_SECONDS = 10.0  # how long a claim stands after its holder's last step; then another replica looks
FORGET_SECONDS = 3600.0  # a former namespace is forgotten after this long without a Pod or a replica of ours
MOST = 16  # former namespaces that are searched at one time

SweepOf = Callable[[Callable[[PodView], bool], PodDeleter], Sweep]  # which Pods are shared; who deletes


class Unwatched:
    """The reconciler's thread calls ``step``, which does not wait for Kubernetes.

    Lists and sweeps run in one of the deleter's threads, one at a time.
    """

    def __init__(
        self,
        ledger: Ledger,
        pods: PodApi,
        watcher: PodWatcher,
        deleter: PodDeleter,
        surveys: Surveys,
        sweep_of: SweepOf,
        *,
        instance: str,
    ) -> None:
        self._ledger = ledger
        self._pods = pods
        self._watcher = watcher
        self._deleter = deleter
        self._surveys = surveys
        self._sweep_of = sweep_of
        self._instance = instance
        self._sweeps: dict[str, tuple[PodApi, Sweep]] = {}  # by namespace
        self._former: set[str] = set()  # namespaces
        self._empty: set[str] = set()  # of these, those without a Pod of ours
        self._busy = False

    def step(self) -> None:
        """Start one search if this replica holds the claim. Warns once of each former namespace.

        Raises RedisError.
        """
        if self._busy:
            return
        search = self._ledger.upkeep.claim_search(CLAIM_SECONDS, sorted(self._empty), FORGET_SECONDS)
        former = set(search.namespaces[:MOST])
        for name in former - self._former:
            log.warning(
                "namespace_former",
                f"replicas of this installation create or created Pods in namespace {name}, this one does "
                f"in {self._pods.namespace} (NAMESPACE): what is left there is deleted, which needs the Role "
                "there",
            )
        self._former = former
        self._empty &= former
        namespaces = former | {self._pods.namespace} if search.replicas else set()
        self._sweeps = {name: self._sweeps.get(name) or self._enter(name) for name in namespaces}
        if search.replicas:
            self._busy = True
            self._deleter.call("", partial(self._look, self._selector(search)))

    def _enter(self, namespace: str) -> tuple[PodApi, Sweep]:
        here = namespace == self._pods.namespace
        pods = self._pods if here else self._pods.in_namespace(namespace)
        deleter = self._deleter if here else self._deleter.in_namespace(namespace)
        # Nobody else deletes a Pod whose owner is dead. A Pod without the label may be any live replica's.
        return pods, self._sweep_of(lambda view: not (here and view.owner), deleter)

    def _look(self, here: str | None) -> None:
        try:
            for namespace, (pods, sweep) in self._sweeps.items():
                which = here if pods is self._pods else selector(self._instance)
                if which is None:
                    continue
                try:
                    found, _ = pods.list(which, cached=True)
                    sweep.step(found)
                except (KubernetesError, RedisError) as error:
                    flood.warning(
                        "namespace_waits",
                        f"Pods in namespace {namespace} that nobody watches cannot be looked after: {error}",
                        key=namespace,
                    )
                else:
                    (self._empty.discard if found else self._empty.add)(namespace)
        finally:
            self._busy = False

    def _selector(self, search: Search) -> str | None:
        """The label selector for Pods of this namespace that no live replica watches.

        ``None`` if a live replica watches all Pods of the instance.
        """
        own, now = self._watcher.owners, suspended_clock()
        watched = set(own or ())
        for consumer, (lease, owners) in search.replicas.items():
            if self._surveys.still_for(consumer, now) <= max(self._surveys.lease_seconds, lease):
                watched |= owners
        if own is None or EVERYBODY in watched:
            return None
        return selector(self._instance, but=watched if len(watched) <= MOST_OWNERS else ())
