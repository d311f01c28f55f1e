"""Logs that stay in Redis after their workers' Pods."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

import pytest

from ottoscaler.config.settings import Settings
from ottoscaler.errors import Fenced, KubernetesError, KubernetesUnavailable
from ottoscaler.ledger.kept_logs import MOST_TEXT, KeptLog, kept_logs
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Judgement, KeepLogs, Reason, ScaleUp, Status, Verdict, WorkerId
from ottoscaler.workers.attempt import Attempt, Ended, Next
from ottoscaler.workers.create import create
from ottoscaler.workers.logs import Try, keep_log, keep_log_of_going
from ottoscaler.workers.monitor import monitor
from ottoscaler.workers.settle import settle
from tests.harness.cluster_state import local_only
from tests.harness.observer import Json
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for
from tests.harness.worker_bench import WorkerBench

__all__ = ["book", "redis_server"]

PREFIX = "otto:scale:events:ottoscaler:"
SLOW_TO_GO = "trap 'sleep 0.7; exit 1' TERM; echo begun; while :; do sleep 0.05; done"
LOST = Judgement(Verdict.RETRY, Status.FAILED, Reason.EVICTED, "its node was full")


# --- in the ledger


def taken(book: Book, ledger: Ledger, count: int = 1) -> str:
    event_id = str(book.redis.xadd("otto:scale:events", {"type": "scale_up"}))
    ledger.take(ScaleUp(event_id, "t", count), Entry(event_id, ((b"type", b"scale_up"),)))
    return event_id


def test_kept_logs_are_read_back_by_index_and_attempt(book: Book) -> None:
    ledger = book.ledger()
    event_id = taken(book, ledger, 11)
    for index, attempt in ((10, 0), (2, 1), (2, 0)):
        text = f"{index}/{attempt}\n".encode()
        assert ledger.logs.keep(WorkerId(event_id, index, attempt), 1, text, 60, 65536)
    assert list(kept_logs(ledger.redis, event_id)) == [
        KeptLog(2, 0, b"2/0\n"), KeptLog(2, 1, b"2/1\n"), KeptLog(10, 0, b"10/0\n"),
    ]  # fmt: skip
    assert [log.attempt for log in kept_logs(ledger.redis, event_id, 2)] == [0, 1]
    assert list(kept_logs(ledger.redis, "9-9")) == []
    assert 0 < book.redis.pttl(f"{PREFIX}log:{event_id}:10:0") <= 60_000


def test_no_more_is_read_back_of_a_log_than_has_room(book: Book) -> None:
    """Who may write to Redis may leave a few bytes there that unpack to gigabytes."""
    ledger = book.ledger()
    event_id = taken(book, ledger, 1)
    assert ledger.logs.keep(WorkerId(event_id, 0, 0), 1, b"a line", 60, 65536)
    book.redis.set(f"{PREFIX}log:{event_id}:0:0", zlib.compress(b"x" * (MOST_TEXT + 1)))
    (log,) = kept_logs(ledger.redis, event_id)
    assert len(log.text) == MOST_TEXT


def test_log_that_is_kept_again_replaces_the_first(book: Book) -> None:
    ledger = book.ledger()
    worker = WorkerId(taken(book, ledger), 0, 0)
    for text in (b"some of it", b"some of it, and more"):
        ledger.logs.keep(worker, 1, text, 60, 65536)
    assert [log.text for log in kept_logs(ledger.redis, worker.event_id)] == [b"some of it, and more"]
    size = book.redis.strlen(f"{PREFIX}log:{worker.event_id}:0:0")
    assert int(book.redis.hget(f"{PREFIX}log-sizes", "total")) == size + 256


def test_oldest_logs_go_past_the_bound_of_all(book: Book) -> None:
    ledger = book.ledger()
    event_id = taken(book, ledger, 100)
    noise = random.Random(1)
    for index in range(100):
        text = noise.randbytes(3000)
        assert ledger.logs.keep(WorkerId(event_id, index, 0), 1, text, 60, 65536)
        total = sum(book.redis.strlen(key) for key in book.redis.scan_iter(f"{PREFIX}log:*:*"))
        assert total <= 65536
    left = [log.index for log in kept_logs(ledger.redis, event_id)]
    assert left == list(range(100 - len(left), 100))
    assert len(left) > 15
    assert book.redis.zcard(f"{PREFIX}logs") == len(left)
    assert book.redis.hlen(f"{PREFIX}log-sizes") == len(left) + 1
    assert not ledger.logs.keep(WorkerId(event_id, 0, 0), 1, noise.randbytes(70_000), 60, 65536)


def test_housekeeping_lets_go_of_logs_whose_time_is_over(book: Book) -> None:
    ledger = book.ledger()
    event_id = taken(book, ledger, 3)
    for index in range(3):
        ledger.logs.keep(WorkerId(event_id, index, 0), 1, b"text", 60, 65536)
    assert ledger.logs.let_go(60, 65536) == 0
    assert ledger.logs.let_go(0, 65536) == 3
    assert book.redis.keys(f"{PREFIX}log:*") == []
    assert book.redis.hgetall(f"{PREFIX}log-sizes") == {"total": "0"}


def test_replica_that_lost_the_event_keeps_no_log_of_it(book: Book) -> None:
    ledger = book.ledger()
    event_id = taken(book, ledger)
    with pytest.raises(Fenced):
        ledger.logs.keep(WorkerId(event_id, 0, 0), 7, b"text", 60, 65536)
    assert list(kept_logs(ledger.redis, event_id)) == []


# --- by a worker's steps


@pytest.fixture
def bench(book: Book) -> WorkerBench:
    return WorkerBench(book, retries=2)


def ended(bench: WorkerBench, exit_code: int, logs: KeepLogs | None = None) -> Attempt:
    """An attempt whose Pod has ended, with a log."""
    a = bench.attempt(bench.take())
    object.__setattr__(a.run.event, "logs", logs)
    create(a)
    bench.pods.run(a.subscription.name)
    bench.pods.logs[a.subscription.name] = b"its last words\n"
    bench.pods.end(a.subscription.name, exit_code)
    bench.watch()
    return a


def kept(bench: WorkerBench, a: Attempt) -> list[bytes]:
    return [log.text for log in kept_logs(bench.ledger.redis, a.worker.event_id)]


def steps(bench: WorkerBench) -> list[str]:
    return [verb for verb, _ in bench.pods.calls if verb in ("create", "get", "log", "delete")]


@pytest.mark.parametrize(
    ("rule", "asked", "exit_code", "is_kept"),
    [
        (KeepLogs.FAILED, None, 1, True),
        (KeepLogs.FAILED, None, 0, False),
        (KeepLogs.FAILED, KeepLogs.ALL, 0, True),
        (KeepLogs.FAILED, KeepLogs.OFF, 1, False),
        (KeepLogs.OFF, None, 1, False),
        (KeepLogs.OFF, KeepLogs.FAILED, 1, True),
        (KeepLogs.ALL, None, 0, True),
    ],
)
def test_log_is_kept_where_operator_and_event_want_it(
    bench: WorkerBench, rule: KeepLogs, asked: KeepLogs | None, exit_code: int, is_kept: bool
) -> None:
    bench.set_logs(rule)
    a = ended(bench, exit_code, asked)
    assert settle(a, monitor(a)) == Ended(Next.DONE)
    assert kept(bench, a) == [b"its last words\n"] * is_kept
    assert steps(bench) == ["create", *["log"] * is_kept, "delete"]  # without one, no request more


def test_log_of_an_attempt_that_is_tried_again_is_kept(bench: WorkerBench) -> None:
    a = ended(bench, 1)
    assert settle(a, LOST).next is Next.RETRY
    assert [(log.index, log.attempt) for log in kept_logs(bench.ledger.redis, a.worker.event_id)] == [(0, 0)]


def test_log_that_fails_at_first_is_read_after_the_result(bench: WorkerBench) -> None:
    a = ended(bench, 1)
    bench.pods.fail("log", KubernetesUnavailable("log: no answer"))
    settle(a, monitor(a))
    assert kept(bench, a) == [b"its last words\n"]


def test_log_that_cannot_be_read_changes_nothing_else(bench: WorkerBench) -> None:
    a = ended(bench, 1)
    bench.pods.fail("log", ValueError("of our own"), KubernetesError("log: forbidden", status=403))
    assert settle(a, monitor(a)) == Ended(Next.DONE)
    assert bench.results() == [("failed", "Error")]
    assert steps(bench) == ["create", "log", "log", "delete"]


def test_log_of_a_pod_that_is_gone_is_not_asked_for(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    create(a)
    bench.pods.run(a.subscription.name)
    bench.watch()
    bench.pods.vanish(a.subscription.name)
    bench.watch()
    settle(a, monitor(a))
    assert bench.pods.asked("log") == []


def going(bench: WorkerBench) -> Attempt:
    """An attempt whose Pod somebody has asked to go, and which still runs."""
    a = bench.attempt(bench.take())
    create(a)
    name = a.subscription.name
    bench.pods.run(name)
    bench.pods.logs[name] = b"so far\n"
    bench.pods.delete(name, a.subscription.uid)
    bench.watch()
    return a


def test_log_of_a_pod_that_is_asked_to_go_is_read_once_meanwhile(bench: WorkerBench) -> None:
    a = going(bench)
    for _ in range(2):
        keep_log_of_going(a, lambda: False)
        keep_log(a, Status.FAILED, Try.WHILE_GOING)
    assert len(bench.pods.asked("log")) == 1
    assert kept(bench, a) == [b"so far\n"]


def test_log_of_a_cancelled_worker_is_not_asked_for_while_its_pod_goes(bench: WorkerBench) -> None:
    a = going(bench)
    keep_log_of_going(a, lambda: True)
    assert bench.pods.asked("log") == []


def test_log_of_which_a_part_is_kept_is_not_told_as_lost(
    bench: WorkerBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    a = going(bench)
    keep_log_of_going(a, lambda: False)
    bench.pods.fail("log", KubernetesUnavailable("log: its node is gone"))
    keep_log(a, Status.FAILED, Try.LAST)
    assert kept(bench, a) == [b"so far\n"]
    assert "cannot be kept" not in caplog.text


# --- by the service


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with sandbox(kubelet="process") as made:
        made.start(OTTO_ALLOWED_IMAGES="*,busybox:latest", OTTO_LOG_BYTES="2048")
        yield made


def log_now(place: Sandbox, pod: Json) -> str:
    """What a running worker has written."""
    path = f"/api/v1/namespaces/{place.kube.namespace}/pods"
    return place.kube.text(f"{path}/{pod['metadata']['name']}/log")


def logs_of(place: Sandbox, event_id: str) -> list[KeptLog]:
    redis = RedisClient(Settings(redis_url=place.redis_server.url))
    try:
        return list(kept_logs(redis, event_id))
    finally:
        redis.close()


def begun(place: Sandbox, task: str, **fields: str) -> tuple[str, str]:
    """A worker that has written its first line; its event's id, and the name of its Pod."""
    event_id = place.send("scale_up", pod_count=1, task_id=task, command=SLOW_TO_GO, **fields)
    pod = place.wait_workers(event_id, "Running", 1)[0]
    wait_for(lambda: log_now(place, pod) == "begun\n", "it has begun")
    return event_id, pod["metadata"]["name"]


