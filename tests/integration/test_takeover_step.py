"""The takeover and the lease, step by step on a real Redis: time is handed in, nobody waits for a lease."""

from __future__ import annotations

import math
import threading
from typing import Any, cast

import pytest

from ottoscaler.controller.handover import AGAIN_SECONDS, Handover
from ottoscaler.controller.last_calls import LastCalls
from ottoscaler.controller.scale_down import ScaleDowns
from ottoscaler.controller.takeover import FULL_REPLICAS_WAIT
from ottoscaler.errors import InstanceChanged, LiveTwin, RedisUnavailable
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.ledger import pause
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.lease import Lease, suspended_clock
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.replicas import DELETED_UNREAD, Registration, Replicas
from ottoscaler.ledger.surveys import Surveys
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.telemetry.recent import Recent
from ottoscaler.threads import Control
from ottoscaler.workers.replica_description import ReplicaDescription
from tests.harness.redis_fixture import Book, book, ledger_on, redis_server
from tests.harness.stages import STREAM, Stages, add

__all__ = ["book", "redis_server"]

LEASE = 10


def owned(book: Book, name: str, **fields: Any) -> str:
    """An event that a replica of that name has taken."""
    event_id = add(book, pod_count=2, **fields)
    other = Stages(book, name)
    for _ in range(2):
        other.listener.step(0.0)
    assert other.known() == [event_id]
    return event_id


def watch(stages: Stages, seconds: int, *, since: int = 0) -> None:
    """Heartbeats and steps for so many seconds."""
    for second in range(since, since + seconds + 1):
        stages.survey(float(second))
        stages.takeover.wait()
        stages.takeover.step(float(second))


def test_dead_owners_event_is_taken_after_a_lease_and_not_before(book: Book) -> None:
    event_id = owned(book, "b")
    stages = Stages(book, lease_seconds=LEASE)
    watch(stages, LEASE)
    assert stages.known() == []
    watch(stages, 1, since=LEASE + 1)
    assert stages.known() == [event_id]


def test_owner_with_a_longer_lease_than_ours_keeps_its_events_for_that(book: Book) -> None:
    """As during an update of the setting."""
    event_id = owned(book, "b")
    book.redis.hset("otto:scale:events:ottoscaler:replica:b", "lease", str(2 * LEASE))
    stages = Stages(book, lease_seconds=LEASE)
    watch(stages, 2 * LEASE)
    assert stages.known() == []
    watch(stages, 1, since=2 * LEASE + 1)
    assert stages.known() == [event_id]


def test_replica_without_a_free_slot_lets_others_take_over_first(book: Book) -> None:
    event_id = owned(book, "b")
    stages = Stages(book, lease_seconds=LEASE, max_workers=1)
    own = add(book, pod_count=1)
    for _ in range(2):
        stages.listener.step(0.0)
    (run,) = stages.registry.snapshot()
    stages.registry.admit(run)
    assert stages.registry.next_task(0.0) is not None
    latest = int(LEASE * (1 + FULL_REPLICAS_WAIT))
    watch(stages, latest)
    assert stages.known() == [own]
    watch(stages, 1, since=latest + 1)
    assert sorted(stages.known()) == sorted([own, event_id])


def test_what_a_frozen_replicas_open_read_was_handed_waits_for_no_lease(book: Book) -> None:
    """Nobody owns it in the ledger, which alone says who runs it."""
    frozen = Stages(book, "b")
    event_id = add(book, pod_count=1)
    book.redis.xreadgroup("ottoscaler", "b", {STREAM: ">"})
    stages = Stages(book, lease_seconds=30)
    watch(stages, 5)
    stages.listener.step(0.0)
    assert stages.known() == []
    watch(stages, 1, since=6)
    stages.listener.step(0.0)
    assert stages.known() == [event_id]
    frozen.listener.step(0.0)  # thawed, with that entry in its hands
    assert frozen.known() == []


def handed(book: Book, name: str, *event_ids: str, seconds: float) -> None:
    """That replica's open read was handed these entries, so many seconds ago."""
    book.redis.xreadgroup("ottoscaler", name, {STREAM: ">"})
    idle = {"min_idle_time": 0, "idle": int(seconds * 1000), "justid": True}
    assert book.redis.xclaim(STREAM, "ottoscaler", name, message_ids=event_ids, **idle) == list(event_ids)


