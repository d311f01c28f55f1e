"""One run of chaos: its schedule, its end, and what it is judged by."""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence

from ottoscaler.ledger.replicas import DELETED_UNREAD
from tests.harness.chaos_report import Report, left_in_redis, unnoted_second_pods
from tests.harness.invariants import broken_invariants, lives, started_twice
from tests.harness.replica import SERVICE
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for
from tests.tools.chaos.moves import MOVES
from tests.tools.chaos.producer import Producer
from tests.tools.chaos.schedule import Schedule
from tests.tools.chaos.stage import LEASE_SECONDS, Stage

EVENTS = 200
CALM_SECONDS = 90.0  # for everything to end once the moves have stopped

_LOST = re.compile(
    r"(\d+) entr(?:y|ies) between (\S+) and (\S+) (?:was|were) removed from the stream before "
    r"(?:it was|they were) read(?:; \2 itself had been handed out)?"
)
_OVER_A_LIMIT = re.compile(r"(pod_count|image|timeout_seconds): ")


class Chaos:
    """One run. Everything happens on the calling thread, in the order of a schedule."""

    def __init__(self, place: Sandbox, seed: int, moves: Sequence[str]) -> None:
        self._place = place
        self._random = random.Random(seed)
        self._moves = moves
        self.report = Report(seed)
        self._schedule = Schedule()
        self._stage = Stage(place, self._schedule, self.report.faults)
        self._producer = Producer(self._stage)

    def run(self, seconds: float, events: int) -> Report:
        """So many seconds of moves; then everything is given time to end, and is judged."""
        stage = self._stage
        try:
            for slot in stage.kube_roads:
                stage.start(slot)
            for replica in stage.slots.values():
                replica.wait_ready()
            self._producer.plan(self._random, seconds, events)
            self._plan_moves(seconds)
            self._schedule.run()
            stage.calm()
            self._wait_for_the_end()
            self._judge()
        finally:
            stage.close()
        return self.report

    def _plan_moves(self, seconds: float) -> None:
        rng, at = self._random, 1.0
        moves, weights = zip(*(MOVES[name] for name in self._moves), strict=True)
        while at < seconds:
            move = rng.choices(moves, weights)[0]
            length, number = rng.uniform(0.1, 2.5 * LEASE_SECONDS), rng.randrange(1_000_000)
            act = lambda m=move, s=length, n=number: m(self._stage, self._producer, s, n)  # noqa: E731
            self._schedule.at(at, act)
            at += rng.uniform(0.3, 2.0)

    # --- the end

    def _unended(self) -> set[str]:
        """What was sent and has neither ended nor been refused."""
        refused = {letter["event_id"] for letter in self._place.dead() if letter["error"] != DELETED_UNREAD}
        sent = self._producer.ups.keys() | {*self._producer.downs, *self._producer.huge}
        return sent - refused - self._ended()

    def _ended(self) -> set[str]:
        return {fields["event_id"] for fields in self._place.results("event")}

    def _refused(self) -> set[str]:
        """scale_ups that a setting which was rolled in mid-flight refused before they had begun."""
        letters = [one for one in self._place.dead() if _OVER_A_LIMIT.match(one["error"])]
        return {letter["event_id"] for letter in letters} & self._producer.ups.keys()

    def _open(self) -> set[str]:
        """What has not ended, unless all of it was trimmed, and just so many entries are told as lost."""
        left = self._unended() - self._told_by_id()
        told = sum(number for number, _, _ in self._told_lost())
        return set() if len(left) == told and left <= set(self._producer.trimmed) else left

    def _told_by_id(self) -> set[str]:
        """Trimmed entries that had been handed out to a replica that died before it read them."""
        told = {letter["event_id"] for letter in self._place.dead() if letter["error"] == DELETED_UNREAD}
        return told & set(self._producer.trimmed) & self._unended()

    def _told_lost(self) -> list[tuple[int, str, str]]:
        """What the dead letters tell as lost: how many entries, after which one, and up to which one."""
        found = (_LOST.fullmatch(letter["error"]) for letter in self._place.dead())
        return [(int(m[1]), m[2], m[3]) for m in found if m is not None]

    def _wait_for_the_end(self) -> None:
        began = time.monotonic()
        try:
            wait_for(lambda: not self._open(), "every event ends", CALM_SECONDS)
            self._place.wait_no_pods(CALM_SECONDS)
            self._place.wait_nothing_pending()
        except AssertionError as error:
            self.report.problems.append(f"{error}; not ended: {sorted(self._open())}")
        self.report.calm_seconds = time.monotonic() - began

    def _judge(self) -> None:
        report, place, producer = self.report, self._place, self._producer
        sent = {**producer.ups, **dict.fromkeys(producer.downs, 0)}
        lost = self._unended() & set(producer.trimmed)
        without = lost | (self._refused() - self._ended())  # no result is to tell of them
        judged = {event_id: count for event_id, count in sent.items() if event_id not in without}
        seconds: set[str] = set()
        report.problems += broken_invariants(place, judged, self._stage.evidence, seconds_uids=seconds)
        found = lives(place)
        report.events, report.downs = len(producer.ups), len(producer.downs)
        report.workers = sum(producer.ups.values())
        report.attempts, report.pods = len(found), sum(map(len, found.values()))
        report.seconds_uids, report.dead_letters = len(seconds), len(place.dead())
        report.trimmed, report.lost = len(producer.trimmed), len(lost)
        report.statuses = Counter(fields["status"] for fields in place.results("worker"))
        report.refused = len(self._refused())
        report.problems += self._dead_letter_problems(lost)
        report.problems += self._limit_problems({event_id for event_id, _, _ in found})
        if place.settings.get("OTTO_START_GATE") == "true":
            report.problems += started_twice(place)
        # A late Pod that chaos takes away before a replica has looked at it is noted by nobody.
        report.problems += unnoted_second_pods(place, seconds - self._stage.deleted)
        report.problems += left_in_redis(
            place, len(sent) + len(producer.huge), len(lost - self._told_by_id())
        )

    def _dead_letter_problems(self, lost: set[str]) -> list[str]:
        """Dead letters are for entries that are too big and for those that were trimmed unread, once each."""
        letters, by_id = self._place.dead(), self._told_by_id()
        refused = self._refused().union(self._producer.huge)
        problems = [
            f"a dead letter: {letter['event_id']}: {letter['error']}"
            for letter in letters
            if letter["event_id"] not in by_id | refused and not _LOST.fullmatch(letter["error"])
        ]
        told = self._told_lost()
        problems += [
            f"{number} entries between {after} and {upto} are told as lost, and nobody trimmed so many"
            for number, after, upto in told
            if number > sum(_within(one, after, upto) for one in lost - by_id)
        ]
        problems += [
            f"{one} was trimmed unread, and no dead letter's range has it"
            for one in sorted(lost - by_id)
            if not any(_within(one, after, upto) for _, after, upto in told)
        ]
        counts = Counter(letter["event_id"] for letter in letters)
        return problems + [
            f"{one} has {counts[one]} dead letters"
            for one in by_id | refused
            if counts[one] != (one in by_id or one not in lost)
        ]

    def _limit_problems(self, begun: set[str]) -> list[str]:
        """A limit that is lowered refuses what has not begun, and takes nothing away that runs."""
        workers, rolled = self._place.results("worker"), "settings rolled" in self.report.faults
        problems = [f"{one} was refused, and had begun" for one in sorted(self._refused() & begun)]
        problems += [
            f"worker {f['index']} of {f['event_id']} was cancelled, and no scale_down named its task"
            for f in workers
            if f["status"] == "cancelled"
            and f["task_id"] not in self._producer.cancelled
            and f["event_id"] not in self._refused()
        ]
        return problems + [
            f"worker {f['index']} of {f['event_id']} was rejected: {f['message']}"
            for f in workers
            if f["reason"] == "Rejected" and not (rolled and _OVER_A_LIMIT.match(f["message"]))
        ]


def _within(event_id: str, after: str, upto: str) -> bool:
    return _number(after) < _number(event_id) <= _number(upto)


def _number(event_id: str) -> tuple[int, int]:
    first, _, second = event_id.partition("-")
    return int(first), int(second or 0)


def chaos(
    seed: int, seconds: float, events: int = EVENTS, moves: Sequence[str] = tuple(MOVES), **settings: str
) -> Report:
    """One run of so many seconds of moves, in a sandbox of its own."""
    base = {"OTTO_LEASE_SECONDS": str(LEASE_SECONDS), "OTTO_SHUTDOWN_GRACE_SECONDS": "1"}
    base["OTTO_ALLOWED_IMAGES"] = "busybox,registry.example.com/*"
    with sandbox(program=SERVICE, bounds={}, **{**base, **settings}) as place:
        report = Chaos(place, seed, moves).run(seconds, events)
        if report.problems:
            for replica in place.replicas:
                print(f"--- {replica.log_path.name}\n{replica.log()[-2000:]}", file=sys.stderr)
        return report
