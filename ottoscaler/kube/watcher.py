"""The Pods that the watch shows, and who waits for them. It wakes exactly the worker whose Pod changed.

One watch serves the whole process. ``reflector`` keeps it open and tells here what it sees.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from ottoscaler.kube.open_watch import OpenWatch
from ottoscaler.kube.pod_api import PodApi, WatchEvent
from ottoscaler.kube.selection import MOST_OWNERS, UNLABELLED, Selection, WantedOwners
from ottoscaler.kube.subscription import Subscription
from ottoscaler.model import JsonObject, PodView
from ottoscaler.pods.labels import selector, selector_of_events
from ottoscaler.pods.view import parse_pod

MOST_ENDS_TOLD = 1000  # of Pods that no worker of this process waited for when their delete was answered


class PodWatcher:
    """This replica's Pods as last seen. Any thread may call it, except where the watch thread is named."""

    def __init__(
        self,
        pods: PodApi,
        wanted: WantedOwners,
        *,
        unclaimed: Callable[[PodView], None],
        arrived: Callable[[PodView], None],
    ) -> None:
        self.open_watch = OpenWatch()
        self.synced = threading.Event()  # set with the first list, never cleared
        self._pods = pods
        self._wanted = wanted
        self._unclaimed = unclaimed  # called for a Pod that ended or vanished and has no worker here
        self._arrived = arrived  # called for a Pod that has just appeared and has no worker here
        self._lock = threading.Lock()
        self._selection = wanted.selection()  # of the watch, and of the views below
        self._caught_up = threading.Event()  # set while the watch shows all owners that are wanted
        self._views: dict[str, PodView] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._ends_told: dict[str, PodView] = {}  # UID: the answer to its delete, the oldest first

    # --- for the workers and the reconciler

    def subscribe(self, name: str) -> Subscription:
        """Subscribe to the Pod of that name. The subscription starts with what is known of the Pod.

        Each name has one subscription at a time; a new one replaces the old one and wakes its worker."""
        with self._lock:
            replaced = self._subscriptions.get(name)
            if replaced is not None:
                replaced.wake()  # its worker then checks whether this replica still owns the event
            subscription = self._subscriptions[name] = Subscription(name)
            view = self._views.get(name)
            if view is not None:
                subscription.update(view, time.monotonic())
            return subscription

    def identify(
        self, subscription: Subscription, uid: str, view: PodView | None = None, *, looked_up: bool = False
    ) -> None:
        """Bind the subscription to the Pod with this UID. ``view`` is that Pod as a reply showed it.

        ``looked_up``: the Pod existed before, so the watch may never show it.
        """
        with self._lock:
            subscription.uid = uid
            subscription.uid_known_at = time.monotonic()
            if subscription.view is not None and subscription.view.uid != uid:
                subscription.forget()
            if subscription.view is None and view is not None:
                (subscription.found if looked_up else subscription.update)(view, time.monotonic())
            told = self._ends_told.pop(uid, None)
            if told is not None:
                subscription.asked_to_go(told)
        if view is not None:
            self._show(view)

    def found(self, subscription: Subscription, view: PodView) -> None:
        """The API server has the subscription's Pod, even if the watch does not show it."""
        with self._lock:
            subscription.found(view, time.monotonic())
        self._show(view)

    def asked_to_go(self, reply: JsonObject) -> None:
        """Pass the answer to a delete on to the worker of that Pod.

        If it has none in this process, because its owner is dead and its event is not taken over yet, the
        answer is kept for it if it shows an end.
        """
        view = parse_pod(reply)
        with self._lock:
            subscription = self._subscriptions.get(view.name)
            if subscription is not None and subscription.uid == view.uid:
                subscription.asked_to_go(view)
            elif view.terminal:
                self._ends_told[view.uid] = view
                if len(self._ends_told) > MOST_ENDS_TOLD:
                    del self._ends_told[next(iter(self._ends_told))]

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            if self._subscriptions.get(subscription.name) is subscription:
                del self._subscriptions[subscription.name]
                view = self._views.get(subscription.name)
                if view is not None and view.uid != subscription.uid:
                    self._arrived(view)  # another Pod of this name appeared, and no worker waits for it

    def wake_all(self) -> None:
        """Wake every waiting worker: the process is giving up its waits."""
        with self._lock:
            for subscription in self._subscriptions.values():
                subscription.wake()

    def view(self, name: str) -> PodView | None:
        with self._lock:
            return self._views.get(name)

    def views(self) -> list[PodView]:
        """All Pods that the watch shows, as last seen."""
        with self._lock:
            return list(self._views.values())

    def claimed_views(self) -> list[PodView]:
        """The Pods, as last seen, for which a worker of this process waits."""
        with self._lock:
            return [each.view for each in self._subscriptions.values() if each.view is not None]

    def shows(self, view: PodView) -> bool:
        """Whether the watch, as it is now, shows a Pod with these labels."""
        return self._selection.shows(view)

    @property
    def owners(self) -> frozenset[str] | None:
        """The owners whose Pods the watch shows now; ``None``: all Pods of the instance."""
        return self._selection.owners

    def include(self, owners: Iterable[str] | None) -> None:
        """Show these owners' Pods too (``None``: all Pods of the instance). Returns at once.

        If they are not shown yet, this cuts the watch, and the next list shows them."""
        with self._lock:
            self._wanted.want((UNLABELLED,) if owners is None else owners, time.monotonic())
            if self._selection.includes(self._wanted.selection()):
                return
            self._caught_up.clear()
        self.interrupt()

    def _show(self, view: PodView) -> None:
        """Make the watch show this Pod of a worker here, if the Pod has another owner's label."""
        if view.managed and view.instance == self._wanted.instance and not self._selection.has(view.owner):
            self.include((view.owner,))

    def catch_up(self, seconds: float) -> bool:
        """Wait at most ``seconds`` until the watch shows the Pods of all owners that were asked for.

        Returns whether it does."""
        return self._caught_up.wait(seconds)

    @property
    def namespace(self) -> str:
        """Where the Pods are that it shows."""
        return self._pods.namespace

    def look_at_events(
        self, event_ids: Sequence[str], *, cached: bool, seconds: float = math.inf
    ) -> dict[str, PodView]:
        """The Pods of these events by name, whichever replica owns them. Raises KubernetesError.

        Makes one list call, and waits at most ``seconds`` for all pages. With ``cached``, the API server
        answers it from its cache, and else as of now."""
        instance = self._wanted.instance
        few = len(event_ids) <= MOST_OWNERS
        text = selector_of_events(instance, event_ids) if few else selector(instance)
        return {view.name: view for view in self._pods.list(text, cached=cached, seconds=seconds)[0]}

    def claimed(self, name: str) -> bool:
        """Whether a worker of this process waits for that Pod."""
        with self._lock:
            return name in self._subscriptions

    def health(self) -> tuple[bool, str]:
        """For readiness: whether the watch has synced and is open, and what is wrong."""
        return self.open_watch.health()

    def interrupt(self) -> None:
        """Cut the open watch, so that a stop, or a list for more owners, need not wait for its end."""
        self.open_watch.cut()

    # --- for the watch thread

    @property
    def caught_up(self) -> bool:
        """Whether the watch shows the Pods of all owners that were asked for."""
        return self._caught_up.is_set()

    @property
    def awaited(self) -> bool:
        """Whether any worker waits for a Pod."""
        return bool(self._subscriptions)

    @property
    def selection(self) -> Selection:
        """What the watch is to select, so that it goes on from the last list."""
        return self._selection

    def wanted(self) -> Selection:
        """What the next list is to select."""
        with self._lock:
            return self._wanted.selection()

    def replace(self, found: Iterable[PodView], selection: Selection, asked_at: float) -> bool:
        """Take in a list of all Pods of ``selection``, requested at ``asked_at`` (monotonic).

        Returns whether it shows anything new. The watch thread calls this."""
        views = {view.name: view for view in found}
        now = time.monotonic()
        with self._lock:
            # A Pod that is only no longer selected is not gone, so nobody is told that it is.
            vanished = [v for n, v in self._views.items() if n not in views and selection.shows(v)]
            replaced = [v for n, v in self._views.items() if n in views and views[n].uid != v.uid]
            before, self._views = self._views, views
            for view in vanished + replaced:
                self._tell_gone(view, now)
            for subscription in self._subscriptions.values():
                # A Pod created before this list was requested, and not in it, came and went unseen.
                if (
                    subscription.uid
                    and subscription.uid_known_at < asked_at
                    and subscription.name not in views
                    and (subscription.view is None or selection.shows(subscription.view))
                ):
                    subscription.vanish(subscription.view, now)
            for view in views.values():
                self._tell(view, now, new=view.name not in before)
            self._select(selection)
        self.synced.set()
        return before != views

    def apply(self, event: WatchEvent) -> None:
        """Take in one event of the watch. The watch thread calls this."""
        view = event.view
        if view is None:
            return
        now = time.monotonic()
        with self._lock:
            if event.kind == "DELETED":
                self._views.pop(view.name, None)
                self._tell_gone(view, now)
            else:
                new = view.name not in self._views
                self._views[view.name] = view
                self._tell(view, now, new=new)

    def narrow(self, now: float) -> None:
        """Stop watching owners whose Pods have all ended and have no worker here.

        The watch goes on from the same version: it selects less than before, so it misses nothing."""
        with self._lock:
            self._wanted.keep(
                {v.owner for v in self._views.values() if not v.terminal or v.name in self._subscriptions},
                now,
            )
            selection = self._wanted.selection()
            if not self._selection.includes(selection):  # this replica has become another owner
                self._caught_up.clear()
            elif selection != self._selection:
                self._select(selection)
                self._views = {name: view for name, view in self._views.items() if selection.shows(view)}

    def _select(self, selection: Selection) -> None:
        """Under the lock: note the selection of the views that are known now."""
        self._selection = selection
        if selection.includes(self._wanted.selection()):
            self._caught_up.set()

    def _tell(self, view: PodView, now: float, *, new: bool) -> None:
        subscription = self._subscriptions.get(view.name)
        if subscription is not None:
            subscription.update(view, now)
        elif view.terminal:
            self._unclaimed(view)
        elif new:
            self._arrived(view)

    def _tell_gone(self, view: PodView, now: float) -> None:
        subscription = self._subscriptions.get(view.name)
        if subscription is not None:
            subscription.vanish(view, now)
        else:
            self._unclaimed(view)
