"""One event's life under one fault, in a sandbox of its own, and what it is judged by."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import redis

from ottoscaler.ledger.replicas import DELETED_UNREAD
from tests.harness.evidence import Evidence
from tests.harness.invariants import broken_invariants, started_twice
from tests.harness.pod_outcomes import PodOutcomes
from tests.harness.proxy import Proxy, http_protocol, redis_protocol
from tests.harness.replica import SERVICE
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for
from tests.tools.crash_matrix.faults import FAULTS, Injector, Row, means_something

LEASE_SECONDS = 2
END_SECONDS = 30.0  # for a struck event to end; a takeover costs two leases of it
LATE_SECONDS = 2.0  # for a call that the reference run made after the event's end
LANES = 6  # worlds at one time: they wait more than they work
OUTCOMES = {0: "succeed", 1: "fail", 2: "vanish, then succeed"}
RESULTS = [("0", "succeeded"), ("1", "failed"), ("2", "succeeded")]


@dataclass
class Outcome:
    row: Row
    struck: bool = False
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        word = "; ".join(self.problems) or ("ok" if self.struck else "ok (the call did not come)")
        row = self.row
        return f"{row.k:4}  {row.call + ' #' + str(row.nth):28} {row.fault:26} {self.seconds:5.1f} s  {word}"


@contextmanager
def _proxied(place: Sandbox, injector: Injector) -> Iterator[dict[str, Any]]:
    """Proxies in front of Redis and the API server; the settings that lead through them."""
    assert place.cluster is not None
    port = place.cluster.server_url.rpartition(":")[2]
    before_redis, kube = Proxy(place.redis_server.port, redis_protocol()), Proxy(int(port), http_protocol())
    injector.aim(before_redis, kube)
    path = place.directory / "kubeconfig-proxied"
    path.write_text(place.cluster.kubeconfig_path.read_text().replace(f":{port}", f":{kube.port}"))
    try:
        yield {"REDIS_URL": f"redis://127.0.0.1:{before_redis.port}/0", "KUBECONFIG": str(path)}
    finally:
        before_redis.close()
        kube.close()


def _live(place: Sandbox, injector: Injector, row: Row | None) -> str:
    """One event's whole life; its id."""
    event_id = place.scale_up(3, run_seconds="inf", max_retries="2", task_id="matrix")
    with _proxied(place, injector) as settings, PodOutcomes(place, OUTCOMES):
        first = place.start("one", ready=False, OTTO_HTTP_PORT=0, **settings)
        injector.victim = first
        name = "one" if row is None or row.k % 2 else "other"

        def over() -> bool:
            # The fault may strike at any moment, also after the event's end.
            if first.process.poll() is not None and len(place.replicas) == 1:
                place.start(name, ready=False, OTTO_HTTP_PORT=0, **settings)
            with suppress(
                AssertionError, redis.ResponseError
            ):  # the API server is away; there is no group yet
                ended = place.results("event", event_id) or _is_told(place, injector, event_id)
                return bool(ended) and injector.over() and not place.kube.workers() and not place.pending()
            return False

        wait_for(over, "the event has ended and left nothing", END_SECONDS)
        if row is not None and not injector.struck.is_set():
            with suppress(AssertionError):  # a call that comes after the end, if it comes in this run at all
                wait_for(injector.struck.is_set, "the fault strikes", LATE_SECONDS)
            wait_for(over, "the event has ended and left nothing", END_SECONDS)
    return event_id


def _is_told(place: Sandbox, injector: Injector, event_id: str) -> bool:
    """Whether a dead letter tells of the entry that was trimmed before it was taken, or none need to."""
    trim = injector.trim
    if trim is None or trim.taken:
        return False
    if not trim.group:  # nobody's loss yet; the group that is made now has nothing to read
        return bool(place.redis.xinfo_groups("otto:scale:events"))
    letters = [(letter["event_id"], letter["error"]) for letter in place.dead()]
    if trim.handed:
        return letters == [(event_id, DELETED_UNREAD)]
    return [error.partition(" between ")[0] for _, error in letters] == ["1 entry"]


def _problems(
    place: Sandbox, injector: Injector, event_id: str, evidence: Evidence, *, gate: bool
) -> list[str]:
    lost = injector.trim is not None and not injector.trim.taken
    problems = broken_invariants(place, {} if lost else {event_id: 3}, evidence)
    problems += started_twice(place) if gate else []
    if not lost:
        got = [(w["index"], w["status"]) for w in place.workers(event_id)]
        problems += [f"the results are {got}"] if got != RESULTS else []
        problems += [f"a dead letter: {letter['error']}" for letter in place.dead()]
    elif not _is_told(place, injector, event_id):
        problems.append(f"trimmed unread, and the dead letters are {place.dead()}")
    return problems


def run(row: Row | None, *, gate: bool = False) -> tuple[Outcome, list[str]]:
    """One row in a sandbox of its own (``None``: the reference run); what came of it, and all calls made.
    ``gate``: with OTTO_START_GATE, and no command may start twice for one attempt."""
    began = time.monotonic()
    outcome = Outcome(row or Row(0, "", 0, ""))
    with sandbox(
        program=SERVICE, OTTO_LEASE_SECONDS=str(LEASE_SECONDS), OTTO_START_GATE=str(gate).lower()
    ) as place:
        injector, evidence = Injector(place, row), Evidence(place)
        try:
            event_id = _live(place, injector, row)
            outcome.problems += _problems(place, injector, event_id, evidence, gate=gate)
        except AssertionError as error:
            logs = "".join(f"\n--- {r.log_path.name}\n{r.log()[-3000:]}" for r in place.replicas)
            outcome.problems.append(f"{error}{logs}")
    outcome.struck = injector.struck.is_set()
    outcome.seconds = time.monotonic() - began
    return outcome, injector.calls


def reference(*, gate: bool = False) -> list[tuple[str, int]]:
    """Every outside call of an undisturbed run, as its name and its number among those of that name."""
    outcome, calls = run(None, gate=gate)
    assert not outcome.problems, outcome.problems
    seen: Counter[str] = Counter()
    listed = []
    for call in calls:
        seen[call] += 1
        listed.append((call, seen[call]))
    return listed


def rows(calls: Sequence[tuple[str, int]], every: int = 1, only: str = "") -> list[Row]:
    """The matrix: every call with each fault that means something there, or one call's rows; or each
    ``every``-th row of every fault, of other calls for each, and one at least."""
    found = []
    for number, fault in enumerate(FAULTS):
        whole = [Row(k, call, nth, fault) for k, (call, nth) in enumerate(calls, 1)]
        of_fault = [row for row in whole if only in row.call and means_something(fault, row.call)]
        first = (number * every) // len(FAULTS)
        found += of_fault[first % max(1, len(of_fault)) :: every]
    return sorted(found, key=lambda row: row.k)
