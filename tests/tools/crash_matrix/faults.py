"""What may strike at one outside call: which faults mean something for it, and how each is done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ottoscaler.local.apiserver.etcd_stall import MODES
from tests.harness.invariants import STREAM
from tests.harness.proxy import Proxy, ProxyAction
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

TROUBLE_SECONDS = 1.0  # for which Kubernetes is away or its etcd stalls
GROUP = "ottoscaler"

KILLED_BEFORE = "killed before it is sent"
KILLED_AFTER = "killed before its reply"
REPLY_LOST = "reply lost, lives on"
KILLED_AND_LATE = "killed, it comes late"
CUT_OFF = "Kubernetes away, lives on"
ETCD_STALLS = "etcd stalls, lives on"
TRIMMED = "stream trimmed, killed"

FAULTS: dict[str, ProxyAction] = {
    KILLED_BEFORE: ProxyAction.NEVER_SENT,
    KILLED_AFTER: ProxyAction.REPLY_LOST,
    REPLY_LOST: ProxyAction.REPLY_LOST,
    KILLED_AND_LATE: ProxyAction.LATE,
    CUT_OFF: ProxyAction.NEVER_SENT,
    ETCD_STALLS: ProxyAction.PASS,
    TRIMMED: ProxyAction.NEVER_SENT,
}
_LIVES_ON = (REPLY_LOST, CUT_OFF, ETCD_STALLS)
_WRITES = ("POST", "DELETE", "PATCH")


def means_something(fault: str, call: str) -> bool:
    """Whether the fault is any other than the plain ones at this call."""
    of_kubernetes = "pods" in call
    if fault == KILLED_AND_LATE:
        return of_kubernetes and call.startswith(_WRITES)
    if fault in (CUT_OFF, ETCD_STALLS):
        return of_kubernetes
    return fault != TRIMMED or not of_kubernetes


@dataclass(frozen=True)
class Row:
    """One fault at one call: the ``nth`` of its name, which was the ``k``-th of all in the reference run."""

    k: int
    call: str
    nth: int
    fault: str


@dataclass(frozen=True)
class Trim:
    """How far the event was as its entry was trimmed."""

    group: bool  # there was one to lose it
    handed: bool
    taken: bool  # into the ledger, so that it runs all the same


class Injector:
    """Counts calls through both proxies and strikes one of them. Called on the proxies' threads."""

    def __init__(self, place: Sandbox, row: Row | None) -> None:
        self._place = place
        self._row = row
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._kube: Proxy | None = None
        self.calls: list[str] = []
        self.struck = threading.Event()
        self.victim: Replica | None = None
        self.trim: Trim | None = None

    def aim(self, redis: Proxy, kube: Proxy) -> None:
        for proxy in (redis, kube):
            proxy.decide, proxy.struck = self._decide, self._strike
        self._kube = kube

    def over(self) -> bool:
        """Whether what was to come late has come."""
        late = self._row is not None and self._row.fault == KILLED_AND_LATE and self.struck.is_set()
        return not late or self._kube is None or self._kube.delivered.is_set()

    def _decide(self, call: str) -> ProxyAction:
        with self._lock:
            self._seen[call] += 1
            self.calls.append(call)
            row = self._row
            if row is None or call != row.call or self._seen[call] != row.nth:
                return ProxyAction.PASS
        action = FAULTS[row.fault]
        if action is ProxyAction.PASS:
            self._strike(call)
        return action

    def _strike(self, _: str) -> None:
        assert self._row is not None
        fault = self._row.fault
        if fault == TRIMMED:
            self.trim = self._trim()
        if fault not in _LIVES_ON:
            wait_for(lambda: self.victim is not None, "the process is known", 5)
            assert self.victim is not None
            self.victim.kill()
        if fault == CUT_OFF:
            assert self._kube is not None
            self._kube.refuse()
            self._later(self._kube.accept)
        if fault == ETCD_STALLS:
            assert self._place.cluster is not None
            self._place.cluster.faults.stall_etcd(MODES[self._row.k % len(MODES)])
            self._later(self._place.cluster.faults.resume_etcd)
        self.struck.set()

    def _trim(self) -> Trim:
        """Take the one entry off the stream, at any point of the event's life; how far it was then."""
        client = self._place.redis
        ((event_id, _),) = client.xrange(STREAM)
        groups = client.xinfo_groups(STREAM)
        taken = bool(client.exists(f"{STREAM}:{GROUP}:event:{event_id}"))
        client.xtrim(STREAM, maxlen=0, approximate=False)
        return Trim(bool(groups), any(one["last-delivered-id"] == event_id for one in groups), taken)

    @staticmethod
    def _later(end: Callable[[], None]) -> None:
        timer = threading.Timer(TROUBLE_SECONDS, end)
        timer.daemon = True
        timer.start()
