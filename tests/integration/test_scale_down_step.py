"""Carrying out one scale_down on a real Redis: who is chosen, in which order, and what is asked to go."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ottoscaler.controller.victims import LOOK_SECONDS
from ottoscaler.errors import KubernetesError, KubernetesUnavailable, RedisUnavailable
from ottoscaler.ledger.records import IndexStage, Reply, Word
from ottoscaler.model import Outcome, Phase, PodView, Reason, ScaleDown, ScaleUp, Status, WorkerId
from ottoscaler.pods.labels import pod_name
from ottoscaler.pods.view import parse_pod
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.stages import STREAM, Stages, add

__all__ = ["book", "redis_server"]


@pytest.fixture
def stages(book: Book) -> Stages:
    made = Stages(book)
    made.listener.step(0.0)  # its own pending entries first: there are none
    return made


def running(stages: Stages, event_id: str, index: int, phase: Phase = Phase.RUNNING) -> str:
    """A worker that has begun, with a Pod in that phase; the Pod's name."""
    worker = WorkerId(event_id, index, 0)
    stages.ledger.start(worker, 1)
    stages.ledger.created(worker, 1, f"uid-{index}")
    name = pod_name("test", event_id, index, 0)
    view = parse_pod({})._replace(name=name, uid=f"uid-{index}", worker=worker, phase=phase)
    stages.pods.views[name] = view
    return name


def taken(stages: Stages, book: Book, count: int, **fields: str) -> str:
    event_id = add(book, pod_count=count, **fields)
    for _ in range(2):
        stages.listener.step(0.0)
    assert stages.known()[-1] == event_id
    return event_id


def carry_out(stages: Stages, book: Book, **fields: str | int) -> str:
    """A scale_down that this replica has taken, carried out."""
    down = add(book, "scale_down", **fields)
    stages.listener.step(0.0)
    event = stages.downs.given[-1]
    assert event.event_id == down
    stages.scale_downs.apply(event, 1)
    return down


def cancelled(book: Book) -> list[tuple[str, str]]:
    return [(w["index"], w["status"]) for w in book.results("worker")]


def test_not_yet_created_goes_before_pending_and_pending_before_running(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 3)
    running(stages, event_id, 0)
    pending = running(stages, event_id, 1, Phase.PENDING)
    carry_out(stages, book, pod_count=2)
    assert cancelled(book) == [("2", "cancelled")]
    assert stages.pods.deleted == [pending]


def test_scale_down_that_is_taken_after_the_stop_has_closed_everything_ends_no_thread(stages: Stages) -> None:
    """A read that hung in Redis may be answered then: a thread that died would make the exit code 1."""
    stages.scale_downs.close()
    assert stages.scale_downs.submit(ScaleDown("5-0", pod_count=1), 1)
    assert stages.scale_downs.owned() == [("5-0", 1)], "it was not carried out"


def test_scale_down_that_is_under_way_is_not_begun_a_second_time(stages: Stages, book: Book) -> None:
    """Its entry was delivered again, or an earlier reply was lost."""
    down = ScaleDown(add(book, "scale_down", pod_count=1), pod_count=1)
    stages.scale_downs.close()  # so that it stays under way
    assert stages.scale_downs.submit(down, 1)
    assert not stages.scale_downs.submit(down, 1)
    assert stages.scale_downs.submit(down, 2), "another replica had it meanwhile"


def test_newest_running_goes_first(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 3)
    names = [running(stages, event_id, index) for index in range(3)]
    carry_out(stages, book, pod_count=1)
    assert stages.pods.deleted == [names[2]]


def test_running_ones_are_spared_where_it_says_so(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 2, task_id="t")
    running(stages, event_id, 0)
    carry_out(stages, book, task_id="t", running="keep")
    assert stages.pods.deleted == []
    assert cancelled(book) == [("1", "cancelled")]
    assert stages.pods.lists == [], "the watch shows that it runs"


def elsewhere(stages: Stages, name: str) -> None:
    """It is another replica's Pod, which only a list shows."""
    stages.pods.elsewhere[name] = stages.pods.views.pop(name)


def test_other_replicas_workers_are_chosen_by_how_far_they_are(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 2)
    pending = running(stages, event_id, 0, Phase.PENDING)
    for name in (pending, running(stages, event_id, 1)):
        elsewhere(stages, name)
    carry_out(stages, book, pod_count=1)
    assert stages.pods.deleted == [pending]
    assert stages.pods.lists == [[event_id]] * 2, "for the choice, and after it: which have ended"
    assert stages.pods.cached


