"""Create, monitor and settle, each called by itself: a real ledger, and an API server that the test plays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import pytest

from ottoscaler.errors import (
    BadEvent,
    Fenced,
    KubernetesUnavailable,
    QuotaExceeded,
    Refused,
    RefusedForNow,
    Stopping,
)
from ottoscaler.kube.server_health import ServerSign
from ottoscaler.ledger.records import Word
from ottoscaler.ledger.upkeep import Standing
from ottoscaler.model import JsonObject, Judgement, KeepLogs, Reason, Status, Verdict, WorkerId
from ottoscaler.workers.attempt import Attempt, Ended, Next
from ottoscaler.workers.create import _latency, create
from ottoscaler.workers.early_create import EarlyCreates
from ottoscaler.workers.head_start import LASTS_SECONDS, HeadStart
from ottoscaler.workers.monitor import CANCELLED, _look_again, monitor
from ottoscaler.workers.run import EventRun, Task
from ottoscaler.workers.settle import settle
from ottoscaler.workers.worker import Workers
from tests.harness.ledger_steps import DONE
from tests.harness.redis_fixture import Book, book, redis_server  # noqa: F401 - fixtures
from tests.harness.waiting import wait_for
from tests.harness.worker_bench import WorkerBench

SILENCE = KubernetesUnavailable("create: no answer within 60 s")
SEALED = RefusedForNow("create: the vault is sealed", status=503)
FAILED = Judgement(Verdict.FINISHED, Status.FAILED, Reason.ERROR, "it ended with 3", 3)
LOST = Judgement(Verdict.RETRY, Status.FAILED, Reason.NODE_LOST, "its node was lost")


Start = Callable[..., WorkerBench]


@pytest.fixture
def start(book: Book, monkeypatch: pytest.MonkeyPatch) -> Start:  # noqa: F811
    """A bench with these limits, on which nothing pauses for long."""
    monkeypatch.setattr("ottoscaler.retry.FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr("ottoscaler.retry.LONGEST_PAUSE_SECONDS", 0.02)
    return lambda **limits: WorkerBench(book, **limits)


@pytest.fixture
def bench(start: Start) -> WorkerBench:
    return start()


# --- create


def test_create_begins_in_the_ledger_then_creates_then_notes_the_uid(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    assert create(a) is None
    assert bench.pods.calls == [("create", a.subscription.name)]
    assert a.subscription.uid == bench.pods.view(a.subscription.name).uid
    assert bench.ledger.start(a.worker, 1).detail == a.subscription.uid


def test_lease_is_looked_at_last_after_the_attempt_began(
    bench: WorkerBench,
) -> None:
    a = bench.attempt(bench.take())
    bench.lease.checks_left = 1  # one at the turn; the next, after the ledger, fails
    bench.stopping.set = lambda: None  # type: ignore[method-assign]
    waits: list[float] = []

    def lapse(seconds: float | None = None) -> bool:
        waits.append(seconds or 0)
        bench.lease.checks_left = 1000
        return False

    bench.stopping.wait = lapse  # type: ignore[assignment, method-assign]
    assert create(a) is None
    assert bench.pods.asked("create") == [a.subscription.name]
    assert len(waits) == 1
    assert a.begun


def with_open_create(bench: WorkerBench) -> tuple[EventRun, HeadStart]:
    """A new event whose first worker Redis has begun, and whose create the listener has opened."""
    run, head_start = bench.take(), HeadStart(bench.lease.generation, time.monotonic())
    EarlyCreates(bench.deps).open(run, head_start)
    assert head_start.opened is not None
    bench.ledger.start(WorkerId(run.event.event_id, 0, 0), 1)
    return run, head_start


def handed_on(bench: WorkerBench, run: EventRun, head_start: HeadStart) -> Attempt:
    """Its first attempt, as a pool thread has it in hand."""
    task = Task(run, 0, 0, head_start=head_start)
    sent = head_start.sent
    return Attempt(
        bench.deps, task, sent.subscription if sent else bench.watcher.subscribe(bench.deps.name(task))
    )


def sent_early(bench: WorkerBench) -> Attempt:
    run, head_start = with_open_create(bench)
    EarlyCreates(bench.deps).complete(run, head_start)
    assert head_start.sent is not None
    return handed_on(bench, run, head_start)


def test_create_that_the_listener_sends_is_answered_to_the_workers_thread(bench: WorkerBench) -> None:
    run, head_start = with_open_create(bench)
    assert bench.pods.calls == []
    EarlyCreates(bench.deps).complete(run, head_start)
    a = handed_on(bench, run, head_start)
    assert bench.pods.calls == [("create", a.subscription.name)]
    bench.watch()
    assert bench.arrived == [], "its worker waits for it already"
    assert create(a) is None
    assert bench.pods.asked("create") == [a.subscription.name]
    assert a.subscription.uid == bench.pods.view(a.subscription.name).uid
    assert bench.ledger.start(a.worker, 1).detail == a.subscription.uid


def lose_the_lease(bench: WorkerBench, _run: EventRun, _head_start: HeadStart) -> None:
    bench.lease.checks_left = 0


def stop(bench: WorkerBench, _run: EventRun, _head_start: HeadStart) -> None:
    bench.stopping.set()


def pause(bench: WorkerBench, _run: EventRun, _head_start: HeadStart) -> None:
    bench.pause.tell(True)


def leave(_bench: WorkerBench, run: EventRun, _head_start: HeadStart) -> None:
    run.leaving = True


def belong_to_another_installation(_bench: WorkerBench, run: EventRun, _head_start: HeadStart) -> None:
    plan = run.planned()
    run.plan = replace(plan, defaults=replace(plan.defaults, installation="anew"))


def lack_a_template(_bench: WorkerBench, run: EventRun, _head_start: HeadStart) -> None:
    run.plan = None


def wait_for_its_turn(_bench: WorkerBench, _run: EventRun, head_start: HeadStart) -> None:
    assert head_start.opened is not None
    head_start.opened.turn._waits = 1  # type: ignore[attr-defined]


def fail_in_planning(_bench: WorkerBench, run: EventRun, _head_start: HeadStart) -> None:
    def fail(_: EventRun) -> NoReturn:
        raise RuntimeError("a bug")

    run._planner = fail


def answer_late(_bench: WorkerBench, _run: EventRun, head_start: HeadStart) -> None:
    head_start.taken_at -= LASTS_SECONDS + 0.1


HINDRANCES = [
    lose_the_lease,
    stop,
    pause,
    leave,
    belong_to_another_installation,
    lack_a_template,
    fail_in_planning,
    wait_for_its_turn,
    answer_late,
]
Hinder = Callable[[WorkerBench, EventRun, HeadStart], None]


@pytest.mark.parametrize("hinder", HINDRANCES)
def test_open_create_that_may_not_be_sent_at_once_is_dropped(bench: WorkerBench, hinder: Hinder) -> None:
    run, head_start = with_open_create(bench)
    hinder(bench, run, head_start)
    EarlyCreates(bench.deps).complete(run, head_start)
    assert (head_start.opened, head_start.sent) == (None, None)
    assert bench.pods.dropped == 1
    assert bench.pods.calls == []
    assert not bench.watcher.claimed(bench.deps.name(Task(run, 0, 0)))


@pytest.mark.parametrize("hinder", [lose_the_lease, wait_for_its_turn, belong_to_another_installation])
def test_worker_sends_the_whole_create_where_the_listener_could_not(
    bench: WorkerBench, hinder: Hinder
) -> None:
    run, head_start = with_open_create(bench)
    hinder(bench, run, head_start)
    EarlyCreates(bench.deps).complete(run, head_start)
    bench.lease.checks_left = 1000
    a = handed_on(bench, run, head_start)
    assert create(a) is None
    assert bench.pods.asked("create") == [a.subscription.name]
    made_anew = hinder is belong_to_another_installation
    installation = bench.pods.view(a.subscription.name).installation
    assert installation == ("anew" if made_anew else bench.ledger.installation)


@pytest.mark.parametrize("hinder", [lose_the_lease, stop, pause, leave, lack_a_template])
def test_answer_to_a_create_that_was_sent_is_read_whatever_has_come_since(
    bench: WorkerBench, hinder: Hinder
) -> None:
    """Otherwise a Pod of which the ledger knows no UID would be left to be looked for."""
    a = sent_early(bench)
    assert a.head_start is not None
    hinder(bench, a.run, a.head_start)
    assert create(a) is None
    assert bench.pods.calls == [("create", a.subscription.name)]
    assert a.subscription.uid == bench.pods.view(a.subscription.name).uid


def test_pod_of_a_create_that_the_listener_sent_and_that_got_no_answer_is_adopted(bench: WorkerBench) -> None:
    bench.pods.lose_reply(SILENCE)
    a = sent_early(bench)
    assert create(a) is None
    assert len(bench.pods.pods) == 1
    assert a.subscription.uid == bench.pods.view(a.subscription.name).uid


def test_begin_of_a_create_that_was_sent_early_is_not_taken_back_at_a_stop(bench: WorkerBench) -> None:
    """Nobody knows whether its Pod exists, so the next owner has to look for it."""
    bench.pods.lose_reply(SILENCE)
    a = sent_early(bench)
    bench.stopping.set()
    bench.lease.checks_left = 0
    with pytest.raises(Stopping):
        create(a)
    answer = bench.ledger.start(a.worker, 1)
    assert answer.word is Word.AGAIN, "it has begun still"


def test_refusal_of_a_create_that_the_listener_sent_ends_the_worker(bench: WorkerBench) -> None:
    bench.pods.fail("create", Refused("create: denied", status=422))
    a = sent_early(bench)
    create(a)
    assert bench.results() == [("failed", "Rejected")]


def test_create_that_is_open_is_not_opened_again_when_the_event_has_to_be_sent_again(
    bench: WorkerBench,
) -> None:
    run, head_start = with_open_create(bench)
    first = head_start.opened
    EarlyCreates(bench.deps).open(run, head_start)
    assert head_start.opened is first


def test_event_without_a_sensible_pod_has_no_open_create(bench: WorkerBench) -> None:
    def refuse(_: EventRun) -> NoReturn:
        raise BadEvent("its template has gone")

    run, head_start = bench.take(), HeadStart(1, 0.0)
    run.plan, run._planner = None, refuse
    EarlyCreates(bench.deps).open(run, head_start)
    assert head_start.opened is None


def test_retry_waits_for_the_earlier_pod_in_the_namespace_in_which_that_is(bench: WorkerBench) -> None:
    run = bench.take()
    second = bench.attempt(run, number=1, former="former")
    there, name = bench.pods.in_namespace("former"), bench.attempt(run).subscription.name
    there.create(run.planned().body(0, 0))
    there.run(name)

    def let_it_go(_seconds: float | None = None) -> bool:
        there.vanish(name)
        return False

    bench.stopping.wait = let_it_go  # type: ignore[assignment, method-assign]
    create(second)
    assert there.asked("get") == [name, name]
    assert bench.pods.asked("get") == []


def test_retry_does_not_wait_for_a_strangers_pod_of_the_earlier_name(bench: WorkerBench) -> None:
    run = bench.take()
    second, name = bench.attempt(run, number=1), bench.attempt(run).subscription.name
    bench.pods.create(run.planned().body(0, 0))
    meta = bench.pods.pods[name]["metadata"]
    meta["labels"]["ottoscaler.io/installation"] = meta["annotations"]["ottoscaler.io/installation"] = "other"
    bench.pods.run(name)
    bench.stopping.wait = lambda _=None: True  # type: ignore[assignment, method-assign]
    assert create(second) == Ended(Next.DONE), "the ledger says that there is nothing to do, and not a stop"
    assert bench.pods.asked("get") == [name]


def test_latency_of_an_event_whose_id_is_no_time_is_not_measured(bench: WorkerBench) -> None:
    for event_id, measured in (("5-0", False), (f"{int(time.time() * 1000)}-0", True)):
        a = bench.attempt(bench.take())
        a.run.event = replace(a.run.event, event_id=event_id)
        a.created_at = time.monotonic()
        assert (_latency(a) is not None) is measured
        assert _latency(a) is None, "once for an event"


def test_stop_in_the_turn_leaves_nothing_begun(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    bench.pods.turns_wait = 1000  # as behind creates that hang
    bench.stopping.set()
    with pytest.raises(Stopping):
        create(a)
    assert bench.pods.turns_asked == 1, "it waits no longer"
    assert bench.pods.calls == []
    assert not a.begun


@pytest.mark.parametrize("peers", [0, 1])
def test_create_in_doubt_is_left_only_to_a_replica_that_is_there(bench: WorkerBench, peers: int) -> None:
    """The next owner would have to skip the attempt: alone, this replica had better go on."""
    bench.lease.peers = peers
    a = bench.attempt(bench.take())
    a.maybe_sent = a.run.leaving = True
    if peers:
        with pytest.raises(Stopping):
            create(a)
        assert bench.pods.asked("create") == []
    else:
        assert create(a) is None


def test_index_with_a_result_is_not_created(bench: WorkerBench) -> None:
    run = bench.take(2)
    first = bench.attempt(run)
    assert create(first) is None
    settle(first, FAILED)
    assert create(bench.attempt(run)) == Ended(Next.DONE)
    assert len(bench.pods.asked("create")) == 1


def test_event_of_another_replica_is_not_created(bench: WorkerBench) -> None:
    run = bench.take()
    run.epoch += 1
    with pytest.raises(Fenced):
        create(bench.attempt(run))
    assert bench.pods.calls == []


def test_lost_reply_is_met_by_409_and_the_pod_adopted(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    bench.pods.lose_reply(SILENCE)
    assert create(a) is None
    name = a.subscription.name
    assert bench.pods.calls == [("create", name), ("create", name), ("get", name)]
    assert a.subscription.uid == bench.pods.view(name).uid


@pytest.mark.parametrize("attempt", [0, 1])
def test_pod_of_which_redis_lost_that_it_was_begun_is_begun_anew_and_adopted(
    bench: WorkerBench, attempt: int
) -> None:
    run = bench.take()
    if attempt:
        bench.ledger.start(WorkerId(run.event.event_id, 0, 0), run.epoch)
        bench.ledger.retry(WorkerId(run.event.event_id, 0, 0), run.epoch, "", 0.0, "")
    bench.pods.create(run.planned().body(0, attempt))
    bench.watch()
    a = bench.attempt(run, number=attempt)
    assert create(a) is None
    assert bench.ledger.start(a.worker, run.epoch).detail == bench.pods.view(a.subscription.name).uid


def test_strangers_pod_of_that_name_is_left_alone(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    bench.pods.create(
        b'{"metadata": {"name": "%s", "labels": {}}, "spec": {}}' % a.subscription.name.encode()
    )
    assert create(a) == Ended(Next.DONE)
    assert bench.results() == [("failed", "Rejected")]
    assert bench.pods.asked("delete") == []


def test_begun_attempt_without_a_pod_is_skipped(bench: WorkerBench) -> None:
    run = bench.take()
    bench.ledger.start(WorkerId(run.event.event_id, 0, 0), run.epoch)
    ended = create(bench.attempt(run, adopt=True))
    assert ended is not None
    assert ended.next is Next.RETRY
    assert run.states == {0: "w:1:0:"}, "so the ledger is written anew, if Redis loses it now"
    assert bench.pods.asked("create") == []


def test_pod_that_can_never_be_created_fails_at_once(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    bench.pods.fail("create", Refused("create: spec.containers: Invalid value", status=422))
    assert create(a) == Ended(Next.DONE)
    assert bench.results() == [("failed", "Rejected")]


# --- a create that is turned down


@pytest.mark.parametrize(("error", "reason"), [(SEALED, "Rejected"), (SILENCE, "PendingTimeout")])
def test_create_that_alone_fails_ends_at_the_pending_timeout(
    start: Start, error: Exception, reason: str
) -> None:
    bench = start(pending_timeout=0.05)
    bench.pods.fail("create", *[error] * 100)
    assert create(bench.attempt(bench.take())) == Ended(Next.DONE)
    assert bench.results() == [("failed", reason)]
    assert bench.book.results("worker")[0]["message"] == str(error)


def test_pod_that_an_unanswered_create_made_is_found_before_the_worker_is_failed(start: Start) -> None:
    bench = start(pending_timeout=0)
    bench.pods.lose_reply(SILENCE)
    a = bench.attempt(bench.take())
    assert create(a) is None
    assert bench.pods.asked("get") == [a.subscription.name]
    assert len(bench.pods.asked("create")) == 1


def test_server_in_trouble_fails_no_worker(start: Start) -> None:
    bench = start(pending_timeout=0)
    for _ in range(2):
        bench.pods.health.note("get", ServerSign.TROUBLED)
    bench.pods.fail("create", *[SEALED] * 10)
    assert create(bench.attempt(bench.take())) is None
    assert bench.pods.asked("get") == []


def test_create_that_failed_in_the_servers_trouble_counts_for_nothing_when_the_server_is_well_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start(pending_timeout=0)
    for _ in range(2):
        bench.pods.health.note("get", ServerSign.TROUBLED)
    monkeypatch.setattr(bench.stopping, "wait", lambda _: bench.pods.health.note("get", ServerSign.WELL))
    bench.pods.fail("create", SEALED)
    assert create(bench.attempt(bench.take())) is None
    assert bench.pods.asked("get") == []


def test_server_that_comes_back_between_the_create_and_the_look_fails_no_worker(start: Start) -> None:
    bench = start(pending_timeout=0)
    bench.pods.fail("create", SILENCE)  # the look after it is answered, and so is the next create
    assert create(bench.attempt(bench.take())) is None


def test_look_without_an_answer_gives_the_create_its_time_again(start: Start) -> None:
    bench = start(pending_timeout=0.05)
    bench.pods.fail("create", *[SILENCE] * 3)
    bench.pods.fail("get", *[SILENCE] * 3)
    assert create(bench.attempt(bench.take())) is None


# --- monitor


def test_end_that_the_watch_has_seen_is_the_judgement(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    create(a)
    bench.pods.run(a.subscription.name)
    bench.pods.end(a.subscription.name, 3)
    bench.watch()
    found = monitor(a)
    assert (found.status, found.reason, found.exit_code) == (Status.FAILED, Reason.ERROR, 3)
    assert bench.pods.asked("get") == []


def test_pod_that_vanished_without_a_record_is_an_infrastructure_failure(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    create(a)
    bench.pods.run(a.subscription.name)
    bench.watch()
    bench.pods.vanish(a.subscription.name)
    bench.watch()
    assert monitor(a).verdict is Verdict.RETRY
    assert bench.pods.asked("get") == [a.subscription.name]  # the watch alone is no proof


def test_pod_of_another_replica_is_left_to_it(bench: WorkerBench) -> None:
    run = bench.take()
    a = bench.attempt(run)
    create(a)
    run.dropped = True
    with pytest.raises(Fenced):
        monitor(a)


def test_worker_that_nothing_wakes_looks_whether_it_is_cancelled(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delete that followed the intent may have been lost, such as by an etcd that was set back."""
    monkeypatch.setattr("ottoscaler.workers.monitor.LONGEST_WAIT_SECONDS", 0.01)
    run = bench.take()
    a = bench.attempt(run)
    create(a)
    bench.pods.run(a.subscription.name)
    bench.watch()
    bench.intend_to_cancel(run)
    assert monitor(a) == CANCELLED