def test_scale_down_that_a_frozen_replicas_open_read_was_handed_is_carried_out_by_another(book: Book) -> None:
    """Its victims' Pods must be asked to go within 5 s. Before, it waited for that replica's silence."""
    frozen = Stages(book, "b")
    first, up = add(book, type="scale_down", pod_count=1), add(book, pod_count=1)
    task = add(book, type="scale_down", task_id="t")
    handed(book, "b", first, up, task, seconds=2.1)
    stages = Stages(book, lease_seconds=30)
    watch(stages, 0)
    assert [event.event_id for event in stages.downs.given] == [first, task]
    assert stages.known() == []
    for _ in range(3):
        frozen.listener.step(0.0)  # thawed, with all three in its hands
    assert frozen.downs.given == []
    assert frozen.known() == [up]


def test_scale_down_behind_a_scale_up_that_a_frozen_replica_was_handed_waits_with_it(book: Book) -> None:
    """Carried out before, it would spare that event's workers, which go first, and take others' instead."""
    Stages(book, "b")
    up, down = add(book, pod_count=1), add(book, type="scale_down", pod_count=1)
    handed(book, "b", up, down, seconds=2.1)
    stages = Stages(book, lease_seconds=30)
    watch(stages, 1)
    assert stages.downs.given == []
    watch(stages, 6, since=2)
    for _ in range(3):
        stages.listener.step(0.0)
    assert stages.known() == [up]
    assert [event.event_id for event in stages.downs.given] == [down]


def test_scale_down_is_left_to_a_reader_that_was_only_just_handed_it(book: Book) -> None:
    Stages(book, "b")
    down = add(book, type="scale_down", pod_count=1)
    handed(book, "b", down, seconds=1.0)
    stages = Stages(book, lease_seconds=30)
    watch(stages, 0)
    assert stages.downs.given == []


def test_bad_scale_down_that_a_frozen_replica_was_handed_is_left_to_its_reader(book: Book) -> None:
    Stages(book, "b")
    down = add(book, type="scale_down", pod_count="x")
    handed(book, "b", down, seconds=2.1)
    stages = Stages(book, lease_seconds=30)
    watch(stages, 1)
    assert stages.downs.given == []
    assert book.redis.xlen("otto:scale:dead") == 0


def test_entry_that_a_dead_replica_was_handed_and_somebody_removed_is_dead_lettered(book: Book) -> None:
    gone, kept = add(book, pod_count=1), add(book, pod_count=1)
    stages = Stages(book, lease_seconds=LEASE)
    book.redis.xreadgroup("ottoscaler", "b", {STREAM: ">"})
    book.redis.xdel(STREAM, gone)
    watch(stages, 6)
    for _ in range(2):  # Redis 6.2 hands out what was removed, one entry at a time
        stages.listener.step(0.0)
    assert stages.known() == [kept]
    ((_, letter),) = book.redis.xrange("otto:scale:dead")
    assert (letter["event_id"], letter["error"]) == (gone, DELETED_UNREAD)


def test_replica_that_was_silent_for_less_than_its_lease_keeps_its_name(book: Book) -> None:
    """It may be frozen. Were its name free, another process could begin to serve under it beside it."""
    book.ledger("b")
    stages = Stages(book, lease_seconds=LEASE)
    watch(stages, LEASE)
    assert book.redis.exists("otto:scale:events:ottoscaler:replica:b")
    watch(stages, 1, since=LEASE + 1)
    assert not book.redis.exists("otto:scale:events:ottoscaler:replica:b")


def test_error_of_redis_starts_the_observation_anew(book: Book) -> None:
    owned(book, "b")
    stages = Stages(book, lease_seconds=LEASE)
    watch(stages, LEASE)
    stages.surveys.tell_failed()
    watch(stages, 5, since=LEASE + 1)
    assert stages.known() == []


def test_earlier_incarnations_event_is_taken_at_once(book: Book) -> None:
    event_id = owned(book, "a")
    stages = Stages(book, "a", "2", lease_seconds=LEASE)
    watch(stages, 0)
    assert stages.known() == [event_id]


def test_handed_over_event_is_taken_at_once(book: Book) -> None:
    event_id = owned(book, "b")
    book.ledger("b").release([(event_id, 1)])
    stages = Stages(book, lease_seconds=LEASE)
    watch(stages, 0)
    assert stages.known() == [event_id]