def test_other_replicas_running_workers_are_spared_also_where_they_cannot_be_seen(
    stages: Stages, book: Book
) -> None:
    event_id = taken(stages, book, 2, task_id="t")
    elsewhere(stages, running(stages, event_id, 0))
    carry_out(stages, book, task_id="t", running="keep")
    stages.pods.list_error = KubernetesUnavailable("list: no answer within 10 s")
    carry_out(stages, book, task_id="t", running="keep")
    assert stages.pods.deleted == []
    assert cancelled(book) == [("1", "cancelled")]


def starts_unseen(stages: Stages, name: str) -> None:
    """Its Pod runs, and the watch has not shown that yet."""
    stages.pods.elsewhere[name] = stages.pods.views[name]._replace(phase=Phase.RUNNING)


def test_worker_is_kept_that_runs_although_the_watch_does_not_show_it_yet(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 3, task_id="t")
    starts_unseen(stages, running(stages, event_id, 0, Phase.PENDING))
    pending = running(stages, event_id, 1, Phase.PENDING)
    carry_out(stages, book, task_id="t", running="keep")
    assert stages.pods.deleted == [pending]
    assert not stages.pods.cached, "the API server's cache may be behind as well"
    assert stages.pods.patience[0] > LOOK_SECONDS, "without the list, the pending one would be kept for good"


def test_worker_whose_start_the_watch_has_not_shown_yet_is_counted_among_the_running(
    stages: Stages, book: Book
) -> None:
    event_id = taken(stages, book, 2, task_id="t")
    starts_unseen(stages, running(stages, event_id, 0, Phase.PENDING))
    newest = running(stages, event_id, 1)
    carry_out(stages, book, task_id="t", pod_count=1)
    assert stages.pods.deleted == [newest]


def test_worker_is_kept_that_runs_before_the_ledger_knows_its_pod(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 1, task_id="t")
    name = running(stages, event_id, 0)
    view = stages.pods.views.pop(name)._replace(installation=stages.ledger.installation)
    stages.pods.elsewhere[name] = view
    key = f"otto:scale:events:ottoscaler:event:{event_id}"
    book.redis.hset(key, "i:0", "s:0:")
    carry_out(stages, book, task_id="t", running="keep")
    assert not book.redis.hexists(key, "c:0")


