"""The Pods that the sweep sees: those that the watch shows, and those that only the ledger knows by name.

An admission webhook or a person may change the labels that the watch selects by. Then the Pod's worker looks
at the Pod itself. If the owner died after it had recorded the Pod's end, the Pod is looked at from here.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial

from ottoscaler.errors import KubernetesError, PodGone, RedisError
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.pod_api import PodApi
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.model import PodView
from ottoscaler.pods.labels import event_in
from ottoscaler.pods.view import parse_pod

LOOKS_AT_ONCE = 20  # GETs between two sweeps


class VisiblePods:
    """The reconciler's thread calls it. ``views`` may wait for Redis. GETs run in the deleter's threads."""

    def __init__(
        self, ledger: Ledger, watcher: PodWatcher, pods: PodApi, deleter: PodDeleter, *, instance: str
    ) -> None:
        self._ledger = ledger
        self._watcher = watcher
        self._pods = pods
        self._deleter = deleter
        self._instance = instance
        self._lock = threading.Lock()
        self._looked: dict[str, PodView | None] = {}  # by name, the oldest look first; None: not answered yet

    def reliable(self) -> bool:
        """Whether the watch is well, so that what it shows can be relied on."""
        return self._watcher.health()[0]

    def views(self) -> list[PodView]:
        """The Pods as last seen. Raises RedisError.

        Each call starts GETs for Pods that only the ledger knows; the next call shows what they found.
        """
        noted = self._ledger.unseen.some()
        hidden = {name: uid for name, uid in noted.items() if not self._watcher.claimed(name)}
        with self._lock:
            self._looked = {name: view for name, view in self._looked.items() if name in hidden}
            known = {name: view for name, view in self._looked.items() if view is not None}
            first = [name for name in hidden if name not in self._looked]
            due = (first + list(known))[:LOOKS_AT_ONCE]
            for name in due:
                self._looked.pop(name, None)
                self._looked[name] = None
        for name in due:
            self._deleter.call(event_in(name), partial(self._look, name, hidden[name]))
        return [view for view in self._watcher.views() if view.name not in known] + list(known.values())

    def _look(self, name: str, uid: str) -> None:
        """Look at one Pod. The ledger has its UID, so it is ours whatever its labels say now."""
        view = None
        try:
            view = parse_pod(self._pods.get(name))
        except PodGone:
            pass
        except KubernetesError:
            with self._lock:
                self._looked.pop(name, None)  # the next call looks again
            return
        if view is None or view.uid != uid:
            with suppress(RedisError):  # the next call tries again
                self._ledger.unseen.forget(name)
            return
        ours = view._replace(instance=self._instance, installation=self._ledger.installation)
        with self._lock:
            self._looked[name] = ours
