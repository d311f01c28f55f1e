"""How many calls a second the API server is asked to bear: found by trying, as TCP finds it.

It begins at its setting. Quick answers raise it while it holds calls back or will soon, up to the most that
it is given; 429, 503 and slow answers lower it. Near the rate that was too much last time it rises slowly.
Pure: time is handed in.
"""

from __future__ import annotations

LEAST_RATE = 5.0  # calls a second, however much the server complains
QUICK_SECONDS = 0.25  # an answer that takes longer raises nothing beyond the setting
STRAIN_SECONDS = 0.5  # one that takes longer lowers what is beyond the setting
SLOW_SECONDS = 2.0  # and one that takes longer lowers every rate
RAISE_PER_ANSWER = 0.5  # calls a second
RAISE_WITH_CARE = 0.05  # from CAREFUL_FROM of the rate that was too much
CAREFUL_FROM = 0.9
LOWER_EVERY_SECONDS = 1.0  # a burst of 429s lowers the rate once, not once for each call
REFUSED, STRAINED = 0.5, 0.8  # what is left of the rate


class Rate:
    """The rate, and what it learned from answers. One thread at a time uses it."""

    def __init__(self, setting: float, most: float) -> None:
        self._setting = setting
        self._most = most
        self._least = min(LEAST_RATE, setting)
        self._too_much = self._most  # the rate that was lowered last
        self._lowered_at = -LOWER_EVERY_SECONDS
        self.per_second = setting

    def answered(self, now: float, status: int, seconds: float, *, patient: bool, holds_back: bool) -> None:
        """Adapt the rate to an answer that came at ``now`` and took ``seconds``.

        ``patient``: the call may be slow for its own reasons, such as admission, so a slow answer says
        nothing. ``holds_back``: calls wait for this rate, or will soon."""
        if status in (429, 503):
            self._lower(now, REFUSED, self._least)
        elif not patient and seconds > SLOW_SECONDS:
            self._lower(now, STRAINED, self._least)
        elif not patient and seconds > STRAIN_SECONDS and self.per_second > self._setting:
            self._lower(now, STRAINED, self._setting)
        elif status < 500:
            self._raise(beyond=holds_back and seconds <= QUICK_SECONDS)

    def _lower(self, now: float, factor: float, least: float) -> None:
        if now - self._lowered_at >= LOWER_EVERY_SECONDS:
            self._lowered_at = now
            self._too_much = self.per_second
            self.per_second = max(least, self.per_second * factor)

    def _raise(self, *, beyond: bool) -> None:
        most = self._most if beyond else self._setting
        if self.per_second < most:
            careful = self._too_much * CAREFUL_FROM <= self.per_second <= self._too_much
            step = RAISE_WITH_CARE if careful and self._too_much < self._most else RAISE_PER_ANSWER
            self.per_second = min(most, self.per_second + step)
