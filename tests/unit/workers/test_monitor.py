"""Ages of Pods: no two machines' clocks are compared, and an API server in trouble makes no Pod late."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ottoscaler.kube.server_health import ServerHealth, ServerSign
from ottoscaler.model import Phase, Reason, Verdict
from ottoscaler.pods.view import parse_pod
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.workers.monitor import _age, _ran_before_adoption, _saw_running, _time_left, judgement
from tests.harness.clock import Clock

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()


def at(seconds: float) -> str:
    return datetime.fromtimestamp(NOON + seconds, UTC).isoformat()


def ran(now: float, **shown: Any) -> float:
    deps = SimpleNamespace(
        pods=SimpleNamespace(now=lambda: NOON + now), limits=SimpleNamespace(pending_timeout=900.0)
    )
    attempt = cast(Any, SimpleNamespace(deps=deps, created_at=0.0, born_at=float("-inf")))
    view = parse_pod({})._replace(phase=Phase.RUNNING, **shown)
    return _ran_before_adoption(attempt, view, NOON + now)


@pytest.mark.parametrize("ahead", [0, -3600, -5, 5, 3600])
def test_adopted_worker_has_run_for_as_long_whatever_its_nodes_clock_says(ahead: float) -> None:
    node = {"accepted_at": at(11 + ahead), "started_at": at(20 + ahead)}
    assert ran(100, created_at=at(0), bound_at=at(10), **node) == 81


def test_adopted_worker_of_unknown_start_has_run_at_least_since_its_pending_timeout() -> None:
    assert ran(100, created_at=at(0), started_at=at(-3600)) == 0
    assert ran(1000, created_at=at(0), started_at=at(-3600)) == pytest.approx(100)


def pending(monkeypatch: pytest.MonkeyPatch, clock: Clock, health: ServerHealth) -> Any:
    """An attempt whose Pod was created now, and has 20 s to start."""
    monkeypatch.setattr(time, "monotonic", clock)
    view = parse_pod({})._replace(phase=Phase.PENDING)
    limits = SimpleNamespace(pending_timeout=20.0, default_timeout=60.0, pull_grace=30.0)
    shown = SimpleNamespace(view=view, end=None, gone=False, trouble="", trouble_seconds=lambda: 0.0)
    return SimpleNamespace(
        deps=SimpleNamespace(limits=limits, pods=SimpleNamespace(health=health, now=lambda: None)),
        run=SimpleNamespace(event=SimpleNamespace(timeout_seconds=None)),
        subscription=shown,
        created_at=clock.now,
        running_at=0.0,
    )


def test_a_pod_is_not_late_because_the_api_server_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could bind or start it. After 30 s away, 20 Pods ended as PendingTimeout a second after they
    were created."""
    clock = Clock()
    health = ServerHealth(clock)
    health.note("create", ServerSign.UNREACHED)
    clock.now += 50  # trouble of before this Pod counts for nothing
    health.note("create", ServerSign.WELL)
    attempt = pending(monkeypatch, clock, health)
    for _ in range(6):
        health.note("list", ServerSign.TROUBLED)
        clock.now += 5
    assert judgement(attempt).verdict is Verdict.WAIT
    assert _time_left(attempt) == 20
    health.note("list", ServerSign.WELL)
    clock.now += 19
    assert judgement(attempt).verdict is Verdict.WAIT
    clock.now += 1
    assert judgement(attempt).reason is Reason.PENDING_TIMEOUT


