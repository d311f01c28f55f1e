"""This replica's right to create Pods: a heartbeat in Redis, which a thread of its own renews.

A heartbeat is a counter without a TTL. Other replicas call this one dead when they have seen its counter
stand still for a whole lease while their own commands kept succeeding. This replica stops creating four
fifths of a lease after it *sent* its last successful heartbeat. That is before any other replica may take
over.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ottoscaler.errors import RedisError, Stopping, Unregistered, UnusableCluster, Wiped
from ottoscaler.ledger.broken_keys import Overwritten
from ottoscaler.ledger.heartbeats import BEATS_A_LEASE, beat_seconds
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.predecessor import Predecessor
from ottoscaler.ledger.replicas import Registration
from ottoscaler.ledger.surveys import Surveys
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.threads import Control, Loop

log = get_logger(__name__)

SHARE_TO_CREATE_IN = 0.8  # of the lease. The rest is for a create that is on its way, and for clock drift


def suspended_clock() -> float:
    """Seconds on a clock that goes on while this machine is suspended, as other machines' clocks do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Description(Protocol):
    """What a heartbeat says about this replica. The lease's thread calls it."""

    def info(self) -> dict[str, Any]:
        """A few fields, for ``status``."""

    def page(self, now: float, *, viewed: bool) -> tuple[str, str, str]:
        """What the status page shows, in the form that ``Replicas.beat`` takes. ``now``:
        ``suspended_clock``."""


