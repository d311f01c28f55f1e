"""Chaos: three real replicas, and everything around them dies, freezes, hangs and comes back at random.

    python -m tests.tools.chaos --minutes 30 --seed 7

Faults and events follow from the seed alone; only how they meet is the machine's. At the end the faults
stop, the work is given time to end, and the API server's audit, the streams and what is left in Redis are
held to the invariants of DESIGN.md section 2.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

import redis

from ottoscaler.local import LocalCluster
from ottoscaler.local.apiserver.statuses import ApiError
from ottoscaler.local.ports import free_port
from tests.harness.chaos_report import Report, left_in_redis, unnoted_second_pods
from tests.harness.invariants import broken_invariants, lives, result_entries
from tests.harness.sandbox import Replica, Sandbox, sandbox
from tests.harness.waiting import wait_for

REPLICAS = 3
EVENTS = 200
MOST_WORKERS = 10
LEASE_SECONDS = 2
QUIET_SHARE = 0.03  # of the time, at the end, without new events
CALM_SECONDS = 90.0  # for everything to end once the faults have stopped
STEP_SECONDS = 0.02


class Chaos:
    """One run. Everything happens on the calling thread, in the order of a schedule."""

    def __init__(self, place: Sandbox, seed: int, seconds: float, events: int) -> None:
        assert place.cluster is not None, "chaos needs the local cluster's faults"
        self._place = place
        self._cluster: LocalCluster = place.cluster
        self._random = random.Random(seed)
        self._seconds = seconds
        self._count = events
        self._schedule: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._slots: dict[str, Replica] = {}
        self._lives = 0
        self._redis_up = True
        self._api_up = True
        self._ups: dict[str, int] = {}
        self._downs: list[str] = []
        self.report = Report(seed)

    # --- the run

    def run(self) -> Report:
        for slot in range(REPLICAS):
            self._start(f"slot-{slot}")
        for replica in self._slots.values():
            replica.wait_ready()
        began = time.monotonic()
        self._plan_events()
        self._plan_faults()
        while self._schedule:
            at, _, act = heapq.heappop(self._schedule)
            while (left := began + at - time.monotonic()) > 0:
                time.sleep(min(left, STEP_SECONDS))
            act()
        self._calm()
        self._check()
        return self.report

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._schedule, (seconds, next(self._numbers), act))

    # --- events

    def _plan_events(self) -> None:
        rng, last = self._random, self._seconds * (1 - QUIET_SHARE)
        for number in range(self._count):
            at = last * number / self._count
            workers, seconds = rng.randint(1, MOST_WORKERS), round(rng.uniform(0.1, 2.0), 2)
            code = 3 if rng.random() < 0.15 else 0
            self._at(at, lambda t=number, w=workers, s=seconds, c=code: self._up(t, w, s, c))  # type: ignore[misc]
            if rng.random() < 0.1:
                self._at(at + rng.uniform(0, 2), lambda t=number: self._down(t))  # type: ignore[misc]

    def _up(self, task: int, workers: int, seconds: float, code: int) -> None:
        if not self._redis_up:
            self._at(self._later(0.2), lambda: self._up(task, workers, seconds, code))
            return
        env = {"SIM_EXIT_CODE": str(code)}
        try:
            event_id = self._place.scale_up(
                workers, run_seconds=seconds, env=env, task_id=f"task-{task}", max_retries="10"
            )
        except redis.BusyLoadingError:  # refused, so nothing was added
            self._at(self._later(0.2), lambda: self._up(task, workers, seconds, code))
            return
        self._ups[event_id] = workers

    def _down(self, task: int) -> None:
        if not self._redis_up:
            self._at(self._later(0.2), lambda: self._down(task))
            return
        try:
            self._downs.append(self._place.send("scale_down", task_id=f"task-{task}"))
        except redis.BusyLoadingError:
            self._at(self._later(0.2), lambda: self._down(task))

    def _later(self, seconds: float) -> float:
        """A moment in the schedule that lies so far behind the present one."""
        return self._now + seconds

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began

    # --- faults

    def _plan_faults(self) -> None:
        self._began = time.monotonic()
        rng, at = self._random, 1.0
        faults = [
            (self._kill, 4),
            (self._terminate, 2),
            (self._freeze, 3),
            (self._crash_redis, 2),
            (self._api_away, 3),
            (self._api_errors, 2),
            (self._delete_a_pod, 4),
            (self._break_watches, 2),
        ]
        acts, weights = zip(*faults, strict=True)
        while at < self._seconds:
            act: Callable[[float, int], None] = rng.choices(acts, weights)[0]
            seconds, number = rng.uniform(0.1, 2.5 * LEASE_SECONDS), rng.randrange(1_000_000)
            self._at(at, lambda a=act, s=seconds, n=number: a(s, n))  # type: ignore[misc]
            at += rng.uniform(0.3, 2.0)

    def _pick(self, number: int) -> str:
        return f"slot-{number % REPLICAS}"

    def _start(self, slot: str) -> None:
        self._lives += 1
        # Every other life has a name of its own, as in a Deployment; the others keep theirs (StatefulSet).
        name = slot if self._lives % 2 else f"{slot}-{self._lives}"
        self._slots[slot] = self._place.start(name, ready=False, OTTO_HTTP_PORT=free_port())

    def _kill(self, seconds: float, number: int) -> None:
        slot = self._pick(number)
        self.report.faults["killed"] += 1
        self._slots[slot].kill()
        self._at(self._later(seconds / 3), lambda: self._start(slot))

    def _terminate(self, seconds: float, number: int) -> None:
        slot = self._pick(number)
        replica = self._slots[slot]
        self.report.faults["terminated"] += 1
        replica.thaw()
        replica.send(signal.SIGTERM)
        if number % 3 == 0:
            replica.send(signal.SIGTERM)
        self._start(slot)

    def _freeze(self, seconds: float, number: int) -> None:
        replica = self._slots[self._pick(number)]
        self.report.faults["frozen"] += 1
        replica.freeze()
        self._at(self._later(seconds), replica.thaw)

    def _crash_redis(self, seconds: float, number: int) -> None:
        if not self._redis_up:
            return
        self.report.faults["redis crashed"] += 1
        self._redis_up = False
        self._place.redis_server.kill()
        self._at(self._later(seconds), self._redis_back)

    def _redis_back(self) -> None:
        self._place.redis_server.start()
        self._redis_up = True

    def _api_away(self, seconds: float, number: int) -> None:
        if not self._api_up:
            return
        how = "hanging" if number % 2 else "refused"
        self.report.faults[f"api {how}"] += 1
        self._api_up = False
        self._cluster.faults.go_away(how)
        self._at(self._later(seconds), self._api_back)

    def _api_back(self) -> None:
        self._cluster.faults.come_back()
        self._api_up = True

    def _api_errors(self, seconds: float, number: int) -> None:
        status = (409, 429, 500, 503)[number % 4]
        if status == 409:
            self.report.faults["create replies lost"] += 1
            self._cluster.faults.lose_create_replies(5)
            return
        self.report.faults[f"api {status}"] += 1
        self._cluster.faults.answer(status, 10, path=r"/pods", retry_after=1 if status == 429 else 0)

    def _delete_a_pod(self, seconds: float, number: int) -> None:
        alive = [life for life in self._cluster.audit.lives() if life.deleted is None]
        if alive:
            self.report.faults["Pod deleted by others"] += 1
            life = alive[number % len(alive)]
            try:
                self._cluster.faults.vanish_pod(life.namespace, life.name)
            except ApiError:
                self.report.faults["Pod deleted by others"] -= 1

    def _break_watches(self, seconds: float, number: int) -> None:
        faults = self._cluster.faults
        self.report.faults["watches broken"] += 1
        (faults.cut_watches, faults.expire_watches, faults.end_watches)[number % 3]()

    # --- the end

    def _calm(self) -> None:
        if not self._redis_up:
            self._redis_back()
        self._cluster.faults.clear()
        began = time.monotonic()
        for slot, replica in list(self._slots.items()):
            replica.thaw()
            if replica.process.poll() is not None:
                self._start(slot)
        wanted = len(self._ups) + len(self._downs)
        try:
            wait_for(lambda: len(self._ended()) >= wanted, f"{wanted} events end", CALM_SECONDS)
            self._place.wait_no_pods(CALM_SECONDS)
            self._place.wait_nothing_pending()
        except AssertionError as error:
            missing = sorted((self._ups.keys() | set(self._downs)) - self._ended())
            self.report.problems.append(f"{error}; not ended: {missing}")
        self.report.calm_seconds = time.monotonic() - began

    def _ended(self) -> set[str]:
        return {f["event_id"] for f in self._place.results("event")}

    def _check(self) -> None:
        report, place = self.report, self._place
        seconds: set[str] = set()
        report.problems += broken_invariants(
            place, {**self._ups, **dict.fromkeys(self._downs, 0)}, seconds_uids=seconds
        )
        found = lives(place)
        report.events, report.downs, report.workers = (
            len(self._ups),
            len(self._downs),
            sum(self._ups.values()),
        )
        report.attempts, report.pods = len(found), sum(map(len, found.values()))
        report.seconds_uids, report.dead_letters = len(seconds), len(place.dead())
        report.statuses = Counter(
            one.fields["status"] for one in result_entries(place) if one.fields["kind"] == "worker"
        )
        report.problems += [f"a dead letter: {d['event_id']}: {d['error']}" for d in place.dead()]
        report.problems += unnoted_second_pods(place, seconds)
        report.problems += left_in_redis(place, len(self._ups) + len(self._downs))


def chaos(seed: int, seconds: float, events: int = EVENTS) -> Report:
    """One run of so many seconds of faults, in a sandbox of its own."""
    with sandbox(OTTO_LEASE_SECONDS=str(LEASE_SECONDS), OTTO_SHUTDOWN_GRACE_SECONDS="1") as place:
        run = Chaos(place, seed, seconds, events)
        report = run.run()
        if report.problems:
            for replica in place.replicas:
                print(f"--- {replica.log_path.name}\n{replica.log()[-2000:]}", file=sys.stderr)
        return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--events", type=int, default=EVENTS)
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    report = chaos(seed, options.minutes * 60, options.events)
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
