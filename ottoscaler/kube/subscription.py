"""A worker's subscription to one Pod: what is known of the Pod, and how its worker is woken."""

from __future__ import annotations

import threading
import time

from ottoscaler.model import PodView
from ottoscaler.pods.verdict import is_telling, trouble
from ottoscaler.pods.view import BENIGN


class Subscription:
    """What one worker knows of its Pod. The worker's thread waits and reads; the watch thread updates."""

    __slots__ = (
        "_event",
        "certain",
        "end",
        "gone",
        "looked_at",
        "name",
        "seen_at",
        "started_at",
        "trouble",
        "uid",
        "uid_known_at",
        "view",
        "waiting_since",
        "wakes_at_start",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.uid_known_at = 0.0
        self.view: PodView | None = None
        self.end: PodView | None = None  # the first view that shows the worker ended by itself
        self.gone = False  # by the watch, which says the same of a Pod that lost a label we select by
        self.certain = False  # the API server itself said that the Pod is gone
        self.looked_at = 0.0  # monotonic, of the last look at a Pod that the watch does not show; else 0
        self.seen_at = 0.0  # monotonic, of the last change
        self.started_at = 0.0  # monotonic, when the worker container was first seen started
        self.wakes_at_start = False  # the worker must know of the start: its run limit may end first
        self.waiting_since = 0.0  # monotonic, when the present trouble began
        self.trouble = ""  # the reason in which the present trouble will end
        self._event = threading.Event()

    def wait(self, timeout: float | None) -> bool:
        """Sleep for at most ``timeout`` seconds. The worker's thread.

        It ends early on :meth:`wake`, and on a change that matters since the last :meth:`look`."""
        return self._event.wait(timeout)

    def look(self) -> None:
        """Call this before reading what is known: only later changes then end the next wait."""
        self._event.clear()

    def wake(self) -> None:
        self._event.set()

    def trouble_seconds(self) -> float:
        """Seconds for which the Pod has been in the same trouble; 0 if it is in none."""
        return time.monotonic() - self.waiting_since if self.trouble else 0.0

    def update(self, view: PodView, now: float) -> None:
        if self.uid and view.uid != self.uid:
            return
        old = self.see(view)
        self.gone = self.certain = False  # an earlier Pod of this name was gone
        self.looked_at = 0.0
        if view.waiting_reason in BENIGN:
            self.trouble = ""
        elif (found := trouble(view)) != self.trouble:
            self.trouble, self.waiting_since = found, now
        if view.started_at and not self.started_at:
            self.started_at = now
            if self.wakes_at_start:
                self._event.set()
        if old is None or _matters(old, view):
            self.seen_at = now
            self._event.set()

    def see(self, view: PodView) -> PodView | None:
        """Keep the Pod's latest view, and return the one before.

        The first view of the worker's own end is kept as well. An eviction or a deletion may change the Pod a
        moment later. The order of the API server's views tells which came first; a clock could not.
        """
        old = self.view
        if old is not None and view.waiting_reason not in BENIGN:
            view = _most_telling(old, view)
        self.view = view
        if self.end is None and view.ended_by_itself:
            self.end = view
        return old

    def asked_to_go(self, view: PodView) -> None:
        """Take in the reply to our own delete.

        If the Pod is terminal in it and was given no grace period, its worker ended before our delete. If
        somebody else's delete came first, that delete may have ended the worker, so nothing is concluded."""
        was_deleting = self.view is not None and self.view.deleting
        if self.end is None and view.terminal and not (view.given_grace or was_deleting):
            self.end = view

    def forget(self) -> None:
        """Drop what is known: it was about another Pod of this name."""
        self.view = self.end = None
        self.gone = self.certain = False
        self.started_at = 0.0

    def found(self, view: PodView, now: float) -> None:
        """The API server has the Pod, but the watch does not show it. So its worker has to look by itself."""
        self.update(view, now)
        self.looked_at = now

    def lost(self) -> None:
        """The API server itself said that the Pod is gone. The worker's thread."""
        self.gone = self.certain = True

    def vanish(self, last: PodView | None, now: float) -> None:
        if last is not None and self.uid and last.uid != self.uid:
            return
        if last is not None:
            self.see(last)
        self.gone = True
        self.seen_at = now
        self._event.set()


def _most_telling(old: PodView, new: PodView) -> PodView:
    """The newer view, but with the older one's reason and message if only those tell the trouble's cause.

    For example, ErrImagePull has the registry's message, and ImagePullBackOff, which follows it, hides it."""
    if is_telling(new) or not is_telling(old) or trouble(new) != trouble(old):
        return new
    return new._replace(waiting_reason=old.waiting_reason, waiting_message=old.waiting_message)


def _matters(old: PodView, new: PodView) -> bool:
    # A start alone wakes no worker: with a thousand workers, that would be a thousand useless wake-ups.
    return (
        old.terminal != new.terminal
        or old.deleting != new.deleting
        or old.exit_code != new.exit_code  # the worker's container has ended, while a sidecar runs on
        or (old.waiting_reason != new.waiting_reason and new.waiting_reason not in BENIGN)
    )