def test_a_pod_is_not_late_because_the_api_server_hung_before_anybody_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An etcd stood still for 45 s. Its limit of 20 s was over before the looks that hung had told of it."""
    clock = Clock()
    health = ServerHealth(clock)
    health.note("create", ServerSign.WELL)
    attempt = pending(monkeypatch, clock, health)
    clock.now += 32
    for _ in range(2):
        health.note("get", ServerSign.TROUBLED, 12.0)
    clock.now += 13
    health.note("get", ServerSign.WELL)
    assert judgement(attempt).verdict is Verdict.WAIT
    clock.now += 20
    assert judgement(attempt).reason is Reason.PENDING_TIMEOUT


def test_a_pod_that_ends_while_the_api_server_is_in_trouble_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The seconds for which it had waited were below zero, so that no row of the table fitted."""
    clock = Clock()
    health = ServerHealth(clock)
    attempt = pending(monkeypatch, clock, health)
    for _ in range(2):
        health.note("get", ServerSign.TROUBLED)
    monkeypatch.setattr(health, "_clock", lambda: clock.now + 1e-5)  # it is asked a moment later
    attempt.subscription.view = attempt.subscription.view._replace(phase=Phase.SUCCEEDED)
    assert judgement(attempt).verdict is Verdict.FINISHED


def test_an_image_is_not_given_up_because_the_api_server_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its node may have pulled it, and run its worker, without being able to tell."""
    clock = Clock()
    health = ServerHealth(clock)
    attempt = pending(monkeypatch, clock, health)
    attempt.deps.limits.pending_timeout = 900.0
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    status = {"phase": "Pending", "containerStatuses": [{"name": "worker", "state": {"waiting": waiting}}]}
    shown, begun = attempt.subscription, clock.now
    shown.view, shown.trouble = parse_pod({"status": status}), Reason.IMAGE_PULL
    shown.trouble_seconds = lambda: clock.now - begun
    health.note("list", ServerSign.UNREACHED)
    for _ in range(6):
        clock.now += 10
        health.note("list", ServerSign.UNREACHED)
    health.note("list", ServerSign.WELL)
    assert judgement(attempt).verdict is Verdict.WAIT
    assert _time_left(attempt) == 30
    clock.now += 30
    assert judgement(attempt).reason is Reason.IMAGE_PULL


def test_the_limit_of_a_pending_pod_is_not_looked_for_all_the_time_while_the_api_server_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    health = ServerHealth(clock)
    attempt = pending(monkeypatch, clock, health)
    clock.now += 19.999
    health.note("create", ServerSign.UNREACHED)
    assert _time_left(attempt) >= 1


def test_step_of_the_api_servers_clock_makes_no_adopted_worker_older() -> None:
    """A worker must not end for a time limit that is not over; to end late costs less."""
    now = [100.0]
    deps = SimpleNamespace(
        pods=SimpleNamespace(now=lambda: NOON + now[0]), limits=SimpleNamespace(pending_timeout=900.0)
    )
    a = cast(Any, SimpleNamespace(deps=deps, created_at=0.0, born_at=float("-inf"), running_at=0.0))
    times: dict[str, Any] = {
        "created_at": at(0),
        "bound_at": at(10),
        "accepted_at": at(11),
        "started_at": at(20),
    }
    view = parse_pod({})._replace(phase=Phase.RUNNING, **times)
    for clock, age in ((100.0, 100), (3700.0, 100), (50.0, 50), (100.0, 50)):
        now[0] = clock
        _saw_running(a, view)
        assert _age(a, view) == pytest.approx(age, abs=5)
        assert time.monotonic() - a.running_at == pytest.approx(age - 19, abs=5)


def test_start_of_a_pod_that_is_gone_when_its_worker_first_looks_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, metrics = Clock(), Metrics()
    attempt = pending(monkeypatch, clock, ServerHealth())
    attempt.deps.metrics = metrics
    shown = attempt.subscription
    shown.started_at = clock.now + 3  # when the watch showed it; a start alone wakes no worker
    shown.view = shown.view._replace(phase=Phase.RUNNING, started_at=at(0))
    shown.gone = True
    clock.now += 8
    assert judgement(attempt).reason is Reason.DELETED
    assert metrics.registry.get_sample_value("ottoscaler_pod_start_seconds_sum") == 3
