"""Whether a Pod is the attempt's own, step by step: a real ledger, and an API server that the test plays."""

from __future__ import annotations

import json

import pytest

from ottoscaler.errors import KubernetesUnavailable, PodGone
from ottoscaler.kube.server_health import ServerSign
from ottoscaler.model import JsonObject, WorkerId
from ottoscaler.pods.labels import GATED, PREFIX, START_GATE
from ottoscaler.workers.adopt import adopt_by_uid, adopt_or_skip, note_pod
from ottoscaler.workers.attempt import Attempt, Ended, Next
from ottoscaler.workers.created import judge_created, judge_taken
from tests.harness.redis_fixture import Book, book, redis_server  # noqa: F401 - fixtures
from tests.harness.worker_bench import WorkerBench


@pytest.fixture
def bench(book: Book) -> WorkerBench:  # noqa: F811
    return WorkerBench(book)


def created(bench: WorkerBench, *, gated: bool = False, name: str = "") -> tuple[Attempt, JsonObject]:
    """An attempt that has begun, and its Pod as the create's answer shows it; nobody has noted it yet."""
    run = bench.take()
    a = bench.attempt(run)
    bench.ledger.start(WorkerId(run.event.event_id, 0, 0), run.epoch)
    body = json.loads(run.planned().body(0, 0))
    if gated:
        body["metadata"]["annotations"][GATED] = "true"
        body["spec"]["schedulingGates"] = [{"name": START_GATE}]
    body["metadata"]["name"] = name or body["metadata"]["name"]
    return a, bench.pods.create(json.dumps(body).encode())


def test_pod_that_the_watch_shows_is_adopted_without_a_look(bench: WorkerBench) -> None:
    a, pod = created(bench)
    bench.watch()
    again = bench.attempt(a.run, adopt=True)
    assert adopt_or_skip(again) is None
    assert again.subscription.uid == pod["metadata"]["uid"]
    assert bench.pods.asked("get") == []


def test_pods_of_a_dead_owner_are_shown_by_one_list_and_not_by_a_look_at_each(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, pod = created(bench)
    again = bench.attempt(a.run, adopt=True)

    def catch_up(_seconds: float) -> bool:
        bench.watch()
        return True

    monkeypatch.setattr(bench.watcher, "catch_up", catch_up)
    assert adopt_by_uid(again, pod["metadata"]["uid"]) is None
    assert bench.pods.asked("get") == []


def test_pod_of_an_index_that_has_gone_on_is_noted_nowhere(bench: WorkerBench) -> None:
    a, pod = created(bench)
    bench.ledger.skip(a.worker, a.run.epoch)
    assert note_pod(a, pod["metadata"]["uid"], bench.pods.view(a.subscription.name)) == Ended(Next.DONE)
    assert a.run.states == {}


def test_pod_that_a_webhook_renamed_is_deleted_by_the_name_that_it_has(bench: WorkerBench) -> None:
    a, pod = created(bench, name="x-renamed")
    assert judge_created(a, a.run.planned(), pod) == Ended(Next.DONE)
    assert bench.results() == [("failed", "Rejected")]
    assert bench.pods.asked("delete") == ["x-renamed"]


def test_pod_of_a_refused_create_that_came_back_meanwhile_was_not_renamed(bench: WorkerBench) -> None:
    a, _ = created(bench)
    bench.pods.pods[a.subscription.name]["metadata"]["labels"][PREFIX + "event-id"] = a.worker.event_id
    bench.pods.fail("get", PodGone("get: not there", status=404))
    with pytest.raises(KubernetesUnavailable):
        judge_taken(a)
    assert bench.results() == []


@pytest.mark.parametrize("trouble", [False, True])
def test_gate_that_stays_shut_fails_a_worker_only_while_the_server_is_well(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch, trouble: bool
) -> None:
    monkeypatch.setattr("ottoscaler.retry.FIRST_BACKOFF_SECONDS", 0.001)
    a, pod = created(bench, gated=True)
    object.__setattr__(a.deps.limits, "pending_timeout", -1.0)  # it is over at once
    view = bench.pods.view(a.subscription.name)._replace(gated=True)
    if trouble:
        bench.pods.health.note("patch", ServerSign.UNREACHED)
    bench.pods.fail("patch", KubernetesUnavailable("patch: no answer"))
    ended = note_pod(a, pod["metadata"]["uid"], view)
    assert (ended, bench.results()) == (
        (None, []) if trouble else (Ended(Next.DONE), [("failed", "PendingTimeout")])
    )
