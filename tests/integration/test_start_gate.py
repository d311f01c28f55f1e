"""OTTO_START_GATE: no command starts before the ledger has noted its Pod as the attempt's first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import pytest

from ottoscaler.local.apiserver.audit import PodLife
from tests.harness.cluster_state import FOREVER, ledger, local_only
from tests.harness.invariants import lives
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import end_workers, ends_well, uids
from tests.harness.waiting import wait_for

GATE = [{"name": "ottoscaler.io/noted"}]


@pytest.fixture
def gating() -> Iterator[Sandbox]:
    with sandbox(OTTO_START_GATE="true", OTTO_LEASE_SECONDS="1") as place:
        yield place


@local_only
def test_worker_runs_at_the_price_of_a_third_request(gating: Sandbox) -> None:
    assert gating.cluster is not None
    gating.start()
    event_id = gating.scale_up(5, run_seconds=0.1)
    ends_well(gating, event_id, 5)
    asked = [r.verb for r in gating.cluster.audit.requests() if r.name.startswith("otto-agent-")]
    assert {verb: asked.count(verb) for verb in set(asked)} == {"create": 5, "patch": 5, "delete": 5}


@local_only
def test_gate_stays_shut_until_the_ledger_knows_the_pod(gating: Sandbox) -> None:
    assert gating.cluster is not None
    gating.start()
    gating.cluster.faults.hang("patch", r"/pods/")
    event_id = gating.scale_up(1, run_seconds=FOREVER)
    wait_for(lambda: not gating.cluster.faults.active(), "the gate is being opened")  # type: ignore[union-attr]
    pod = gating.kube.workers(event_id)[0]
    assert pod["spec"]["schedulingGates"] == GATE
    assert "nodeName" not in pod["spec"]
    assert ledger(gating, event_id)["i:0"] == f"s:0:{pod['metadata']['uid']}"


@local_only
def test_gate_that_the_server_or_a_webhook_took_off_is_told_and_the_worker_runs(gating: Sandbox) -> None:
    assert gating.cluster is not None
    replica = gating.start()
    ends_well(gating, gating.scale_up(1, run_seconds=0.1), 1)
    assert not replica.lines(action="gate_missing")
    gating.cluster.faults.respec({"schedulingGates": []})
    event_id = gating.scale_up(1, run_seconds=0.1)
    ends_well(gating, event_id, 1)
    assert replica.lines(action="gate_missing", event_id=event_id)


@local_only
def test_successor_adopts_the_gated_pod_and_lets_it_start(gating: Sandbox) -> None:
    assert gating.cluster is not None
    first = gating.start("first")
    gating.cluster.faults.hang("patch", r"/pods/")
    event_id = gating.scale_up(1, run_seconds=FOREVER)
    wait_for(lambda: not gating.cluster.faults.active(), "the gate is being opened")  # type: ignore[union-attr]
    first.kill()
    gated = uids(gating, event_id)
    gating.start("second", OTTO_START_GATE="false")  # what was gated is let go also where the setting is off
    gating.wait_workers(event_id, "Running", 1)
    assert uids(gating, event_id) == gated
    end_workers(gating, event_id)
    ends_well(gating, event_id)
    assert [worker["attempt"] for worker in gating.workers(event_id)] == ["0"]


@local_only
def test_late_pod_is_deleted_and_never_starts(gating: Sandbox) -> None:
    assert gating.cluster is not None
    first = gating.start("first")
    gating.cluster.faults.deliver_late(math.inf)
    event_id = gating.scale_up(1, run_seconds=FOREVER)
    wait_for(lambda: not gating.cluster.faults.active(), "its create is under way")  # type: ignore[union-attr]
    first.kill()
    gating.start("second")
    gating.wait_workers(event_id, "Running", 1)
    gating.cluster.faults.deliver_kept()

    def gone() -> PodLife | None:
        found = lives(gating).get((event_id, 0, 0), [])
        return found[0] if found and found[0].deleted is not None else None

    life = wait_for(gone, "the late Pod came and went")
    assert life is not None
    assert life.phase == "Pending"
    patched = [r.name for r in gating.cluster.audit.requests("patch", "pods")]
    assert life.name not in patched
    end_workers(gating, event_id)
    ends_well(gating, event_id)


@local_only
def test_gate_that_cannot_be_opened_for_a_while_is_tried_again(gating: Sandbox) -> None:
    assert gating.cluster is not None
    gating.start()
    gating.cluster.faults.answer(403, 3, "patch", r"/pods/", message="pods is forbidden: no patch")
    event_id = gating.scale_up(1, run_seconds=0.1)
    ends_well(gating, event_id)


@local_only
def test_webhook_that_hangs_on_opened_gates_holds_up_no_other_event() -> None:
    """It may look at every change of a Pod. So an answer that never comes says nothing about the server."""
    bounds = {"kube.client.READ_SECONDS": 0.3, "kube.client.SLOW_READ_SECONDS": 0.6}
    with sandbox(OTTO_START_GATE="true", bounds=bounds) as place:
        assert place.cluster is not None
        replica = place.start()
        place.cluster.faults.hang("patch", r"/pods/.*-1717-0-", times=None)
        fields = {"type": "scale_up", "pod_count": "2", "env": '{"SIM_RUN_SECONDS": "0.1"}'}
        place.redis.xadd("otto:scale:events", fields, id="1717-0")
        unanswered = partial(replica.metric, "ottoscaler_kube_request_seconds_count", verb="patch")
        wait_for(lambda: unanswered() > 5, "its gates cannot be opened")
        assert place.wait_event(place.scale_up(1, run_seconds=0.1))["status"] == "succeeded"
        place.cluster.faults.clear()
        ends_well(place, "1717-0", 2)


@local_only
def test_webhook_that_is_slow_on_opened_gates_slows_no_other_call_down(gating: Sandbox) -> None:
    assert gating.cluster is not None
    replica = gating.start()
    before = replica.metric("ottoscaler_kube_rate_limit")
    gating.cluster.faults.slow(2.5, "patch", r"/pods/", times=1)
    ends_well(gating, gating.scale_up(1, run_seconds=0.1))
    assert replica.metric("ottoscaler_kube_rate_limit") >= before


@local_only
def test_gate_that_nobody_may_open_fails_the_worker_with_the_servers_words() -> None:
    with sandbox(OTTO_START_GATE="true", OTTO_PENDING_TIMEOUT_SECONDS="2") as place:
        assert place.cluster is not None
        place.start()
        place.cluster.faults.answer(403, None, "patch", r"/pods/", message="pods is forbidden: no patch")
        event_id = place.scale_up(1, max_retries="0")
        assert place.wait_event(event_id)["status"] == "failed"
        worker = place.workers(event_id)[0]
        assert (worker["reason"], "no patch" in worker["message"]) == ("Rejected", True)
        place.wait_no_pods()