class Lease(Loop):
    """The heartbeat. The lease thread runs ``register`` and the loop; every thread may call ``holds`` and
    ``grant``. ``lost`` is called when others took this replica for dead, before it registers anew.
    """

    def __init__(
        self,
        ledger: Ledger,
        surveys: Surveys,
        *,
        seconds: float,
        description: Description,
        lost: Callable[[], None],
        pause: Pause,
        control: Control,
        explain: Callable[[RedisError], str] = str,
    ) -> None:
        super().__init__(control)
        self._ledger = ledger  # on a connection of its own
        self._names = ledger.identity
        self._surveys = surveys
        self.seconds = seconds
        self.interval = beat_seconds(seconds)
        self._description = description
        self._viewed = False
        self._broken: frozenset[Overwritten] = frozenset()  # keys of ours, at the last survey
        self._lost = lost
        self._explain = explain
        self._group_pause = pause
        self._last_run: str | None = None
        self._next_beat = 0.0
        self._next_survey = 0.0
        self._condition = threading.Condition()
        self._until = 0.0  # creating is allowed until then, by suspended_clock
        self._grants = 0  # so far; the last one's number
        self._answering = False
        self._problem = "not registered yet"
        self.registered = threading.Event()  # never cleared
        self.peers = 0  # other replicas with a heartbeat, alive or not, as last seen

    # --- for every thread

    @property
    def held_installations(self) -> frozenset[str]:
        """The ids of this installation whose Pods are ours."""
        return self._names.held_installations

    def remaining(self) -> float:
        """Seconds for which this replica may still create; 0 if it may not."""
        return max(0.0, self._until - suspended_clock())

    def holds(self, grant: int) -> bool:
        """Whether creating is allowed now, and has been allowed without a gap since that grant."""
        return grant == self._grants and self.remaining() > 0

    def granted(self) -> int:
        """The number of the present grant, 0 if there is none."""
        return self._grants if self.remaining() > 0 else 0

    def grant(self, stop: threading.Event) -> int:
        """Wait until creating is allowed. Returns the grant's number, for :meth:`holds`. Raises Stopping."""
        while not stop.is_set():
            with self._condition:
                if self.remaining() > 0:
                    return self._grants
                self._condition.wait(self.interval)
        raise Stopping("the process stops")

    def health(self) -> tuple[bool, str]:
        """For readiness: whether the lease holds."""
        left = self.remaining()
        return left > 0, f"{left:.1f} s left" if left > 0 else self._problem

    def redis_health(self) -> tuple[bool, str]:
        """For readiness: whether Redis answered the last heartbeat."""
        return self._answering, "" if self._answering else self._problem

    # --- the lease thread

    def register(self, stop: threading.Event) -> None:
        """Register under the consumer name. Waits for Redis, and until a silent predecessor's lease is over.

        Raises:
            LiveTwin: another process sends heartbeats under this name.
            UnusableCluster: this Redis is a Redis Cluster that the settings do not fit.
            InstanceChanged: events in flight have Pods of another OTTO_INSTANCE.
            Stopping: the process stops.
        """
        predecessor = Predecessor(self._names.consumer, self._names.process, self.seconds)
        while not stop.is_set():
            self._progress()
            sent = suspended_clock()
            try:
                if problem := self._ledger.redis.cluster_problem():
                    raise UnusableCluster(problem)
                self._join()
                found = self._register(predecessor.ended, predecessor.last_beat)
            except RedisError as error:
                self._failed(error)
                predecessor.lose_sight()
                stop.wait(self.interval)
                continue
            if found.entered:
                self._renewed(sent)
                self._group_pause.tell(found.paused)
                self.registered.set()
                return
            if not predecessor.has_ended(found, sent):
                stop.wait(self.interval)
        raise Stopping("the process stops")

    def clock(self) -> float:
        return suspended_clock()

    def wait(self) -> None:
        """Wait until the next heartbeat is due. The first one is due right after the registration."""
        self._stop.wait(max(0.0, self._next_beat - suspended_clock()))

    def step(self, now: float) -> None:
        """Send one heartbeat at ``now``. If Redis raises an error, it is logged, and the lease is not
        renewed.

        The next one is due an interval after this one was sent, at once if a slow Redis took longer: the
        lease counts from the sending too. After an error it is due an interval from then.
        """
        self._send(now)
        self._next_beat = (now if self._answering else suspended_clock()) + self.interval

    def _send(self, sent: float) -> None:
        try:
            full = sent >= self._next_survey
            told = self._description.info()
            survey = self._ledger.replicas.beat(
                self._info(told),
                survey=full,
                page=self._description.page(sent, viewed=self._viewed),
                watches=str(told.get("watches", "")),
            )
            if survey is not None:
                self._renewed(sent)  # before anything else that a slow Redis may hold up
            run = self._ledger.redis.run_id()
        except Wiped:
            self._redis_was_emptied()
            return
        except RedisError as error:
            self._failed(error)
            if isinstance(error, Unregistered):
                self._enter_again()
            return
        if survey is None:
            log.warning("lease_lost", "other replicas took this one for dead and own its events now")
            self._lost()
            self._enter_anew()
            return
        self._group_pause.tell(survey.paused)
        self._viewed = survey.viewed
        self.peers = survey.others  # with each heartbeat, so that replicas that start together soon share
        if full:
            self._next_survey = sent + self.seconds / BEATS_A_LEASE
            self._tell_broken(frozenset(survey.broken))
        same, self._last_run = run == self._last_run, run
        self._surveys.tell(survey, suspended_clock(), same_run=same)

    def _tell_broken(self, broken: frozenset[Overwritten]) -> None:
        for each in sorted(broken - self._broken, key=str):
            log.error(
                "key_broken",
                f"{each}: another program has overwritten it. What needs it waits, all else goes on; "
                "docs/operations.md says what to do",
            )
        for each in sorted(self._broken - broken, key=str):
            log.info("key_mended", f"{each.key} is usable again")
        self._broken = broken

    def leave(self) -> None:
        """End the lease, as the last step of a stop. The name becomes free if nothing is owned under it."""
        if not self.registered.is_set():
            return
        with self._condition:
            self._until = 0.0
        survey = self._ledger.replicas.beat(self._info(self._description.info()), survey=False)
        if survey is not None:
            self._ledger.replicas.forget(self._names.consumer, self._names.incarnation, str(survey.beat))

    def _enter_anew(self) -> None:
        """Register as a new incarnation, as at the start. Raises LiveTwin if who has the name is alive.

        It may have ended long ago: a Redis that lost writes may know our predecessor again instead of us.
        """
        with self._condition:
            self._until = 0.0
        self._names.become()
        self._problem = "others took this replica for dead; registering anew"
        with suppress(Stopping):
            self.register(self._stop)

    def _enter_again(self) -> None:
        """Register again as the same incarnation. It keeps the events that it still owns; others are
        fenced."""
        try:
            self._register()
        except RedisError as error:
            self._failed(error)

    def _register(self, ended: str = "", beat: str = "") -> Registration:
        return self._ledger.replicas.register(self._info(self._description.info()), ended, beat, self.seconds)

    def _redis_was_emptied(self) -> None:
        log.error(
            "redis_emptied",
            "Redis no longer knows this installation: it was emptied or failed over to an empty replica. "
            "Running workers are left to finish; what is known is written anew",
        )
        try:
            self._join()
            self._surveys.tell_emptied()
            self._register()
        except RedisError as error:
            self._failed(error)

    def _join(self) -> None:
        self._names.join(self._ledger.join_installation(secrets.token_hex(6)))

    def _info(self, told: dict[str, Any]) -> str:
        return json.dumps({**self._names.process, **told})

    def _renewed(self, sent: float) -> None:
        with self._condition:
            if suspended_clock() > self._until:
                self._grants += 1
            self._until = sent + self.seconds * SHARE_TO_CREATE_IN
            self._condition.notify_all()
        self._answering = True

    def _failed(self, error: RedisError) -> None:
        self._answering = False
        self._problem = str(error)
        self._surveys.tell_failed()
        what = "the lease could not be renewed" if self.registered.is_set() else "not registered yet"
        flood.warning("heartbeat_failed", f"{what}: {self._explain(error)}")
