"""A worker's interest in one Pod: what is known of it, and the event that wakes the worker."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from ottoscaler.model import PodView
from ottoscaler.pods.verdict import is_telling, trouble

# A container that waits for these is on its way; no worker needs to hear of it.
_ORDINARY_WAITS = ("", "ContainerCreating", "PodInitializing")


class Subscription:
    """One worker's interest in one Pod. Its worker waits and reads; the watch thread updates."""

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
        self.end: PodView | None = None  # the first view of an end that the worker came to by itself
        self.gone = False  # by the watch, which says the same of a Pod that lost a label we select by
        self.certain = False  # gone by the API server's own word
        self.looked_at = 0.0  # monotonic, of the last look at a Pod that the watch does not show; else 0
        self.seen_at = 0.0  # monotonic, of the last change
        self.started_at = 0.0  # monotonic, when the worker container was first seen started
        self.wakes_at_start = False  # the start matters: the run limit may end before the pending limit
        self.waiting_since = 0.0  # monotonic, of the present trouble
        self.trouble = ""  # the reason in which the present trouble will end
        self._event = threading.Event()

    def wait(self, timeout: float | None) -> bool:
        """Sleep until something that matters changed since :meth:`look`, or :meth:`wake`, or ``timeout``."""
        return self._event.wait(timeout)

    def look(self) -> None:
        """Say that what is known now is being looked at: only what comes after it ends the next wait."""
        self._event.clear()

    def wake(self) -> None:
        self._event.set()

    def trouble_seconds(self) -> float:
        """For how long the Pod has waited for the same trouble; 0 where there is none."""
        return time.monotonic() - self.waiting_since if self.trouble else 0.0

    def update(self, view: PodView, now: float) -> None:
        if self.uid and view.uid != self.uid:
            return
        old = self.see(view)
        self.gone = self.certain = False  # what had gone was an earlier Pod of this name
        self.looked_at = 0.0
        if view.waiting_reason in _ORDINARY_WAITS:
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
        """Keep what the Pod shows now; returns what it showed before.

        The worker's own end is kept besides: the API server's order of what happened, and not a clock, tells
        it from what an eviction or a deletion did to the Pod a moment later.
        """
        old = self.view
        if old is not None and view.waiting_reason not in _ORDINARY_WAITS:
            view = _most_telling(old, view)
        self.view = view
        if self.end is None and view.ended_by_itself:
            self.end = view
        return old

    def asked_to_go(self, view: PodView) -> None:
        """What our own delete's reply shows: a Pod that had ended was given no time to do so. Where somebody
        else's delete came first, its end may be that one's work."""
        was_deleting = self.view is not None and self.view.deleting
        if self.end is None and view.terminal and not (view.given_grace or was_deleting):
            self.end = view

    def forget(self) -> None:
        """What was known was another Pod's of this name."""
        self.view = self.end = None
        self.gone = self.certain = False
        self.started_at = 0.0

    def found(self, view: PodView, now: float) -> None:
        """The API server has it, though the watch does not show it: its worker has to look itself."""
        self.update(view, now)
        self.looked_at = now

    def lost(self) -> None:
        """The API server itself says that it is gone. The worker's thread."""
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
    """The newer view, with the words of the older one where those tell the cause of the same trouble and its
    own do not: ErrImagePull brings the registry's words, and ImagePullBackOff hides them."""
    if is_telling(new) or not is_telling(old) or trouble(new) != trouble(old):
        return new
    return replace(new, waiting_reason=old.waiting_reason, waiting_message=old.waiting_message)


def _matters(old: PodView, new: PodView) -> bool:
    # A start alone wakes nobody: with a thousand workers that is a thousand wakes for nothing.
    return (
        old.terminal != new.terminal
        or old.deleting != new.deleting
        or old.exit_code != new.exit_code
        or old.finished_at != new.finished_at  # the worker's container, while a sidecar runs on
        or (old.waiting_reason != new.waiting_reason and new.waiting_reason not in _ORDINARY_WAITS)
    )