def test_worker_that_begins_during_the_choice_is_looked_at_in_the_next_round(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = taken(stages, book, 3, task_id="t")
    pending = running(stages, event_id, 0, Phase.PENDING)
    looking = stages.pods.look_at_events

    def slow(event_ids: list[str], **how: Any) -> dict[str, PodView]:
        found = dict(looking(event_ids, **how))
        if len(stages.pods.lists) == 1:
            starts_unseen(stages, running(stages, event_id, 1, Phase.PENDING))
        return found

    monkeypatch.setattr(stages.pods, "look_at_events", slow)
    carry_out(stages, book, task_id="t", running="keep")
    assert stages.pods.deleted == [pending]
    assert cancelled(book) == [("2", "cancelled")]


def test_worker_is_kept_that_began_to_run_while_redis_was_away(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = taken(stages, book, 1, task_id="t")
    name = running(stages, event_id, 0, Phase.PENDING)
    steps = stages.ledger.scale_downs
    cancel, tries = steps.cancel, []

    def away(*words: Any, **more: Any) -> int:
        tries.append(words[3])
        if len(tries) == 1:
            starts_unseen(stages, name)
            raise RedisUnavailable("the connection was refused")
        return cancel(*words, **more)

    monkeypatch.setattr(steps, "cancel", away)
    carry_out(stages, book, task_id="t", running="keep")
    assert tries[0] == [(event_id, 0)], "no script is sent for no victim"
    assert stages.pods.deleted == []


def test_api_server_that_does_not_answer_is_waited_for_once(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 3, task_id="t")
    running(stages, event_id, 0, Phase.PENDING)
    stages.pods.list_error = KubernetesUnavailable("list: no answer within 10 s")
    carry_out(stages, book, task_id="t", running="keep")
    assert cancelled(book) == [("2", "cancelled"), ("1", "cancelled")]
    assert stages.pods.lists == [[event_id]]


def test_workers_that_have_begun_are_kept_where_nobody_can_look(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 2, task_id="t")
    running(stages, event_id, 0, Phase.PENDING)
    stages.pods.list_error = KubernetesUnavailable("list: no answer within 10 s")
    carry_out(stages, book, task_id="t", running="keep")
    assert stages.pods.deleted == []
    assert cancelled(book) == [("1", "cancelled")]


def test_worker_in_a_former_namespace_is_kept_since_no_list_shows_it(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 1, task_id="t")
    elsewhere(stages, running(stages, event_id, 0))
    stages.pods.elsewhere.clear()
    stages.pods.namespace = "another"
    carry_out(stages, book, task_id="t", running="keep")
    assert stages.pods.deleted == []


def test_whole_task_is_cancelled_without_a_list(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 2, task_id="t")
    shown = running(stages, event_id, 0)
    created = running(stages, event_id, 1)  # a moment ago: its worker waits, the watch is not there yet
    elsewhere(stages, created)
    stages.pods.awaited.add(created)
    carry_out(stages, book, task_id="t")
    assert set(stages.pods.deleted) == {shown, created}
    assert stages.pods.lists == []


def test_other_replicas_workers_are_looked_at_once_and_only_after_the_intents(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = taken(stages, book, 3, task_id="t")
    for index in range(3):
        elsewhere(stages, running(stages, event_id, index))
    looking = stages.pods.look_at_events
    intents: list[object] = []

    def look(event_ids: list[str], **how: Any) -> dict[str, PodView]:
        intents.extend(state[3] for state in stages.ledger.upkeep.states([(event_id, i) for i in range(3)]))
        return looking(event_ids, **how)

    monkeypatch.setattr(stages.pods, "look_at_events", look)
    carry_out(stages, book, task_id="t")
    assert len(stages.pods.deleted) == 3
    assert stages.pods.lists == [[event_id]]
    assert all(intents)


def test_other_replica_s_worker_that_has_ended_is_left_to_who_records_it(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 2, task_id="t")
    ended, runs = (running(stages, event_id, index) for index in range(2))
    for name in (ended, runs):
        elsewhere(stages, name)
    stages.pods.elsewhere[ended] = stages.pods.elsewhere[ended]._replace(exit_code=0)  # its sidecar runs on
    carry_out(stages, book, task_id="t")
    assert stages.pods.deleted == [runs]


def test_other_replicas_pods_are_asked_to_go_although_nobody_can_look(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 1, task_id="t")
    name = running(stages, event_id, 0)
    elsewhere(stages, name)
    stages.pods.list_error = KubernetesError("list: 403")
    carry_out(stages, book, task_id="t")
    assert stages.pods.deleted == [name]


def test_other_replicas_pods_wait_for_no_look_that_hangs_or_is_put_off(stages: Stages, book: Book) -> None:
    """Victims are to be asked to go within 5 s. Before, three lists of 10 s each came first."""
    event_id = taken(stages, book, 2)
    oldest, newest = (running(stages, event_id, index) for index in range(2))
    for name in (oldest, newest):
        elsewhere(stages, name)
    stages.pods.list_error = KubernetesUnavailable("list: 429", retry_after=30.0)
    begun = time.monotonic()
    carry_out(stages, book, pod_count=1)
    assert time.monotonic() - begun < LOOK_SECONDS
    assert stages.pods.deleted == [newest]
    assert all(seconds <= LOOK_SECONDS for seconds in stages.pods.patience)


def test_scale_down_that_was_just_taken_is_not_let_go_yet(stages: Stages, book: Book) -> None:
    """A replica that is cut off takes one that nobody reads. Its intents are not durable yet."""
    stages.scale_downs.close()
    down = ScaleDown("9-0", "t", None)
    assert stages.scale_downs.submit(down, 1)
    assert not stages.scale_downs.submit(down, 1)
    assert stages.scale_downs.owned(seconds=60.0) == []
    assert stages.scale_downs.owned() == [("9-0", 1)]


def test_look_that_failed_is_made_again_while_there_is_time(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = taken(stages, book, 1, task_id="t")
    ended = running(stages, event_id, 0)
    elsewhere(stages, ended)
    stages.pods.elsewhere[ended] = stages.pods.elsewhere[ended]._replace(exit_code=0)  # its sidecar runs on
    looking = stages.pods.look_at_events

    def look(event_ids: list[str], **how: Any) -> dict[str, PodView]:
        stages.pods.list_error = None if stages.pods.lists else KubernetesUnavailable("list: 500")
        return looking(event_ids, **how)

    monkeypatch.setattr(stages.pods, "look_at_events", look)
    carry_out(stages, book, task_id="t")
    assert stages.pods.deleted == []
    assert len(stages.pods.lists) == 2


def test_worker_that_has_ended_is_no_victim(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 1)
    running(stages, event_id, 0, Phase.SUCCEEDED)
    down = carry_out(stages, book, pod_count=1)
    assert stages.pods.deleted == []
    (entry,) = [e for e in book.results("event") if e["event_id"] == down]
    assert (entry["status"], entry["cancelled"]) == ("succeeded", "0")


def test_intent_is_durable_before_a_pod_is_asked_to_go(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 1)
    name = running(stages, event_id, 0)
    carry_out(stages, book, pod_count=1)
    assert stages.pods.deleted == [name]
    (state,) = stages.ledger.upkeep.states([(event_id, 0)])
    assert state[3]
    assert state[2] is not None
    assert state[2].stage is IndexStage.BEGUN


def test_carried_out_scale_down_is_told_acknowledged_and_let_go(stages: Stages, book: Book) -> None:
    down = carry_out(stages, book, task_id="nobody")
    assert [e["event_id"] for e in book.results("event")] == [down]
    assert book.redis.xpending(STREAM, "ottoscaler")["pending"] == 0
    assert not stages.scale_downs.knows(down)


def test_scale_down_of_another_owner_by_now_is_left_alone(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 1)
    name = running(stages, event_id, 0)
    down = add(book, "scale_down", pod_count=1)
    stages.listener.step(0.0)
    stages.ledger.release([(down, 1)])
    stages.scale_downs.apply(ScaleDown(down, None, 1), 1)
    assert name not in stages.pods.deleted
    assert book.results("event") == []


def end_of(stages: Stages, event_id: str, index: int, status: Status) -> None:
    """The victim's owner records its end against the standing intent."""
    outcome = Outcome(status, Reason.COMPLETED, pod="p", finished_at="2026-01-01T00:00:00.000Z")
    worker = WorkerId(event_id, index, 0)
    stages.ledger.record(worker, 1, f"uid-{index}", outcome, despite_intent=True)


def told(book: Book, down: str) -> list[str]:
    return [e["cancelled"] for e in book.results("event") if e["event_id"] == down]


def test_victim_that_had_ended_by_itself_is_not_counted(stages: Stages, book: Book) -> None:
    """The watch had not shown its end yet when the intent was written."""
    event_id = taken(stages, book, 4, task_id="t")
    for index in range(3):
        running(stages, event_id, index)
    down = carry_out(stages, book, task_id="t")
    assert told(book, down) == [], "the ends of three are not recorded yet"
    steps = stages.ledger.scale_downs
    for index, status in enumerate((Status.SUCCEEDED, Status.CANCELLED, Status.CANCELLED)):
        assert steps.finish(down, 1, patient=True).word is Word.MORE
        end_of(stages, event_id, index, status)
    assert steps.finish(down, 1, patient=True).word is Word.OK
    assert told(book, down) == ["3"], "two with Pods, and one that had not begun"


def test_ends_of_many_victims_are_looked_for_once_and_not_once_for_each(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, looks = stages.ledger.scale_downs, []
    finish = steps.finish

    def look(event_id: str, epoch: int, *, patient: bool = False) -> Reply:
        looks.append(patient)
        return finish(event_id, epoch, patient=patient)

    monkeypatch.setattr(steps, "finish", look)
    event_id = taken(stages, book, 3, task_id="t")
    for index in range(3):
        running(stages, event_id, index)
    carry_out(stages, book, task_id="t")
    assert looks == [True]


def test_scale_down_is_told_in_time_although_a_victim_does_not_end(
    stages: Stages, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Pod may have a finalizer, or its node may be lost."""
    monkeypatch.setattr("ottoscaler.controller.scale_down.COUNT_SECONDS", 0.0)
    event_id = taken(stages, book, 1, task_id="t")
    running(stages, event_id, 0)
    down = carry_out(stages, book, task_id="t")
    assert told(book, down) == ["1"]
    assert not stages.scale_downs.knows(down)


def test_victims_whose_end_takes_long_are_counted_by_their_intents(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 2, task_id="t")
    for index in range(2):
        running(stages, event_id, index)
    down = carry_out(stages, book, task_id="t")
    end_of(stages, event_id, 0, Status.SUCCEEDED)
    assert stages.ledger.scale_downs.finish(down, 1).word is Word.OK
    assert told(book, down) == ["1"]


def test_victim_that_ends_when_its_scale_down_is_long_gone_leaves_no_key_of_it(
    stages: Stages, book: Book
) -> None:
    event_id = taken(stages, book, 1, task_id="t")
    running(stages, event_id, 0)
    down = carry_out(stages, book, task_id="t")
    stages.ledger.scale_downs.finish(down, 1)
    key = f"otto:scale:events:ottoscaler:event:{down}"
    book.redis.delete(key)  # as when the retention time is over
    end_of(stages, event_id, 0, Status.CANCELLED)
    assert not book.redis.exists(key)


def test_workers_that_its_tombstone_cancels_are_counted_while_it_is_open(stages: Stages, book: Book) -> None:
    event_id = taken(stages, book, 1, task_id="t")
    running(stages, event_id, 0)
    unread = ScaleUp(add(book, pod_count=3, task_id="t"), "t", 3)
    down = carry_out(stages, book, task_id="t")
    end_of(stages, event_id, 0, Status.CANCELLED)
    stages.ledger.scale_downs.finish(down, 1)
    assert told(book, down) == ["4"]
    assert len([w for w in book.results("worker") if w["event_id"] == unread.event_id]) == 3