@local_only
def test_failed_workers_last_bytes_outlive_its_pod(place: Sandbox) -> None:
    command = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo boom >&2; exit 3"
    event_id = place.send("scale_up", pod_count=1, command=command)
    assert place.wait_event(event_id)["status"] == "failed"
    (log,) = logs_of(place, event_id)  # it is there as soon as the result is
    assert (log.index, log.attempt, len(log.text)) == (0, 0, 2048)
    assert log.text.endswith(b"line 1999\nboom\n")
    raw = RedisClient(Settings(redis_url=place.redis_server.url)).command(
        "GET", f"{PREFIX}log:{event_id}:0:0"
    )
    assert zlib.decompress(raw) == log.text
    wait_for(lambda: place.replicas[0].metric("ottoscaler_logs_bytes") > len(raw), "it is measured", 8)


@local_only
def test_succeeded_worker_costs_no_request_more(place: Sandbox) -> None:
    assert place.cluster is not None
    place.cluster.audit.clear()
    event_id = place.send("scale_up", pod_count=2, command="echo fine")
    assert place.wait_event(event_id)["status"] == "succeeded"
    place.wait_no_pods()
    assert place.cluster.audit.requests("get", "pods") == []
    assert place.replicas[0].metric("ottoscaler_kube_request_seconds_count", verb="log", code="200") <= 2
    assert logs_of(place, event_id) == []


