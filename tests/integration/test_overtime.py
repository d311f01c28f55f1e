"""A worker over its time limit: the intent is durable, its Pod gets its grace, and its end is told.

Step by step on a real ledger and an API server that the test plays; ``test_timeouts`` has the stories.
"""

from __future__ import annotations

import pytest

from ottoscaler.errors import Fenced, KubernetesError, KubernetesUnavailable, NotYet
from ottoscaler.kube.subscription import Subscription
from ottoscaler.ledger.kept_logs import kept_logs
from ottoscaler.ledger.records import Entry, Word
from ottoscaler.model import Judgement, Reason, ScaleDown, Status, Verdict, WorkerId
from ottoscaler.workers.attempt import Attempt, Ended, Next
from ottoscaler.workers.create import create
from ottoscaler.workers.monitor import monitor
from ottoscaler.workers.removal import ASK_AGAIN_SECONDS, ASK_TRIES
from ottoscaler.workers.settle import USUAL_GRACE_SECONDS, settle
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.worker_bench import WorkerBench

__all__ = ["book", "redis_server"]

OVER = Judgement(
    Verdict.FINISHED, Status.FAILED, Reason.DEADLINE_EXCEEDED, "it ran for longer than its time limit"
)
LOST = Judgement(Verdict.RETRY, Status.FAILED, Reason.DELETED, "somebody deleted it")
DONE = Ended(Next.DONE)


@pytest.fixture
def bench(book: Book) -> WorkerBench:
    return WorkerBench(book, retries=2)


def running(bench: WorkerBench) -> Attempt:
    """A worker that runs; its thread does not wait, so that each step ends."""
    a = bench.attempt(bench.take())
    create(a)
    bench.pods.run(a.subscription.name)
    bench.watch()
    a.waits = False
    return a


def overtime(bench: WorkerBench) -> Attempt:
    """One whose Pod has been asked to go for its time limit, and has not ended yet."""
    a = running(bench)
    with pytest.raises(NotYet):
        settle(a, OVER)
    bench.watch()
    return a


def adopted(bench: WorkerBench, a: Attempt) -> Attempt:
    """The same worker in the hands of the next replica."""
    b = bench.attempt(a.run, adopt=True)
    b.waits = False
    return b


def key_of(bench: WorkerBench, a: Attempt) -> str:
    return f"{bench.ledger.redis.prefix}event:{a.worker.event_id}"


def told(bench: WorkerBench) -> list[tuple[str, str, str, str]]:
    names = ("status", "reason", "exit_code", "message")
    return [tuple(entry[name] for name in names) for entry in bench.book.results("worker")]  # type: ignore[misc]


def test_intent_is_durable_before_the_pod_is_asked_to_go(bench: WorkerBench) -> None:
    a = overtime(bench)
    attempt, _, at_ms = bench.book.redis.hget(key_of(bench, a), "t:0").partition(":")
    assert (attempt, int(at_ms) > 0) == ("0", True)
    assert bench.pods.asked("delete") == [a.subscription.name]
    assert told(bench) == []


def test_worker_is_recorded_with_its_last_words_and_log_when_its_container_has_ended(
    bench: WorkerBench,
) -> None:
    a = overtime(bench)
    bench.pods.logs[a.subscription.name] = b"saving... saved\n"
    bench.pods.end(a.subscription.name, 143, "saving... saved")
    bench.watch()
    assert settle(a, OVER) == DONE
    assert told(bench) == [("failed", "DeadlineExceeded", "143", "saving... saved")]
    (entry,) = bench.book.results("worker")
    assert entry["finished_at"][:19] == bench.pods.view(a.subscription.name).finished_at[:19]
    assert [log.text for log in kept_logs(bench.ledger.redis, a.worker.event_id)] == [b"saving... saved\n"]
    assert not bench.book.redis.hexists(key_of(bench, a), "t:0")


