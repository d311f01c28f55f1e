"""Slow or unwilling admission: a create has its time, then its end, and delays nobody else's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.cluster_state import local_only
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import SHORT_PAUSES, ends_well, running
from tests.harness.waiting import wait_for

CREATES = r"/pods(\?|$)"
HANGING: dict[str, Any] = {"OTTO_KUBE_CREATE_SECONDS": 60, "OTTO_PENDING_TIMEOUT_SECONDS": 900}


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(bounds=SHORT_PAUSES) as made:
        yield made


def worker(place: Sandbox, event_id: str, seconds: float = 15.0) -> dict[str, str]:
    place.wait_event(event_id, seconds)
    (found,) = place.workers(event_id)
    return found


@local_only
def test_slow_admission_is_waited_for_with_one_create(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start()
    place.cluster.faults.slow_admission(3, times=1)
    ends_well(place, place.scale_up(), seconds=20)
    assert len(place.cluster.audit.requests("create", "pods")) == 1


@local_only
@pytest.mark.parametrize("status", [401, 429, 503])
def test_webhook_that_denies_for_now_is_the_workers_failure_in_the_end(place: Sandbox, status: int) -> None:
    assert place.cluster is not None
    place.start(OTTO_PENDING_TIMEOUT_SECONDS=1)
    place.cluster.faults.deny_admission("the vault is sealed", status)
    found = worker(place, place.scale_up())
    assert (found["status"], found["reason"]) == ("failed", "Rejected")
    assert "the vault is sealed" in found["message"]


@local_only
def test_webhook_that_says_to_come_back_in_an_hour_keeps_no_worker_waiting(place: Sandbox) -> None:
    """Webhooks may send a Retry-After. It held a slot for a minute after its worker's scale_down."""
    assert place.cluster is not None
    replica = place.start(OTTO_PENDING_TIMEOUT_SECONDS=4)
    later = 'admission webhook "gate" denied the request: come back later'
    place.cluster.faults.answer(429, None, "create", CREATES, message=later, retry_after=3600)
    cancelled = place.scale_up(task_id="cancelled")
    wait_for(lambda: "come back later" in replica.log(), "its create was denied")
    place.send("scale_down", task_id="cancelled")
    assert worker(place, cancelled)["status"] == "cancelled"
    overdue = worker(place, place.scale_up(), 30.0)
    assert (overdue["status"], overdue["reason"]) == ("failed", "Rejected")


@local_only
def test_webhook_that_does_not_answer_is_the_workers_failure_in_the_end(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start(OTTO_PENDING_TIMEOUT_SECONDS=1)
    place.cluster.faults.fail_admission()
    found = worker(place, place.scale_up())
    assert (found["status"], found["reason"]) == ("failed", "Rejected")
    assert "failed calling webhook" in found["message"]


@local_only
def test_create_that_nothing_answers_is_the_workers_failure_in_the_end(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start(OTTO_PENDING_TIMEOUT_SECONDS=2, OTTO_KUBE_CREATE_SECONDS=1)
    place.cluster.faults.hang("create", CREATES, times=None)
    found = worker(place, place.scale_up())
    assert (found["status"], found["reason"]) == ("failed", "PendingTimeout")
    assert "no answer within 1 s" in found["message"]


@local_only
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "etcdserver: no leader"),
        (403, 'pods "x" is forbidden: rpc error: code = Unavailable desc = transport is closing'),
        (429, "too many requests"),
        (None, "stalled"),
    ],
)
def test_server_in_trouble_fails_no_create_however_long_it_lasts(
    place: Sandbox, status: int | None, words: str
) -> None:
    """Two pending timeouts, in which creates are refused with the server's own words or held back."""
    assert place.cluster is not None
    place.start(OTTO_PENDING_TIMEOUT_SECONDS=1.5, OTTO_KUBE_CREATE_SECONDS=1)
    faults = place.cluster.faults
    if status is not None:
        faults.answer(status, None, "create", CREATES, message=words)
    else:
        faults.stall_etcd()
    events = [place.scale_up() for _ in range(3)]
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 3 or place.results("worker"), "the trouble lasts")
    assert not place.results("worker")
    faults.clear()
    faults.resume_etcd()
    for event_id in events:
        ends_well(place, event_id, seconds=20)


@local_only
def test_hanging_creates_of_one_event_delay_nobody_elses(place: Sandbox) -> None:
    assert place.cluster is not None
    place.start(OTTO_MAX_WORKERS=100, **HANGING)
    faults = place.cluster.faults
    faults.hang("create", CREATES, times=24)
    place.scale_up(40)
    wait_for(lambda: not faults.active(), "its creates hang")
    # Each call that hangs does so for 60 s, which is longer than this waits.
    assert place.wait_event(place.scale_up())["status"] == "succeeded"


@local_only
def test_hanging_deletes_of_one_event_delay_no_other_scale_down(place: Sandbox) -> None:
    assert place.cluster is not None
    replica = place.start(OTTO_MAX_WORKERS=100)
    many, one = running(place, 40), running(place, 1, task_id="one")
    place.cluster.faults.hang("delete", many, times=None)
    place.send("scale_down", task_id=many)
    wait_for(lambda: len(replica.lines(action="pod_cancelled")) == 40, "its deletes hang")
    place.send("scale_down", task_id="one")
    place.wait_event(one)
    place.cluster.faults.clear()
