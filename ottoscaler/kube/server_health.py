"""Whether the API server as a whole is in trouble, counted over the calls of the whole process.

One worker's create may fail, hang or be denied for reasons of its own: admission, a quota, its Pod. This
module counts only signs that the server itself cannot work: no connection, reads without an answer, or words
such as "etcdserver: no leader". A list may be answered from the server's cache, so it proves nothing about
writes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ottoscaler.pods.refusal_table import OVERDUE, is_internal, is_policy

FORGET_SECONDS = 15.0  # trouble is over after so long without confirmation, so that somebody tries again
UNNOTICED_SECONDS = 60.0  # so long it may take to notice trouble: a call that hangs tells of it at its end
MOST_SPANS = 100  # of trouble that is over; the shortest are forgotten
HUNG_SECONDS = 1.0  # a troubled call that took longer may have begun in trouble that nothing had told of
SIGNS_IN_A_ROW = 2  # one bad answer may be due to a single connection. A refused connection counts at once

_WRITES = ("create", "patch", "delete")
_KINDS = {**dict.fromkeys(_WRITES, "write"), "list": "list", "watch": "list"}  # any other verb: a look


class ServerSign(Enum):
    """What one call tells of the server as a whole."""

    WELL = "well"  # the server did what it was asked
    UNREACHED = "unreached"  # no connection could be made
    TROUBLED = "troubled"  # it answered, or failed to, in a way that no single Pod explains
    NOTHING = "nothing"  # it may be this Pod's own trouble


def sign_of(verb: str, status: int, text: str, *, unsent: bool = False) -> ServerSign:
    """The sign of a failed call. ``status`` is 0 if no answer came; ``unsent`` if there was no connection."""
    if not status:
        if unsent:
            return ServerSign.UNREACHED
        # A write passes admission webhooks, which may hang on their own; nothing else does.
        return ServerSign.NOTHING if verb in _WRITES else ServerSign.TROUBLED
    if is_policy(text) or (verb in _WRITES and OVERDUE in text):
        return ServerSign.NOTHING
    if status in (401, 429) or status >= 500 or is_internal(text):
        return ServerSign.TROUBLED
    return ServerSign.NOTHING if verb == "create" or status == 403 else ServerSign.WELL


@dataclass(frozen=True, slots=True)
class _Streak:
    """Troubled calls of one kind in a row."""

    length: int = 0
    since: float = 0.0
    last: float = 0.0
    reached: bool = True  # False: the last of them found no connection
    hung: bool = False  # one of them took longer than HUNG_SECONDS

    @property
    def counts(self) -> bool:
        return self.length >= (SIGNS_IN_A_ROW if self.reached else 1)


class ServerHealth:
    """Counts the signs. Thread-safe; ``clock`` gives monotonic seconds.

    Trouble begins with one refused connection, or with two troubled calls of one kind (writes, looks, lists)
    in a row. It ends with a successful call of that kind, and at the latest FORGET_SECONDS after the last
    troubled one. Trouble that began with refused connections ends with any successful call.

    Where calls hang, it is noticed later than it began. So then troubled time counts from the last write or
    look that was well, UNNOTICED_SECONDS before it was noticed at most.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._streaks = {kind: _Streak() for kind in ("write", "look", "list")}
        self._doubtful = False  # some streak has a length. While False, good calls need no lock
        self._begun = 0.0  # when the present trouble was noticed, monotonic
        self._well = clock()  # when a write or a look showed last that all was well, monotonic
        self._counted = 0.0  # from when on the present trouble counts
        self._last = 0.0  # when a call was troubled last, monotonic
        self._past: tuple[tuple[float, float], ...] = ()  # trouble that is over: from, to

    @property
    def healthy(self) -> bool:
        return not self.trouble_since()

    def trouble_since(self) -> float:
        """Monotonic time at which the present trouble was noticed; 0 where there is none. Any thread."""
        if not self._doubtful:
            return 0.0
        with self._lock:
            self._update(self._clock())
            return self._begun

    def troubled_seconds(self, since: float) -> float:
        """For how long this process has seen trouble after ``since`` (monotonic). Any thread."""
        if not self.trouble_since() and not self._past:
            return 0.0
        with self._lock:
            spans = self._past
            if self._begun:
                spans += ((self._counted, self._end(self._clock())),)
        return sum(max(0.0, end - max(begun, since)) for begun, end in spans)

    def note(self, verb: str, sign: ServerSign, seconds: float = 0.0) -> None:
        """Count the sign of a call that took ``seconds``. Any thread. Costs nothing while all is well."""
        if sign is ServerSign.NOTHING:
            return
        kind, now = _KINDS.get(verb, "look"), self._clock()
        if sign is ServerSign.WELL and kind != "list":
            self._well = now
        if sign is ServerSign.WELL and not self._doubtful:
            return
        with self._lock:
            self._update(now)
            if sign is ServerSign.WELL:
                for each, streak in self._streaks.items():
                    if each == kind or not streak.reached:
                        self._streaks[each] = _Streak()
            else:
                streak = self._streaks[kind]
                self._last = now
                since = streak.since if streak.length else now
                reached = sign is not ServerSign.UNREACHED
                hung = streak.hung or seconds > HUNG_SECONDS
                self._streaks[kind] = _Streak(streak.length + 1, since, now, reached, hung)
            self._update(now)

    def _update(self, now: float) -> None:
        """Under the lock: forget streaks that nothing has confirmed, and judge whether there is trouble."""
        for kind, streak in self._streaks.items():
            if streak.length and now - streak.last > FORGET_SECONDS:
                self._streaks[kind] = _Streak()
        self._doubtful = any(streak.length for streak in self._streaks.values())
        begun = [streak.since for streak in self._streaks.values() if streak.counts]
        if self._begun and not begun:
            past = (*self._past, (self._counted, self._end(now)))
            if len(past) > MOST_SPANS:
                past = tuple(sorted(past, key=lambda span: span[1] - span[0])[1:])
            self._past = past
            self._well = max(self._well, self._end(now))
        elif begun and not self._begun:
            self._counted = first = min(begun)
            if any(streak.counts and streak.hung for streak in self._streaks.values()):
                self._counted = min(first, max(self._well, first - UNNOTICED_SECONDS))
        self._begun = min([*begun, self._begun] if self._begun else begun) if begun else 0.0

    def _end(self, now: float) -> float:
        """Trouble that nothing confirms any more was over FORGET_SECONDS after its last sign."""
        return min(now, self._last + FORGET_SECONDS)
