"""The watch thread: it lists this replica's Pods, and then watches them from the list's version.

After a broken stream it resumes from the last version. After a 410, or when more owners' Pods must be shown,
it lists again. While the watch stays silent, a list every ``poll_seconds`` replaces it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from ottoscaler.errors import KubernetesError, UnusableAnswer, VersionExpired
from ottoscaler.kube.pod_api import PodApi
from ottoscaler.kube.watcher import PodWatcher
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


class Reflector(Loop):
    """Keeps a watcher's Pods as the API server has them. The watch thread runs it."""

    passing = (KubernetesError, TimeoutError)

    def __init__(
        self,
        pods: PodApi,
        watcher: PodWatcher,
        *,
        poll_seconds: float,
        restarted: Callable[[], None],
        control: Control,
        explain: Callable[[Exception], str] = str,
    ) -> None:
        super().__init__(control)
        self._pods = pods
        self._watcher = watcher
        self._watch = watcher.open_watch
        self._poll_seconds = poll_seconds
        self._restarted = restarted
        self._explain = explain
        self._listed_at = -RELIST_SECONDS  # monotonic
        self._version = ""
        self._silent = False  # the last watch sent nothing at all, so the next one is short
        self._resumed = False  # a broken watch was resumed, and since then none has ended in order
        self._cut_short = 0  # watches in a row that ended long before their time and sent nothing
        self._quiet = 0  # watches in a row that lasted and sent nothing
        self._list_after = 1  # so many of them

    def step(self, now: float) -> None:  # noqa: ARG002 - the watch waits by itself
        """List, if there is no version to resume from or more owners' Pods must be shown. Then follow one
        watch to its end."""
        if self._version and not self._watcher.caught_up:
            self._stop.wait(max(0.0, self._listed_at + RELIST_SECONDS - time.monotonic()))
        if not (self._version and self._watcher.caught_up):
            self._list()
        if self._watcher.caught_up:
            self._follow()
            self._watcher.narrow(time.monotonic())

    def pause(self, seconds: float) -> float:
        if self._watcher.synced.is_set() and self._silent:
            seconds = min(self._poll_seconds, self.longest_pause)
        return seconds * random.uniform(0.5, 1.0)

    def failed(self, error: Exception) -> None:
        """The watch broke. A cut stream is resumed once from its version; anything else makes a new list.

        If each watch breaks behind its first events, every second one is listed for: what is shown would else
        stay ever farther behind."""
        if self._watch.healthy:
            self._restarted()
            log.warning("watch_restarted", f"the Pod watch was interrupted and restarts: {error}")
        elif not isinstance(error, VersionExpired):
            flood.warning("watch_failed", f"the Pod watch cannot be opened: {self._explain(error)}")
        # An answer that makes no sense would come again from the same version.
        makes_sense = not isinstance(error, (VersionExpired, TimeoutError, UnusableAnswer))
        resume = self._watch.healthy and makes_sense and not self._resumed
        self._resumed |= resume
        self._silent = isinstance(error, TimeoutError)
        self._watch.broke(str(error))
        if not resume:
            self._version = ""

    def _list(self) -> None:
        asked_at = self._listed_at = time.monotonic()
        selection = self._watcher.wanted()
        found, version = self._pods.list(selection.text, self._progress)
        self._resumed = False
        if self._watcher.replace(found, selection, asked_at):
            self._quiet, self._list_after = 0, 1
        self._version = version

    def _follow(self) -> None:
        watch, watcher = self._watch, self._watcher
        seconds = DOUBTFUL_WATCH_SECONDS if self._silent else WATCH_SECONDS
        silence = seconds + SILENCE_SECONDS
        events = self._pods.watch(
            watcher.selection.text, self._version, seconds=seconds, silence=silence, opened=self._opened
        )
        began, empty = time.monotonic(), True  # empty: neither an event nor a bookmark came
        try:
            for event in events:
                self._silent = empty = False
                watch.healthy = True
                self._progress()
                watcher.apply(event)
                self._version = event.version or self._version
        except KubernetesError:
            if watcher.caught_up:
                raise
            # The watch was cut to list more owners' Pods. That list shows whatever the watch did not.
        finally:
            watch.ended()
        # It ended when the server was asked to end it, so the namespace was just quiet.
        self._silent = self._resumed = False
        watch.healthy = True
        lasted = time.monotonic() - began
        cut_short = watcher.caught_up and lasted < seconds / 2 and not self._stop.is_set()
        if cut_short:  # in good order: so a server ends the watch of one that reads too slowly
            self._restarted()
            sentence = f"the Pod watch ended after {lasted:.1f} s of {seconds} and restarts"
            flood.warning("watch_restarted", sentence)
        if empty and watcher.caught_up:
            self._doubt(cut_short=cut_short, asked=seconds)
        else:
            self._cut_short, self._quiet, self._list_after = 0, 0, 1

    def _opened(self, response: Any) -> None:
        self._watch.opened(response)
        if self._stop.is_set() or not self._watcher.caught_up:
            self._watch.cut()  # another thread asked for that before there was anything to cut
        if not self._silent:
            self._watch.healthy = True

    def _doubt(self, *, cut_short: bool, asked: float) -> None:
        """A watch ended without an event or a bookmark, which something in between may have kept back.

        One that ended long before its time would end so again at once, so a list follows after a pause. After
        one that lasted, where workers wait, a list follows too, ever more rarely while lists show no change:
        an API server before 1.27 sends no bookmark if no Pod of the cluster has changed."""
        if cut_short:
            self._cut_short = min(self._cut_short + 1, MOST_CUT_SHORT)
            self._stop.wait(
                min(self.first_pause * 2**self._cut_short, self._poll_seconds, self.longest_pause)
            )
            self._version = ""
        elif asked == WATCH_SECONDS and self._watcher.awaited:
            self._quiet += 1
            if self._quiet >= self._list_after:
                self._quiet, self._list_after = 0, min(2 * self._list_after, MOST_QUIET)
                self._version = ""