def test_next_replica_records_the_reason_though_the_pod_has_gone_unseen(bench: WorkerBench) -> None:
    a = overtime(bench)
    bench.pods.vanish(a.subscription.name)
    bench.watch()
    assert create(adopted(bench, a)) == DONE
    assert [entry[:2] for entry in told(bench)] == [("failed", "DeadlineExceeded")]


def test_next_replica_waits_for_the_end_of_a_pod_that_is_still_there(bench: WorkerBench) -> None:
    b = adopted(bench, overtime(bench))
    with pytest.raises(NotYet):
        create(b)
    bench.pods.end(b.subscription.name, 137, "killed")
    bench.watch()
    assert settle(b, monitor(b)) == DONE
    assert told(bench) == [("failed", "DeadlineExceeded", "137", "killed")]
    assert bench.pods.asked("delete") == [b.subscription.name]  # by the first replica


def test_pod_that_was_asked_to_go_for_its_limit_is_not_tried_again(bench: WorkerBench) -> None:
    a = overtime(bench)
    bench.pods.vanish(a.subscription.name)
    bench.watch()
    assert settle(a, LOST) == DONE
    assert [entry[:2] for entry in told(bench)] == [("failed", "DeadlineExceeded")]


def test_worker_that_ended_before_its_pod_was_asked_to_go_keeps_its_own_end(bench: WorkerBench) -> None:
    a = running(bench)
    bench.pods.end(a.subscription.name, 0)  # the watch has not told yet
    assert settle(a, OVER) == DONE
    assert [entry[:3] for entry in told(bench)] == [("succeeded", "Completed", "0")]


@pytest.mark.parametrize("error", [KubernetesUnavailable, KubernetesError])
def test_worker_whose_delete_is_refused_is_recorded_when_it_has_ended_by_itself(
    bench: WorkerBench, error: type[KubernetesError]
) -> None:
    """As by a webhook that denies every delete. Before, it kept its slot and was asked to go for ever."""
    a = running(bench)
    bench.pods.fail("delete", *[error("delete: denied", status=400)] * ASK_TRIES)
    with pytest.raises(NotYet):
        settle(a, OVER)
    bench.pods.end(a.subscription.name, 0)
    bench.watch()
    assert settle(a, OVER) == DONE
    assert [entry[:3] for entry in told(bench)] == [("succeeded", "Completed", "0")]