@local_only
def test_cancelled_workers_log_is_kept_with_all(place: Sandbox) -> None:
    event_id, _ = begun(place, "long", logs="all")
    place.wait_event(place.send("scale_down", task_id="long"))
    assert place.wait_event(event_id)["status"] == "cancelled"
    (log,) = logs_of(place, event_id)
    assert log.text.startswith(b"begun\n")


@local_only
def test_log_of_a_pod_that_somebody_deletes_is_kept_and_of_a_cancelled_one_not(place: Sandbox) -> None:
    taken, name = begun(place, "taken")
    place.kube.delete_pod(name)
    (log,) = wait_for(lambda: logs_of(place, taken), "its log is kept")
    assert (log.index, log.attempt) == (0, 0)
    assert log.text.startswith(b"begun\n")  # a shell may add that its sleep was terminated
    cancelled, _ = begun(place, "cancelled")
    place.wait_event(place.send("scale_down", task_id="cancelled"))
    assert place.wait_event(cancelled)["status"] == "cancelled"
    assert logs_of(place, cancelled) == []


@local_only
def test_event_that_asks_for_more_than_the_operator_allows_is_dead_lettered() -> None:
    with sandbox(OTTO_LOGS="off", OTTO_MAX_LOGS="failed") as place:
        place.start()
        bad = place.scale_up(1, logs="all")
        assert "logs: invalid value 'all' (not allowed by the operator)" in place.wait_dead(bad)["error"]
        good = place.scale_up(1, logs="failed", env={"SIM_EXIT_CODE": "1"}, run_seconds=0.05)
        assert place.wait_event(good)["status"] == "failed"