def test_waits_end_where_the_process_gives_them_up(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    create(a)
    bench.abandon.set()
    with pytest.raises(Stopping):
        monitor(a)


def test_pending_pod_ends_at_the_pending_timeout(start: Start) -> None:
    bench = start(pending_timeout=0.05)
    a = bench.attempt(bench.take())
    create(a)
    found = monitor(a)
    assert (found.status, found.reason) == (Status.FAILED, Reason.PENDING_TIMEOUT)


def test_end_that_the_watch_has_not_shown_is_found_before_a_limit_ends_the_worker(start: Start) -> None:
    bench = start(pending_timeout=0.05)
    a = bench.attempt(bench.take())
    create(a)
    bench.pods.run(a.subscription.name)
    bench.pods.end(a.subscription.name, 3)
    found = monitor(a)
    assert (found.reason, found.exit_code) == (Reason.ERROR, 3)
    assert bench.pods.asked("get") == [a.subscription.name]


def test_answer_to_a_look_never_hides_what_the_watch_showed_meanwhile(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = bench.attempt(bench.take())
    create(a)
    bench.watch()
    bench.pods.run(a.subscription.name)
    look = bench.pods.get

    def slow(name: str) -> JsonObject:
        answer = look(name)
        bench.pods.end(name, 3)
        bench.watch()
        return answer

    monkeypatch.setattr(bench.pods, "get", slow)
    answer = _look_again(a)
    assert answer is not None
    assert not answer.terminal
    assert a.subscription.view is not None
    assert a.subscription.view.terminal


def test_end_that_the_watch_shows_during_that_look_is_judged_and_not_the_limit(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look shows the Pod as it was, and a result is never taken back."""
    bench = start(pending_timeout=0.05)
    a = bench.attempt(bench.take())
    create(a)
    bench.watch()
    look = bench.pods.get

    def slow(name: str) -> JsonObject:
        answer = look(name)
        bench.pods.run(name)
        bench.pods.end(name)
        bench.watch()
        return answer

    monkeypatch.setattr(bench.pods, "get", slow)
    assert monitor(a).status is Status.SUCCEEDED


# --- settle


def test_result_is_durable_before_the_pod_is_deleted(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    create(a)
    recorded: list[tuple[str, str]] = []
    delete = bench.pods.delete

    def look_then_delete(name: str, uid: str, *, told: bool = False) -> JsonObject:
        recorded.extend(bench.results())
        return delete(name, uid, told=told)

    bench.pods.delete = look_then_delete  # type: ignore[method-assign]
    assert settle(a, FAILED) == Ended(Next.DONE)
    assert recorded == [("failed", "Error")]
    assert a.subscription.name not in bench.pods.pods


def test_retry_is_planned_before_the_pod_is_deleted_and_leaves_no_entry(start: Start) -> None:
    bench = start(retries=1)
    a = bench.attempt(bench.take())
    create(a)
    ended = settle(a, LOST)
    assert ended.next is Next.RETRY
    assert ended.delay > 0
    assert bench.results() == []
    assert a.subscription.name not in bench.pods.pods


@pytest.mark.parametrize("found", [FAILED, LOST])
def test_end_that_is_recorded_already_is_neither_told_nor_tried_again(
    start: Start, found: Judgement, caplog: pytest.LogCaptureFixture
) -> None:
    """The reply to the first record was lost."""
    bench = start(retries=1)
    a = bench.attempt(bench.take())
    create(a)
    bench.ledger.record(a.worker, a.run.epoch, a.subscription.uid, DONE)
    caplog.set_level("INFO")
    assert settle(a, found) == Ended(Next.DONE)
    assert bench.results() == [("succeeded", "Completed")]
    assert not {"worker_recorded", "worker_retries"} & {
        getattr(each, "action", "") for each in caplog.records
    }


def test_strangers_pod_of_a_cancelled_workers_name_is_left_alone(bench: WorkerBench) -> None:
    run = bench.take()
    a = bench.attempt(run)
    bench.pods.create(run.planned().body(0, 0))
    meta = bench.pods.pods[a.subscription.name]["metadata"]
    meta["labels"]["ottoscaler.io/installation"] = meta["annotations"]["ottoscaler.io/installation"] = "other"
    bench.intend_to_cancel(run)
    assert create(a) == Ended(Next.DONE)
    assert bench.results() == [("cancelled", "Cancelled")]
    assert bench.pods.asked("delete") == []


def test_second_retry_waits_for_longer_than_the_first(start: Start) -> None:
    bench = start(retries=2)
    run, delays = bench.take(), []
    for number in range(2):
        a = bench.attempt(run, number=number)
        assert create(a) is None
        delays.append(settle(a, LOST).delay)
    assert 0.5 <= delays[0] <= 1.0 <= delays[1] <= 2.0


def test_delete_that_never_succeeds_leaves_the_result_and_the_pod_to_the_sweep(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ottoscaler.retry.FIRST_PAUSE_SECONDS", 0.001)
    a = bench.attempt(bench.take())
    create(a)
    bench.pods.fail("delete", *[SILENCE] * 20)
    assert settle(a, FAILED) == Ended(Next.DONE)
    assert bench.results() == [("failed", "Error")]
    assert a.subscription.name in bench.pods.pods


# --- without a slot


def test_worker_without_a_slot_whose_pod_is_gone_is_settled(start: Start) -> None:
    bench = start(retries=1)
    a = bench.attempt(bench.take())
    create(a)
    bench.watch()
    waits = Task(a.run, 0, 0, adopt=True, uid=a.subscription.uid)
    assert Workers(bench.deps).settle_if_ended(waits) is None
    bench.pods.vanish(a.subscription.name)
    bench.watch()
    ended = Workers(bench.deps).settle_if_ended(waits)
    assert ended is not None
    assert ended.next is Next.RETRY


def test_limit_of_a_worker_without_a_slot_is_not_judged_by_a_watch_that_is_behind(start: Start) -> None:
    """Its Pod had started since. It was recorded as PendingTimeout, and its running Pod was deleted."""
    bench = start(pending_timeout=-1.0)  # it is over at once
    a = bench.attempt(bench.take())
    create(a)
    bench.watch()
    waits = Task(a.run, 0, 0, adopt=True, uid=a.subscription.uid)
    behind = bench.pods.view(a.subscription.name)
    bench.pods.run(a.subscription.name)
    assert not behind.started
    assert Workers(bench.deps).settle_if_ended(waits) is None
    assert bench.results() == []


def test_strangers_ended_pod_settles_no_worker_without_a_slot(bench: WorkerBench) -> None:
    run = bench.take()
    name = bench.attempt(run).subscription.name
    bench.ledger.start(WorkerId(run.event.event_id, 0, 0), run.epoch)
    bench.pods.create(run.planned().body(0, 0))
    meta = bench.pods.pods[name]["metadata"]
    meta["labels"]["ottoscaler.io/installation"] = meta["annotations"]["ottoscaler.io/installation"] = "other"
    bench.pods.end(name)
    bench.watch()
    assert Workers(bench.deps).settle_if_ended(Task(run, 0, 0, adopt=True)) is None
    assert bench.results() == []


# --- a pause

FULL = QuotaExceeded("create: exceeded quota", status=403, unsent=True)


def pause_meanwhile(bench: WorkerBench, first: Callable[[], None] = lambda: None) -> None:
    """Pause the group while a create waits to be tried again."""

    def wait(_: float | None = None) -> bool:
        first()
        bench.pause.tell(True)
        return False

    bench.stopping.wait = wait  # type: ignore[assignment, method-assign]


def test_paused_group_begins_no_attempt(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    bench.book.redis.set(f"{bench.ledger.redis.prefix}paused", "now")
    assert create(a) == Ended(Next.NOT_BEGUN)
    assert (bench.pods.calls, a.begun) == ([], False)
    assert bench.pause.on  # so that the next one does not ask


def test_attempt_that_was_begun_and_not_sent_is_taken_back_in_a_pause(bench: WorkerBench) -> None:
    run = bench.take()
    a = bench.attempt(run)
    bench.pods.fail("create", FULL)
    pause_meanwhile(bench)
    assert create(a) == Ended(Next.NOT_BEGUN)
    assert run.states == {}
    assert bench.ledger.start(a.worker, 1).word == "ok"


def test_cancelled_attempt_that_was_not_sent_ends_in_a_pause(bench: WorkerBench) -> None:
    run = bench.take()
    a = bench.attempt(run)
    bench.pods.fail("create", FULL)
    pause_meanwhile(bench, lambda: bench.intend_to_cancel(run))
    assert create(a) == Ended(Next.DONE)
    assert bench.results() == [("cancelled", "Cancelled")]


def test_pod_of_a_create_in_doubt_is_taken_up_in_a_pause(bench: WorkerBench) -> None:
    a = bench.attempt(bench.take())
    bench.pods.lose_reply(SILENCE)
    pause_meanwhile(bench)
    assert create(a) is None
    assert a.subscription.uid == bench.pods.view(a.subscription.name).uid
    assert len(bench.pods.asked("create")) == 1


def test_create_in_doubt_without_a_pod_leaves_its_next_attempt_to_the_end_of_the_pause(
    bench: WorkerBench,
) -> None:
    a = bench.attempt(bench.take())
    bench.pods.fail("create", SILENCE)
    pause_meanwhile(bench)
    assert create(a) == Ended(Next.RETRY)
    assert len(bench.pods.asked("create")) == 1


def going_cancelled(bench: WorkerBench) -> Attempt:
    """A worker whose intent to cancel its thread has seen, and whose Pod is going."""
    run = bench.take()
    a = bench.attempt(run)
    create(a)
    bench.pods.run(a.subscription.name)
    bench.intend_to_cancel(run)
    bench.pods.pods[a.subscription.name]["metadata"] |= {
        "deletionTimestamp": "2026-11-28T00:00:00Z",
        "deletionGracePeriodSeconds": 30,
    }
    bench.pods.run(a.subscription.name)
    bench.watch()
    return a


@pytest.mark.parametrize("keep", list(KeepLogs))
def test_cancelled_worker_of_which_redis_lost_the_intent_is_not_tried_again(
    start: Start, keep: KeepLogs
) -> None:
    """Redis was emptied, or failed over, while the Pod was going. Before, the worker ran again."""
    bench = start(retries=1)
    bench.set_logs(keep)
    a = going_cancelled(bench)
    ledger = f"{bench.ledger.redis.prefix}event:{a.run.event.event_id}"

    def lose_the_intent() -> None:
        try:
            wait_for(lambda: a.intent is not None, "its thread has seen the intent")
        finally:
            bench.book.redis.hdel(ledger, "c:0")
            bench.pods.end(a.subscription.name, 143)
            bench.pods.vanish(a.subscription.name)
            bench.watch()

    losing = threading.Thread(target=lose_the_intent)
    losing.start()
    found = monitor(a)
    losing.join()
    assert found.verdict is Verdict.RETRY
    assert settle(a, found).next is Next.DONE
    assert bench.results() == [("cancelled", "Cancelled")]


def test_log_of_a_pod_that_goes_is_read_before_redis_is_asked_for_an_intent(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may be away for longer than the Pod goes."""
    bench = start(retries=1)
    bench.set_logs(KeepLogs.ALL)
    a = going_cancelled(bench)
    read_before: list[bool] = []
    upkeep = a.deps.ledger.upkeep
    states = upkeep.states

    def asked(workers: Sequence[tuple[str, int]]) -> list[Standing]:
        read_before.append(a.log_of_going)
        bench.pods.end(a.subscription.name, 143)
        bench.pods.vanish(a.subscription.name)
        bench.watch()
        return states(workers)

    monkeypatch.setattr(upkeep, "states", asked)
    monitor(a)
    assert read_before[0]