def test_delete_that_was_refused_is_asked_for_again_soon(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = running(bench)
    a.waits = True
    waits: list[float] = []

    def wait(_self: Subscription, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) > 1:
            bench.pods.end(a.subscription.name, 143)
        bench.watch()
        return True

    monkeypatch.setattr(Subscription, "wait", wait)
    bench.pods.fail("delete", *[KubernetesError("delete: denied", status=400)] * ASK_TRIES)
    assert settle(a, OVER) == DONE
    assert waits[0] <= ASK_AGAIN_SECONDS
    assert len(bench.pods.asked("delete")) > ASK_TRIES


def test_lost_node_holds_no_worker_past_its_grace(bench: WorkerBench) -> None:
    a = overtime(bench)
    bench.book.redis.hset(key_of(bench, a), "t:0", "0:1")  # intended long ago
    assert settle(a, OVER) == DONE
    assert told(bench) == [
        (
            "failed",
            "DeadlineExceeded",
            "",
            "it ran for longer than its time limit; its end was not seen, its node may be lost",
        )
    ]
    assert bench.pods.view(a.subscription.name).deleting


def test_node_has_a_minute_after_the_grace_to_report_the_end(bench: WorkerBench) -> None:
    a = overtime(bench)
    seconds, _ = bench.book.redis.time()
    bench.book.redis.hset(key_of(bench, a), "t:0", f"0:{(seconds - USUAL_GRACE_SECONDS - 5) * 1000}")
    with pytest.raises(NotYet):
        settle(a, OVER)
    assert told(bench) == []


def test_kubelets_own_deadline_is_recorded_when_the_container_has_ended(bench: WorkerBench) -> None:
    a = running(bench)
    bench.pods.expire(a.subscription.name)
    bench.watch()
    found = monitor(a)
    assert found.reason is Reason.DEADLINE_EXCEEDED
    with pytest.raises(NotYet):
        settle(a, found)
    assert bench.pods.asked("delete") == []  # it would go at once, and its last words with it
    bench.pods.end(a.subscription.name, 143, "last words")
    bench.pods.pods[a.subscription.name]["status"]["reason"] = "DeadlineExceeded"
    bench.watch()
    assert settle(a, monitor(a)) == DONE
    assert told(bench) == [("failed", "DeadlineExceeded", "143", "last words")]


TOO_LONG = "Pod was active on the node longer than the specified deadline"


def ended_by_the_kubelet(bench: WorkerBench, a: Attempt) -> None:
    """One view shows the kubelet's deadline and the container's end."""
    bench.pods.expire(a.subscription.name, exit_code=137, message=TOO_LONG)
    bench.watch()


def test_worker_that_the_kubelet_has_ended_at_its_deadline_is_not_asked_to_go(
    bench: WorkerBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    a = running(bench)
    ended_by_the_kubelet(bench, a)
    assert settle(a, monitor(a)) == DONE
    assert told(bench) == [("failed", "DeadlineExceeded", "137", TOO_LONG)]
    assert "worker_overtime" not in [getattr(each, "action", "") for each in caplog.records]


def test_worker_that_the_kubelet_ended_before_the_delete_for_its_time_limit_is_told_the_same(
    bench: WorkerBench,
) -> None:
    """Its replica died between the intent and the delete."""
    a = running(bench)
    bench.ledger.overtime(a.worker, a.run.epoch, a.subscription.uid)
    ended_by_the_kubelet(bench, a)
    assert settle(a, monitor(a)) == DONE
    assert told(bench) == [("failed", "DeadlineExceeded", "137", TOO_LONG)]


def test_intent_to_cancel_that_came_first_stands(bench: WorkerBench) -> None:
    a = running(bench)
    bench.book.redis.hset(key_of(bench, a), "c:0", "1:9-0:cancelled by 9-0")
    with pytest.raises(NotYet):
        settle(a, OVER)
    bench.pods.end(a.subscription.name, 143)
    bench.watch()
    assert settle(a, monitor(a)) == DONE
    assert [entry[:2] for entry in told(bench)] == [("cancelled", "Cancelled")]


def test_scale_down_takes_no_worker_that_ends_for_its_limit_anyway(bench: WorkerBench) -> None:
    a = overtime(bench)
    stream = "otto:scale:events"
    down_id = str(bench.book.redis.xadd(stream, {"type": "scale_down", "pod_count": "1"}))
    fields = ((b"type", b"scale_down"), (b"pod_count", b"1"))
    down = ScaleDown(down_id, pod_count=1)
    bench.ledger.take(down, Entry(down_id, fields))
    other = running(bench).worker
    order = [(worker.event_id, worker.index) for worker in (a.worker, other)]
    assert bench.ledger.scale_downs.cancel(down_id, 1, 1, order) == 1
    assert bench.ledger.scale_downs.victims(down_id, 1) == [(WorkerId(other.event_id, 0, 0), "uid-5")]


def test_intent_may_be_repeated_and_keeps_its_time(bench: WorkerBench) -> None:
    """A lost reply, or the next owner's own call: the bound on the wait counts from the first."""
    a = overtime(bench)
    uid = a.subscription.uid
    bench.book.redis.hset(key_of(bench, a), "t:0", "0:1")
    again = bench.ledger.overtime(a.worker, 1, uid)
    assert again.word is Word.OK
    assert int(again.detail) > 10**9
    assert bench.ledger.overtime(a.worker, 1, "another-uid").word is Word.STALE
    assert bench.ledger.overtime(WorkerId(a.worker.event_id, 0, 1), 1, uid).word is Word.STALE
    with pytest.raises(Fenced):
        bench.ledger.overtime(a.worker, 7, uid)
