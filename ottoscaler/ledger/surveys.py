"""Hands what heartbeats saw of the other replicas from the lease's thread to the takeover's thread.

A replica is called dead when its heartbeat has stood still for a whole lease in which our own commands to the
same run of Redis kept succeeding. After an error, a restart or failover of Redis, or a gap in our own
observation (as after a SIGSTOP), the observation starts anew. Otherwise the first replica back after an
outage would take everyone's events.
"""

from __future__ import annotations

import threading

from ottoscaler.ledger.replicas import Survey

EVERYBODY = "*"  # a replica that watches all Pods of the instance names this as the owners it watches


class Observations:
    """How long each heartbeat has stood still. Pure: the time is passed in, in seconds of any steady
    clock."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease = lease_seconds
        self._seen: dict[str, tuple[str, str, float]] = {}  # consumer: incarnation, beat, since
        self._last = 0.0

    def forget(self) -> None:
        self._seen.clear()

    def update(self, survey: Survey, now: float) -> None:
        """Take note of a survey. A long gap since the last one proves nothing, so the observation starts
        anew."""
        if now - self._last > self._lease / 2:
            self._seen.clear()
        self._last = now
        present = dict(survey.replicas)
        for owner in survey.owners:
            if owner:
                present.setdefault(owner.rpartition("/")[0], ("", ""))
        for consumer in survey.consumers:
            present.setdefault(consumer, ("", ""))
        for consumer in set(self._seen) - set(present):
            del self._seen[consumer]
        for consumer, (incarnation, beat) in present.items():
            known = self._seen.get(consumer)
            if known is None or known[:2] != (incarnation, beat):
                self._seen[consumer] = (incarnation, beat, now)

    def still_for(self, consumer: str, now: float) -> float:
        """Seconds for which the consumer's heartbeat has stood still, as far as seen."""
        known = self._seen.get(consumer)
        return now - known[2] if known else 0.0

    def heartbeat(self, consumer: str) -> tuple[str, str]:
        """Its incarnation and beat as last seen; empty where it was not seen."""
        known = self._seen.get(consumer)
        return (known[0], known[1]) if known else ("", "")


class Surveys:
    """A mailbox for surveys, from the lease's thread to the takeover's. A survey that was not taken is
    replaced by the next one."""

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self._observations = Observations(lease_seconds)
        self._told = threading.Condition(threading.Lock())
        self._survey: Survey | None = None
        self._emptied = False
        self._woken = False

    # --- the lease's thread

    def tell(self, survey: Survey, now: float, *, same_run: bool) -> None:
        """Put in a heartbeat's survey. ``same_run``: the same run of Redis answered as the last time."""
        with self._told:
            if not same_run:
                self._observations.forget()
            if survey.full:
                self._observations.update(survey, now)
            if survey.full or ((survey.offers or survey.stranded) and self._survey is None):
                self._survey = survey
                self._told.notify()

    def tell_failed(self) -> None:
        """A heartbeat failed, so the observation of all replicas starts anew."""
        with self._told:
            self._observations.forget()

    def tell_emptied(self) -> None:
        """Redis was emptied and has a new installation, so every event in hand must be written anew."""
        with self._told:
            self._emptied = True
            self._told.notify()

    # --- the takeover's thread, and who looks for Pods that nobody watches

    def take(self, seconds: float) -> tuple[Survey | None, bool]:
        """Wait at most ``seconds`` for news. Returns the survey that was not taken yet, if any, and whether
        Redis was emptied."""
        with self._told:
            self._told.wait_for(lambda: self._survey is not None or self._emptied or self._woken, seconds)
            survey, self._survey = self._survey, None
            emptied, self._emptied, self._woken = self._emptied, False, False
            return survey, emptied

    def still_for(self, consumer: str, now: float) -> float:
        """Seconds for which the consumer's heartbeat has stood still, as far as seen."""
        with self._told:
            return self._observations.still_for(consumer, now)

    def heartbeat(self, consumer: str) -> tuple[str, str]:
        """Its incarnation and beat as last seen; empty where it was not seen."""
        with self._told:
            return self._observations.heartbeat(consumer)

    # --- any thread

    def wake(self) -> None:
        """End the wait in :meth:`take`, for a stop."""
        with self._told:
            self._woken = True
            self._told.notify()