def test_own_offer_is_left_to_others(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each heartbeat shows it. To ask for its ledger each time would cost as much as its workers are many."""
    stages = Stages(book, lease_seconds=LEASE)
    event_id = add(book, pod_count=1)
    for _ in range(2):
        stages.listener.step(0.0)
    assert stages.ledger.offer(event_id, 1)
    asked: list[str] = []
    monkeypatch.setattr(stages.ledger, "take_over", lambda event_id, *_, **__: asked.append(event_id))
    watch(stages, 0)
    assert asked == []


def test_event_that_came_without_its_reply_is_taken_up_when_seen_twice(book: Book) -> None:
    event_id = owned(book, "a")
    stages = Stages(book, "a", lease_seconds=LEASE)
    watch(stages, 0)
    assert stages.known() == []
    watch(stages, 0, since=1)
    assert stages.known() == [event_id]


def test_event_that_went_to_another_is_dropped(book: Book) -> None:
    stages = Stages(book, "a", lease_seconds=LEASE)
    event_id = add(book, pod_count=1)
    for _ in range(2):
        stages.listener.step(0.0)
    stages.ledger.release([(event_id, 1)])
    other = Stages(book, "b", lease_seconds=LEASE)
    watch(other, 0)
    watch(stages, 0)
    assert (other.known(), stages.known()) == ([event_id], [])
    assert stages.pods.woken == 1


def test_entries_that_waited_for_a_broken_key_are_read_again_once_it_is_mended(book: Book) -> None:
    key = "otto:scale:events:ottoscaler:tombstones"
    stages = Stages(book)
    for _ in range(2):
        stages.listener.step(0.0)
    book.redis.set(key, "a stranger's")
    down = add(book, "scale_down", task_id="t")
    stages.listener.step(0.0)
    assert stages.downs.given == []
    watch(stages, 0)
    stages.listener.step(1.0)
    assert stages.downs.given == [], "it waits, so that the log is not filled"
    book.redis.delete(key)
    watch(stages, 0, since=1)
    stages.listener.step(1.0)
    assert [event.event_id for event in stages.downs.given] == [down]


def test_lost_ledger_is_written_anew(book: Book) -> None:
    stages = Stages(book, "a")
    event_id = add(book, pod_count=2)
    for _ in range(2):
        stages.listener.step(0.0)
    key = f"otto:scale:events:ottoscaler:event:{event_id}"
    book.redis.delete(key)
    assert stages.registry.lose(event_id)
    stages.takeover.step(0.0)
    assert book.redis.hget(key, "owner") == "a/1"


class Beating:
    """A lease on a real Redis, without its thread."""

    def __init__(self, book: Book) -> None:
        self.identity = ReplicaIdentity("a")
        self.surveys = Surveys(5.0)
        self.stop = threading.Event()
        self.lost = 0
        self.pause = Pause(lambda _: None)
        self.lease = Lease(
            Ledger(book.stream("a"), self.identity),
            self.surveys,
            seconds=5.0,
            description=ReplicaDescription(dict, Recent(Metrics()), list),
            lost=self._lose,
            pause=self.pause,
            control=Control(self.stop, lambda: None),
        )

    def _lose(self) -> None:
        self.lost += 1

    def beat(self) -> None:
        self.lease.step(suspended_clock())


@pytest.fixture
def beating(book: Book) -> Beating:
    made = Beating(book)
    made.lease.register(threading.Event())
    return made


def test_silent_predecessor_is_observed_anew_after_redis_gave_no_answer(
    book: Book, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not send a heartbeat then either."""
    book.ledger("a", "other")
    made, begun, away_at = Beating(book), clock[0], 4.0
    real = Replicas.register
    failed: list[float] = []

    def register(self: Replicas, *args: Any) -> Registration:
        if clock[0] - begun >= away_at and not failed:
            failed.append(clock[0])
            raise RedisUnavailable("away")
        return real(self, *args)

    def a_second_later(_seconds: float) -> bool:
        clock[0] += 1.0
        return False

    monkeypatch.setattr(Replicas, "register", register)
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", a_second_later)
    made.lease.register(stop)
    assert failed
    assert clock[0] - begun > away_at + made.lease.seconds


def test_replica_that_starts_in_a_pause_knows_of_it_before_it_may_read(book: Book) -> None:
    """The listener starts at the registration, before the first heartbeat."""
    made = Beating(book)
    pause.pause(book.stream("operator"))
    made.lease.register(threading.Event())
    assert made.lease.registered.is_set()
    assert made.pause.on


def test_replica_of_another_instance_is_refused_while_pods_are_found_by_the_first(book: Book) -> None:
    """It would not find the Pods of events that it takes over, and would run their workers again."""
    prefix = "otto:scale:events:ottoscaler:"

    def enter(name: str, instance: str) -> Registration:
        return ledger_on(book.stream(name, instance=instance), name).replicas.register("{}", lease_seconds=60)

    assert enter("a", "one").entered
    with pytest.raises(InstanceChanged, match=r"'two'.*'one'"):  # a lives
        enter("b", "two")
    assert enter("b", "one").entered
    for name in "ab":  # both were silent for longer than their leases
        book.redis.hset(f"{prefix}replica:{name}", "seen", "1")
    book.redis.sadd(f"{prefix}events", "1-0")
    with pytest.raises(InstanceChanged):  # an event is in flight
        enter("c", "two")
    book.redis.delete(f"{prefix}events")
    assert enter("c", "two").entered
    assert book.redis.get(f"{prefix}instance") == "two"


def test_stop_hands_over_an_event_whose_ledger_redis_lost_meanwhile(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The takeover's thread, which rewrites lost ledgers, has ended by then."""
    event_id = add(book, pod_count=2)
    stages = Stages(book)
    for _ in range(2):
        stages.listener.step(0.0)
    assert stages.known() == [event_id]
    book.redis.flushall()
    stages.surveys.tell_emptied()
    stages.ledger.identity.join(stages.ledger.join_installation("new"))
    assert Stop(stages, monkeypatch).handover.everything(math.inf)
    assert stages.known() == []
    assert stages.ledger.owner_of(event_id) == ""
    heir = Stages(book, "b")
    watch(heir, 1)
    assert heir.known() == [event_id]


class Stop:
    """A stop of these stages: its handover, the time, and whether Redis answered the last heartbeat."""

    def __init__(self, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.answers_from = 0.0
        self.handover = Handover(
            stages.ledger,
            stages.registry,
            cast(ScaleDowns, stages.downs),
            cast(PodWatcher, stages.pods),
            threading.Event(),
            LastCalls(lambda: self.now >= self.answers_from, lambda: None),
            stages.takeover.rewrite_lost,
        )
        monkeypatch.setattr("ottoscaler.controller.handover.time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_stop_hands_over_an_event_that_comes_while_it_hands_over_the_others(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that hung in Redis is answered then."""
    first, stages = add(book, pod_count=1), Stages(book)
    for _ in range(2):
        stages.listener.step(0.0)
    late: list[str] = []
    release = stages.ledger.release

    def meanwhile(events: Any) -> Any:
        if not late:
            late.append(add(book, pod_count=1))
            stages.listener.step(0.0)
        return release(events)

    monkeypatch.setattr(stages.ledger, "release", meanwhile)
    assert Stop(stages, monkeypatch).handover.everything(math.inf)
    assert [stages.ledger.owner_of(event_id) for event_id in (first, *late)] == ["", ""]
    assert stages.known() == []


def test_stop_looks_once_more_for_a_redis_that_missed_the_last_heartbeat(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the grace period is over: else the event waits for the whole lease."""
    event_id, stages = add(book, pod_count=1), Stages(book)
    for _ in range(2):
        stages.listener.step(0.0)
    stop = Stop(stages, monkeypatch)
    stop.answers_from = 0.1
    assert stop.handover.everything(-1.0)
    assert stages.ledger.owner_of(event_id) == ""


def test_stop_gives_a_silent_redis_up_when_the_grace_period_is_over(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop(Stages(book), monkeypatch)
    stop.answers_from = math.inf
    assert not stop.handover.everything(-1.0)
    assert stop.now <= 2 * AGAIN_SECONDS


def beats(book: Book) -> int:
    return int(book.redis.hget("otto:scale:events:ottoscaler:replica:a", "beat"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The lease's clock, which stands still unless the test moves it."""
    now = [suspended_clock()]
    monkeypatch.setattr("ottoscaler.ledger.lease.suspended_clock", lambda: now[0])
    return now


def test_heartbeat_renews_the_lease_for_four_fifths_of_it_from_when_it_was_sent(
    beating: Beating, book: Book, clock: list[float]
) -> None:
    before = beats(book)
    beating.lease.step(clock[0] - 1.0)
    assert beats(book) == before + 1
    assert beating.lease.remaining() == pytest.approx(3.0)
    assert beating.lease.health()[0]


def test_lease_holds_without_a_gap_while_each_answer_of_redis_takes_a_quarter_of_it(
    beating: Beating, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(call: Any) -> Any:
        def later(*args: Any, **more: Any) -> Any:
            clock[0] += beating.lease.seconds / 4
            left.append(beating.lease.remaining())
            return call(*args, **more)

        return later

    def sleep(seconds: float) -> bool:
        clock[0] += seconds
        left.append(beating.lease.remaining())
        return False

    left: list[float] = []
    beating.lease.step(clock[0])
    monkeypatch.setattr(Replicas, "beat", slow(Replicas.beat))
    monkeypatch.setattr(RedisClient, "run_id", slow(RedisClient.run_id))
    monkeypatch.setattr(beating.stop, "wait", sleep)
    for _ in range(5):
        beating.lease.wait()
        beating.lease.step(beating.lease.clock())
    assert min(left) > 0


def test_grant_of_before_a_gap_holds_no_more_when_the_lease_is_back(
    beating: Beating, clock: list[float]
) -> None:
    """What was checked under it may have changed: others may have taken the event over meanwhile."""
    beating.lease.step(clock[0])
    before = beating.lease.granted()
    assert beating.lease.holds(before)
    clock[0] += 4.1
    assert not beating.lease.holds(before)
    beating.lease.step(clock[0])
    assert beating.lease.granted()
    assert not beating.lease.holds(before)


def test_heartbeats_bring_surveys_of_the_others(beating: Beating, book: Book) -> None:
    book.ledger("b")
    beating.beat()
    survey, _ = beating.surveys.take(0.0)
    assert survey is not None
    assert set(survey.replicas) == {"a", "b"}


def test_heartbeat_that_failed_proves_nothing_of_how_long_others_stood_still(
    beating: Beating, book: Book, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever judges by a survey that is not taken yet must not count the time of our own outage."""
    book.ledger("b")
    beating.lease.step(clock[0])
    clock[0] += 1
    beating.lease.step(clock[0])
    assert beating.surveys.still_for("b", clock[0]) == 1.0

    def fail(*_args: Any, **_more: Any) -> None:
        raise RedisUnavailable("away")

    with monkeypatch.context() as away:
        away.setattr(Replicas, "beat", fail)
        beating.lease.step(clock[0])
    assert beating.surveys.still_for("b", clock[0] + 100) == 0.0
    clock[0] += 1
    beating.lease.step(clock[0])
    assert beating.surveys.still_for("b", clock[0]) == 0.0


def test_another_run_of_redis_proves_nothing_of_how_long_others_stood_still(
    beating: Beating, book: Book, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed over between two of our heartbeats, and the others' may still try to reach the old one."""
    book.ledger("b")
    for _ in range(2):
        clock[0] += 1
        beating.lease.step(clock[0])
    assert beating.surveys.still_for("b", clock[0]) == 1.0
    monkeypatch.setattr(RedisClient, "run_id", lambda _: "another")
    clock[0] += 1
    beating.lease.step(clock[0])
    assert beating.surveys.still_for("b", clock[0]) == 0.0


def test_each_heartbeat_brings_how_many_others_there_are(beating: Beating, book: Book) -> None:
    beating.beat()
    assert beating.lease.peers == 0
    book.ledger("b")  # it starts together with this one, long before the next survey
    beating.beat()
    assert beating.lease.peers == 1


@pytest.mark.parametrize("alive", [True, False])
def test_replica_that_was_taken_for_dead_drops_all_and_is_another_owner_if_its_name_is_free(
    beating: Beating, book: Book, clock: list[float], monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """A Redis that lost writes may know the incarnation before, which ended long ago."""

    def sleep(seconds: float) -> bool:
        clock[0] += seconds
        left.append(beating.lease.remaining())
        if alive:
            book.redis.hincrby("otto:scale:events:ottoscaler:replica:a", "beat", 1)
        return False

    left: list[float] = []
    begun, before = clock[0], beating.identity.owner
    book.redis.hset("otto:scale:events:ottoscaler:replica:a", "incarnation", "another")
    monkeypatch.setattr(beating.stop, "wait", sleep)
    if alive:
        with pytest.raises(LiveTwin):
            beating.lease.step(clock[0])
    else:
        beating.lease.step(clock[0])
        assert clock[0] - begun > beating.lease.seconds
        assert beating.lease.health()[0]
    assert set(left) == {0.0}
    assert beating.lost == 1
    assert beating.identity.owner != before


def test_emptied_redis_means_a_new_installation_and_everything_anew(beating: Beating, book: Book) -> None:
    old = beating.identity.installation
    book.redis.flushall()
    beating.beat()
    assert beating.surveys.take(0.0) == (None, True)
    assert beating.identity.installation != old
    assert beating.lease.held_installations == {old, beating.identity.installation}


def test_forgotten_registration_is_entered_again_as_the_same_owner(beating: Beating, book: Book) -> None:
    owner = beating.identity.owner
    book.redis.delete("otto:scale:events:ottoscaler:replica:a")
    beating.beat()
    assert beating.identity.owner == owner
    beating.beat()
    assert beating.lease.redis_health()[0]


def test_last_act_gives_the_name_free(beating: Beating, book: Book) -> None:
    beating.lease.leave()
    assert beating.lease.granted() == 0
    assert not book.redis.exists("otto:scale:events:ottoscaler:replica:a")
