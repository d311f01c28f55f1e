"""One shared watch on this replica's Pods. It wakes exactly the worker whose Pod changed.

It lists, and then watches from the list's version. After a broken stream it resumes from the last version.
After a 410, or when more owners' Pods must be shown, it lists again and tells the workers which Pods vanished
meanwhile. While the watch stays silent, a list every ``poll_seconds`` replaces it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ottoscaler.errors import KubernetesError, UnusableAnswer, VersionExpired
from ottoscaler.kube.pod_api import PodApi
from ottoscaler.kube.selection import MOST_OWNERS, UNLABELLED, Selection, WantedOwners
from ottoscaler.kube.subscription import Subscription
from ottoscaler.model import JsonObject, PodView
from ottoscaler.pods.labels import selector, selector_of_events
from ottoscaler.pods.view import parse_pod
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.threads import Control, Loop

log = get_logger(__name__)

# The server ends each watch cleanly after this time, and sends a bookmark 2 s before. So a dead connection is
# told from a quiet namespace within seconds, and not only after a TCP timeout.
WATCH_SECONDS = 10
DOUBTFUL_WATCH_SECONDS = 1  # a watch's time after a silent one, until a watch ends cleanly or sends something
RELIST_SECONDS = 0.5  # least time between two lists for more owners, so that takeovers in a row share a list
SILENCE_SECONDS = 1.5  # if no byte came for so long past a watch's end, the connection is dead

MOST_CUT_SHORT = 5  # doublings of the pause after watches that ended at once and sent nothing
MOST_QUIET = 32  # quiet watches before a list that makes sure


def _cut(response: Any) -> None:
    try:
        response.shutdown()
    except (AttributeError, ValueError, RuntimeError, OSError) as error:
        log.debug("cut_failed", f"the watch had already ended: {error}")


class PodWatcher(Loop):
    """The watch and the Pods it has seen. The watch thread runs the loop; any thread may call the rest."""

    passing = (KubernetesError, TimeoutError)

    def __init__(
        self,
        pods: PodApi,
        wanted: WantedOwners,
        *,
        poll_seconds: float,
        unclaimed: Callable[[PodView], None],
        arrived: Callable[[PodView], None],
        restarted: Callable[[], None],
        control: Control,
    ) -> None:
        super().__init__(control)
        self._pods = pods
        self._wanted = wanted
        self._poll_seconds = poll_seconds
        self._unclaimed = unclaimed  # called for a Pod that ended or vanished and has no worker here
        self._arrived = arrived  # called for a Pod that has just appeared and has no worker here
        self._restarted = restarted
        self._lock = threading.Lock()
        self._selection = wanted.selection()  # of the watch, and of the views below
        self._listed_at = -RELIST_SECONDS  # monotonic
        self._views: dict[str, PodView] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._version = ""
        self._response: Any = None
        self._silent = False  # the last watch sent nothing at all, so the next one is short
        self._resumed = False  # a broken watch was resumed, and nothing has come since
        self._cut_short = 0  # watches in a row that ended long before their time and sent nothing
        self._quiet = 0  # watches in a row that lasted and sent nothing
        self._list_after = 1  # so many of them
        self._healthy = False
        self._problem = "not synced yet"
        self.synced = threading.Event()  # set with the first list, never cleared
        self._caught_up = threading.Event()  # set while the watch shows all owners that are wanted

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
        if view is not None:
            self._show(view)

    def found(self, subscription: Subscription, view: PodView) -> None:
        """The API server has the subscription's Pod, even if the watch does not show it."""
        with self._lock:
            subscription.found(view, time.monotonic())
        self._show(view)

    def asked_to_go(self, reply: JsonObject) -> None:
        """Pass the answer to a delete on to the worker of that Pod, if it has one in this process."""
        view = parse_pod(reply)
        with self._lock:
            subscription = self._subscriptions.get(view.name)
            if subscription is not None and subscription.uid == view.uid:
                subscription.asked_to_go(view)

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

    def look_at_events(self, event_ids: Sequence[str]) -> dict[str, PodView]:
        """The Pods of these events by name, whichever replica owns them. Raises KubernetesError.

        Makes one list call, which the API server answers from its cache."""
        instance = self._wanted.instance
        few = len(event_ids) <= MOST_OWNERS
        text = selector_of_events(instance, event_ids) if few else selector(instance)
        return {view.name: view for view in self._pods.list(text, cached=True)[0]}

    def claimed(self, name: str) -> bool:
        """Whether a worker of this process waits for that Pod."""
        with self._lock:
            return name in self._subscriptions

    def health(self) -> tuple[bool, str]:
        """For readiness: whether the watch has synced and is open, and what is wrong."""
        return self._healthy, "" if self._healthy else self._problem

    def interrupt(self) -> None:
        """Cut the open watch, so that a stop, or a list for more owners, need not wait for its end."""
        response = self._response
        if response is not None:
            _cut(response)

    # --- the watch thread

    def step(self, now: float) -> None:  # noqa: ARG002 - the watch waits by itself
        """List, if there is no version to resume from or more owners' Pods must be shown. Then follow one
        watch to its end."""
        if self._version and not self._caught_up.is_set():
            self._stop.wait(max(0.0, self._listed_at + RELIST_SECONDS - time.monotonic()))
        if not (self._version and self._caught_up.is_set()):
            self._list()
        if self._caught_up.is_set():
            self._follow()
            self._narrow(time.monotonic())

    def pause(self, seconds: float) -> float:
        if self.synced.is_set() and self._silent:
            seconds = min(self._poll_seconds, self.longest_pause)
        return seconds * random.uniform(0.5, 1.0)

    def failed(self, error: Exception) -> None:
        """The watch broke. A cut stream is resumed once from its version; anything else makes a new list."""
        if self._healthy:
            self._restarted()
            log.warning("watch_restarted", f"the Pod watch was interrupted and restarts: {error}")
        elif not isinstance(error, VersionExpired):
            flood.warning("watch_failed", f"the Pod watch cannot be opened: {error}")
        # An answer that makes no sense would come again from the same version.
        makes_sense = not isinstance(error, (VersionExpired, TimeoutError, UnusableAnswer))
        resume = self._healthy and makes_sense and not self._resumed
        self._resumed |= resume
        self._silent = isinstance(error, TimeoutError)
        self._healthy = False
        self._problem = str(error)
        if not resume:
            self._version = ""

    def _list(self) -> None:
        asked_at = self._listed_at = time.monotonic()
        with self._lock:
            selection = self._wanted.selection()
        found, version = self._pods.list(selection.text, self._progress)
        views = {view.name: view for view in found}
        now = time.monotonic()
        with self._lock:
            # A Pod that is only no longer selected is not gone, so nobody is told that it is.
            vanished = [v for n, v in self._views.items() if n not in views and selection.shows(v)]
            replaced = [v for n, v in self._views.items() if n in views and views[n].uid != v.uid]
            before, self._views = self._views, views
            if before != views:
                self._quiet, self._list_after = 0, 1
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
        self._version = version
        self.synced.set()

    def _select(self, selection: Selection) -> None:
        """Under the lock: note the selection of the views that are known now."""
        self._selection = selection
        if selection.includes(self._wanted.selection()):
            self._caught_up.set()

    def _narrow(self, now: float) -> None:
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

    def _follow(self) -> None:
        seconds = DOUBTFUL_WATCH_SECONDS if self._silent else WATCH_SECONDS
        silence = seconds + SILENCE_SECONDS
        events = self._pods.watch(
            self._selection.text, self._version, seconds=seconds, silence=silence, opened=self._opened
        )
        began, empty = time.monotonic(), True  # empty: neither an event nor a bookmark came
        try:
            for event in events:
                self._silent = empty = self._resumed = False
                self._take(event)
        except KubernetesError:
            if self._caught_up.is_set():
                raise
            # The watch was cut to list more owners' Pods. That list shows whatever the watch did not.
        finally:
            self._response = None
        self._silent = False  # it ended when the server was asked to end it, so the namespace was just quiet
        self._healthy = True
        if empty and self._caught_up.is_set():
            self._doubt(time.monotonic() - began, seconds)
        else:
            self._cut_short, self._quiet, self._list_after = 0, 0, 1

    def _doubt(self, lasted: float, asked: float) -> None:
        """A watch ended without an event or a bookmark, which something in between may have kept back.

        One that ended long before its time would end so again at once, so a list follows after a pause. After
        one that lasted, where workers wait, a list follows too, ever more rarely while lists show no change:
        an API server before 1.27 sends no bookmark if no Pod of the cluster has changed."""
        if lasted < asked / 2:
            self._cut_short = min(self._cut_short + 1, MOST_CUT_SHORT)
            self._stop.wait(
                min(self.first_pause * 2**self._cut_short, self._poll_seconds, self.longest_pause)
            )
            self._version = ""
        elif asked == WATCH_SECONDS and self._subscriptions:
            self._quiet += 1
            if self._quiet >= self._list_after:
                self._quiet, self._list_after = 0, min(2 * self._list_after, MOST_QUIET)
                self._version = ""

    def _opened(self, response: Any) -> None:
        self._response = response
        if self._stop.is_set() or not self._caught_up.is_set():
            _cut(response)  # interrupt() came before there was anything to cut
        if not self._silent:
            self._healthy = True

    def _take(self, event: dict[str, Any]) -> None:
        kind, obj = event["type"], event["object"]
        self._healthy = True
        self._progress()
        if kind == "BOOKMARK":
            self._version = obj["metadata"].get("resourceVersion") or self._version
            return
        view = parse_pod(obj)
        now = time.monotonic()
        with self._lock:
            if kind == "DELETED":
                known = self._views.get(view.name)
                if known is not None and known.uid == view.uid:
                    del self._views[view.name]
                self._tell_gone(view, now)
            else:
                new = view.name not in self._views
                self._views[view.name] = view
                self._tell(view, now, new=new)
        self._version = view.resource_version or self._version

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
