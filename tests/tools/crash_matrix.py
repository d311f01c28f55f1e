"""The crash matrix: one event, and a fault at each of the service's outside calls in turn.

The event has three workers: one succeeds, one fails, and one's Pod is deleted by somebody else, so that it
is tried again. A reference run lists every Redis command and Kubernetes request of the service. Then, for
every call of that list and each of three faults, a sandbox of its own: the fault strikes that very call, a
killed process is started again (under its old name or, every other time, another one), and the API
server's audit and the streams are held to the invariants of DESIGN.md section 2.

    python -m tests.tools.crash_matrix [--every N] [--lanes N] [--row CALL] [--gate]
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.harness.evidence import Evidence
from tests.harness.invariants import broken_invariants, started_twice
from tests.harness.pod_outcomes import PodOutcomes
from tests.harness.proxy import Proxy, ProxyAction, http_protocol, redis_protocol
from tests.harness.sandbox import Replica, Sandbox, sandbox
from tests.harness.waiting import wait_for

LEASE_SECONDS = 2
END_SECONDS = 30.0  # for a struck event to end; a takeover costs two leases of it
LATE_SECONDS = 2.0  # for a call that the reference run made after the event's end
LANES = 6  # worlds at one time: they wait more than they work
OUTCOMES = {0: "succeed", 1: "fail", 2: "vanish, then succeed"}

KILLED_BEFORE = "killed before it is sent"
KILLED_AFTER = "killed before its reply"
REPLY_LOST = "reply lost, lives on"
FAULTS = (KILLED_BEFORE, KILLED_AFTER, REPLY_LOST)


@dataclass(frozen=True)
class Row:
    """One fault at one call: the ``nth`` of its name, which was the ``k``-th of all in the reference run."""

    k: int
    call: str
    nth: int
    fault: str


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


class _Injector:
    """Counts calls through both proxies and strikes one of them."""

    def __init__(self, row: Row | None) -> None:
        self._row = row
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self.calls: list[str] = []
        self.struck = threading.Event()
        self.victim: Replica | None = None

    def decide(self, call: str) -> ProxyAction:
        with self._lock:
            self._seen[call] += 1
            self.calls.append(call)
            row = self._row
            if row is None or call != row.call or self._seen[call] != row.nth:
                return ProxyAction.PASS
        return ProxyAction.NEVER_SENT if row.fault == KILLED_BEFORE else ProxyAction.REPLY_LOST

    def strike(self, call: str) -> None:
        assert self._row is not None
        if self._row.fault != REPLY_LOST:
            wait_for(lambda: self.victim is not None, "the process is known", 5)
            assert self.victim is not None
            self.victim.kill()
        self.struck.set()


@contextmanager
def _proxied(place: Sandbox, injector: _Injector) -> Iterator[dict[str, Any]]:
    """Proxies in front of Redis and the API server; the settings that lead through them."""
    assert place.cluster is not None
    port = place.cluster.server_url.rpartition(":")[2]
    redis, kube = Proxy(place.redis_server.port, redis_protocol()), Proxy(int(port), http_protocol())
    for proxy in (redis, kube):
        proxy.decide, proxy.struck = injector.decide, injector.strike
    path = place.directory / "kubeconfig-proxied"
    path.write_text(place.cluster.kubeconfig_path.read_text().replace(f":{port}", f":{kube.port}"))
    try:
        yield {"REDIS_URL": f"redis://127.0.0.1:{redis.port}/0", "KUBECONFIG": str(path)}
    finally:
        redis.close()
        kube.close()


def _live(place: Sandbox, injector: _Injector, row: Row | None) -> str:
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
            return bool(place.results("event", event_id)) and not place.kube.workers() and not place.pending()

        wait_for(over, "the event has ended and left nothing", END_SECONDS)
        if row is not None and not injector.struck.is_set():
            with suppress(AssertionError):  # a call that comes after the end, if it comes in this run at all
                wait_for(injector.struck.is_set, "the fault strikes", LATE_SECONDS)
            wait_for(over, "the event has ended and left nothing", END_SECONDS)
    return event_id


def run(row: Row | None, *, gate: bool = False) -> tuple[Outcome, list[str]]:
    """One row in a sandbox of its own (``None``: the reference run); what came of it, and all calls made.
    ``gate``: with OTTO_START_GATE, and no command may start twice for one attempt."""
    began = time.monotonic()
    injector = _Injector(row)
    outcome = Outcome(row or Row(0, "", 0, ""))
    with sandbox(OTTO_LEASE_SECONDS=str(LEASE_SECONDS), OTTO_START_GATE=str(gate).lower()) as place:
        evidence = Evidence(place)
        try:
            event_id = _live(place, injector, row)
            outcome.problems += broken_invariants(place, {event_id: 3}, evidence)
            outcome.problems += started_twice(place) if gate else []
            got = [(w["index"], w["status"]) for w in place.workers(event_id)]
            if got != [("0", "succeeded"), ("1", "failed"), ("2", "succeeded")]:
                outcome.problems.append(f"the results are {got}")
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
    """The matrix: every call with every fault, or each ``every``-th row of it, or one call's rows."""
    whole = [Row(k, call, nth, fault) for k, (call, nth) in enumerate(calls, 1) for fault in FAULTS]
    return [row for row in whole if only in row.call][::every]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="only each N-th row")
    parser.add_argument("--lanes", type=int, default=LANES, help="worlds at one time")
    parser.add_argument("--row", default="", help="only calls whose name contains this")
    parser.add_argument("--gate", action="store_true", help="with OTTO_START_GATE")
    options = parser.parse_args()
    began = time.monotonic()
    calls = reference(gate=options.gate)
    matrix = rows(calls, options.every, options.row)
    print(f"{len(calls)} outside calls in the reference run; {len(matrix)} rows, {options.lanes} at a time")
    bad = idle = 0
    with ThreadPoolExecutor(options.lanes) as lanes:
        for outcome, _ in lanes.map(partial(run, gate=options.gate), matrix):
            print(outcome, flush=True)
            bad += bool(outcome.problems)
            idle += not outcome.struck
    print(
        f"{len(matrix)} rows: {len(matrix) - bad} green, {bad} red, "
        f"{idle} whose call did not come, {time.monotonic() - began:.0f} s"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
