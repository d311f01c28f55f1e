"""A key of ours that another program has overwritten costs only what needs it, and is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import Mock

import pytest

from ottoscaler.cli.check_redis import RedisCheck
from ottoscaler.cli.status import render
from ottoscaler.controller import listener
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.errors import BrokenKey, Fenced, NotPermitted, RedisError, Unregistered
from ottoscaler.ledger import heartbeats
from ottoscaler.ledger.broken_keys import KINDS, broken_keys
from ottoscaler.ledger.kept_logs import kept_logs
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry, Record, Taking
from ottoscaler.ledger.upkeep import Upkeep
from ottoscaler.model import Outcome, Reason, ScaleUp, Status, WorkerId
from ottoscaler.status import overview
from ottoscaler.status.feed import json_bytes
from ottoscaler.status.search import search
from ottoscaler.status.snapshot import SnapshotReader
from tests.harness.ledger_steps import DONE
from tests.harness.redis_fixture import Book, book, counts_what_is_added, redis_server
from tests.harness.stages import STREAM, Stages, add, dead

__all__ = ["book", "redis_server"]

P = f"{STREAM}:ottoscaler:"
RESULTS, DEAD = "otto:scale:results", "otto:scale:dead"
# Without these two a replica cannot know whose events there are: nothing new is taken, and no Pod is touched.
SHARED = sorted(KINDS.keys() - {"installation", "events"})


def overwrite(book: Book, key: str) -> None:
    """What a stranger's program does."""
    kind = book.redis.type(key)
    book.redis.delete(key)
    wanted = KINDS.get(key.removeprefix(P), kind)
    if wanted == "string":
        book.redis.rpush(key, "a stranger's")
    else:
        book.redis.set(key, "a stranger's")


def stages_of(book: Book, name: str = "a", **settings: Any) -> Stages:
    made = Stages(book, name, **settings)
    made.listener.step(0.0)  # its own pending entries first
    return made


def taken(stages: Stages, **fields: Any) -> str:
    event_id = add(stages.book, **{"pod_count": 1, **fields})
    stages.listener.step(0.0)
    assert event_id in stages.known()
    return event_id


def run_to_its_end(ledger: Ledger, event_id: str, index: int = 0) -> str:
    worker = WorkerId(event_id, index, 0)
    assert ledger.start(worker, 1).word == "ok"
    assert ledger.created(worker, 1, "uid").word == "ok"
    return ledger.record(worker, 1, "uid", DONE).word


def survey(ledger: Ledger) -> Any:
    found = ledger.replicas.beat("{}", survey=True)
    assert found is not None
    return found


def pending(book: Book) -> int:
    return int(book.redis.xpending(STREAM, "ottoscaler")["pending"])


# --- keys that all events share


@pytest.mark.parametrize("name", SHARED)
def test_heartbeats_and_events_go_on_beside_a_broken_key(book: Book, name: str) -> None:
    stages = stages_of(book)
    before, handed_over = taken(stages), taken(stages)
    overwrite(book, P + name)
    assert [each.key for each in survey(stages.ledger).broken] == [P + name]
    assert run_to_its_end(stages.ledger, before) == "ended"
    assert run_to_its_end(stages.ledger, taken(stages)) == "ended"
    stages.ledger.release([(handed_over, 1)])
    assert stages.ledger.owner_of(handed_over) == ""
    with suppress(BrokenKey):  # the others of these steps are tried all the same (reconciler, housekeeping)
        stages.ledger.upkeep.expire(60.0, 10, 0)
    stages.ledger.upkeep.bound(60.0, 60.0, 10, "0")
    stages.ledger.unseen.note("pod", "uid")
    book.redis.delete(P + name)
    assert survey(stages.ledger).broken == ()
    assert run_to_its_end(stages.ledger, taken(stages)) == "ended"
    assert len(book.results("event")) == 3


def test_scale_down_finds_its_victims_beside_any_other_broken_key(book: Book) -> None:
    stages = stages_of(book)
    event_id = taken(stages, pod_count=2, task_id="t")
    stages.ledger.start(WorkerId(event_id, 0, 0), 1)
    for name in SHARED:
        if name != "tombstones":
            overwrite(book, P + name)
    down = add(book, "scale_down", task_id="t")
    stages.listener.step(0.0)
    stages.scale_downs.apply(stages.downs.given[0], 1)
    assert book.redis.hget(f"{P}event:{event_id}", "c:0"), "the intent to cancel the running one is durable"
    assert [w["status"] for w in book.results("worker")] == ["cancelled"]
    assert stages.ledger.owner_of(down) == "a/1", "it counts its victims' ends first"


def test_nothing_new_is_taken_without_the_set_of_open_events_and_nothing_is_lost(book: Book) -> None:
    stages = stages_of(book)
    running = taken(stages)
    overwrite(book, P + "events")
    late = add(book, pod_count=1)
    stages.listener.step(1.0)
    assert stages.known() == [running]
    assert not book.redis.exists(f"{P}event:{late}"), "refused before the first write"
    assert run_to_its_end(stages.ledger, running) == "ended"
    book.redis.delete(P + "events")
    for _ in range(2):
        stages.listener.step(1.0 + listener.AGAIN_SECONDS)
    assert stages.known()[-1] == late


def heir_after(book: Book, seconds: int) -> Stages:
    """Another replica, with a lease of 10 s, that has looked for dead ones for so many seconds."""
    heir = stages_of(book, lease_seconds=10)
    for second in range(seconds):
        heir.survey(float(second))
        heir.takeover.wait()
        heir.takeover.step(float(second))
    return heir


def test_open_event_that_somebody_struck_off_the_set_is_taken_over_all_the_same(book: Book) -> None:
    owner = stages_of(book, "b")
    event_id = taken(owner)
    book.redis.delete(P + "events")
    assert heir_after(book, 30).known() == [event_id]


def test_dead_replicas_are_seen_without_the_set_of_replicas(book: Book) -> None:
    owner = stages_of(book, "b")
    event_id = taken(owner)
    overwrite(book, P + "replicas")
    assert heir_after(book, 15).known() == [event_id]


def test_own_broken_heartbeat_is_written_anew(book: Book) -> None:
    ledger = book.ledger()
    overwrite(book, P + "replica:a")
    with pytest.raises(Unregistered, match="replica:a is a string, not a hash"):
        ledger.replicas.beat("{}", survey=False)
    assert ledger.replicas.register("{}").entered
    assert survey(ledger).replicas["a"][0] == "1"


def test_heartbeats_go_on_beside_one_that_holds_nonsense(book: Book) -> None:
    """Each replica reads all heartbeats, so one that it could not read ended every replica."""
    ledger, other = book.ledger(), book.ledger("b")
    book.redis.hset(P + "replica:a", mapping={"beat": "often", "lease": "long"})
    assert ledger.replicas.register("{}").beat == "1"
    book.redis.hset(P + "replica:a", mapping={"beat": "often", "lease": "long"})
    assert survey(ledger).beat == 1
    for lease, told in {"long": 0, "9" * 400: 0, "1e9": 0, "99999": 0, "3600": 3600, "0.5": 0.5}.items():
        book.redis.hset(P + "replica:a", "lease", lease)
        assert survey(other).leases["a"] == told
        assert other.upkeep.claim_search(1, (), 1).replicas["a"][0] == told


ENDLESS = "9" * 30  # as an id it would be above all others
SENSELESS: dict[str, Callable[[Book], object]] = {
    "the low-water mark": lambda book: book.redis.set(P + "low-water", ENDLESS),
    "a member of the open events": lambda book: book.redis.sadd(P + "events", "junk"),
    "a finished event": lambda book: book.redis.zadd(P + "finished", {"junk": 0}),
    "a tombstone": lambda book: book.redis.hset(P + "tombstones", "t", f"{ENDLESS}-0"),
    "the marks of trimming": lambda book: book.redis.hset(
        P + "marks", mapping={"aged": "junk", "aging": "junk", "since": "1"}
    ),
    "the age of the marks": lambda book: book.redis.hset(P + "marks", "since", "inf"),
    "the entries taken": lambda book: book.redis.hset(P + "account", "taken", "many"),
    "a scale_down ahead": lambda book: book.redis.sadd(P + "ahead", f"{ENDLESS}-0"),
    "a namespace": lambda book: book.redis.hset(P + "namespaces", "junk", "then"),
    "who searches": lambda book: book.redis.set(P + "search:inst", "junk"),
    "a kept log": lambda book: book.redis.zadd(P + "logs", {"junk": 0}),
    "the size of all kept logs": lambda book: book.redis.hset(P + "log-sizes", "total", "many"),
}


@pytest.mark.parametrize("where", SENSELESS)
def test_nonsense_in_a_key_of_the_right_type_costs_no_event_and_no_upkeep(book: Book, where: str) -> None:
    """Before, events never ran or were cancelled; expiry, the search for Pods or the count of lost entries
    stopped; or each kept log cost the replica all its connections to Redis."""
    stages = stages_of(book)
    ledger, upkeep = stages.ledger, stages.ledger.upkeep
    assert run_to_its_end(ledger, taken(stages)) == "ended"
    SENSELESS[where](book)
    event_id = taken(stages, task_id="t")
    survey(ledger)
    assert upkeep.find_lost().entries == 0
    assert ledger.logs.keep(WorkerId(event_id, 0, 0), 1, b"a line", 60.0, 65536)
    assert run_to_its_end(ledger, event_id) == "ended"
    assert upkeep.find_lost().entries == 0
    assert upkeep.claim_search(1.0, (), 1.0).replicas
    noted = upkeep.claim_search(1.0, (), 1.0).namespaces  # it is looked at before it is forgotten
    assert noted == (("junk",) if where == "a namespace" else ())
    assert upkeep.claim_search(1.0, noted, -1.0).namespaces == ()
    assert upkeep.expire(0.0, 10, 0).low_water == event_id, "what has ended may go"
    assert book.redis.zcard(P + "finished") == 0
    assert upkeep.bound(60.0, 60.0, 10, "0").cursor == "0"
    assert not book.redis.hexists(P + "tombstones", "t")
    ledger.logs.let_go(60.0, 65536)
    assert [kept.text for kept in kept_logs(ledger.redis, event_id)] == [b"a line"]
    assert [result["status"] for result in book.results("event")] == ["succeeded"] * 2


def test_script_that_fails_on_nonsense_holds_up_no_other_housekeeping(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = stages_of(book)
    event_id = taken(stages)
    assert stages.ledger.logs.keep(WorkerId(event_id, 0, 0), 1, b"a line", 60.0, 65536)
    monkeypatch.setattr(Upkeep, "expire", Mock(side_effect=RedisError("attempt to perform arithmetic")))
    Housekeeping(
        stages.ledger, stages.metrics, retention=0.0, dead_retention=60.0, logs_total_bytes=65536
    ).step()
    assert not list(kept_logs(stages.ledger.redis, event_id)), "its time was over"


# --- one event's ledger


def test_overwritten_ledger_is_written_anew_by_its_owner_and_other_events_do_not_notice(book: Book) -> None:
    stages = stages_of(book)
    event_id, other = taken(stages, pod_count=2), taken(stages)
    run = next(run for run in stages.registry.snapshot() if run.event.event_id == event_id)
    assert run_to_its_end(stages.ledger, event_id) == "ok"
    run.note_done(0, 0, "succeeded", "uid")
    overwrite(book, f"{P}event:{event_id}")
    with pytest.raises(Fenced):
        stages.ledger.start(WorkerId(event_id, 1, 0), 1)
    stages.survey(0.0)
    assert run_to_its_end(stages.ledger, other) == "ended"
    stages.takeover.wait()
    stages.takeover.step(0.0)
    assert run_to_its_end(stages.ledger, event_id, 1) == "ended"
    assert [w["event_id"] for w in book.results("worker")].count(event_id) == 2, "each result once"
    assert pending(book) == 0


def write_nonsense(book: Book) -> None:
    nonsense: dict[str, dict[str, str]] = {
        "5-0": {"n": "many"},
        "5-1": {"n": "1", "i:0": "junk"},
        "junk": {"n": "1"},
    }
    for event_id, words in nonsense.items():
        ledger = {"state": "open", "type": "scale_up", "owner": "", "epoch": "1", **words}
        book.redis.hset(f"{P}event:{event_id}", mapping=ledger)
        book.redis.sadd(P + "events", event_id)
        book.redis.sadd(P + "offers", event_id)


@pytest.mark.parametrize("drawn", [200, 0])
def test_status_page_shows_the_other_events_where_a_ledger_holds_nonsense(
    book: Book, monkeypatch: pytest.MonkeyPatch, drawn: int
) -> None:
    """Before, the page had nothing but an internal error."""
    good = taken(stages_of(book))
    write_nonsense(book)
    monkeypatch.setattr(overview, "MOST_EVENTS", drawn)
    told = overview.Overview(book.stream("b"), book.settings.instance).read()
    assert [each["id"] for each in told["events"]] == (["5-1", good] if drawn else [])
    assert told["waiting"] >= 1


NOT_UTF8 = b"\xff\xfe"
HIDING: dict[str, Callable[[Book, str], object]] = {
    "a member of the events": lambda book, _: book.redis.sadd(P + "events", NOT_UTF8),
    "a replica's incarnation": lambda book, _: book.redis.hset(P + "replica:a", "incarnation", NOT_UTF8),
    "a replica's beat": lambda book, _: book.redis.hset(P + "replica:a", "beat", NOT_UTF8),
    "what a replica tells": lambda book, _: book.redis.hset(P + "replica:a", "info", "[" * 200_000),
    "how many workers a replica says that it has": lambda book, _: book.redis.hset(
        P + "replica:a", "info", '{"workers": NaN, "lease_seconds": "long"}'
    ),
    "a replica's time": lambda book, _: book.redis.hset(P + "replica:a", "recent-at", "9" * 5000),
    "an event's task": lambda book, of: book.redis.hset(f"{P}event:{of}", "task", NOT_UTF8),
    "an event's type": lambda book, of: book.redis.hset(f"{P}event:{of}", "type", NOT_UTF8),
    "an event's namespace": lambda book, of: book.redis.hset(f"{P}event:{of}", "ns", NOT_UTF8),
    "a namespace": lambda book, _: book.redis.hset(P + "namespaces", NOT_UTF8, "1"),
    "the lost entries": lambda book, _: book.redis.hset(P + "account", "lost", "many"),
    "a result of no event": lambda book, _: book.redis.xadd(RESULTS, {"kind": "worker", "status": "failed"}),
}


@pytest.mark.parametrize("where", HIDING)
def test_what_no_replica_wrote_hides_nothing_else_from_those_who_look(
    book: Book, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Before, the page had nothing but an error, and ``status`` or ``check`` ended with a traceback."""
    monkeypatch.setattr(heartbeats, "LONGEST_LOOK_SECONDS", 0.1)  # no heartbeat moves here
    stages = stages_of(book)
    good, marked = taken(stages, task_id="good"), taken(stages, task_id="good")
    HIDING[where](book, marked)
    redis = book.stream("b")
    page = overview.Overview(redis, book.settings.instance).read()
    assert good in {each["id"] for each in page["events"]}
    assert b"NaN" not in json_bytes(page), "no browser reads it"
    snapshot = SnapshotReader(redis).read()
    assert good in {each["event_id"] for each in snapshot["events"]}
    assert any(good in line for line in render(snapshot))
    assert good in {each["event_id"] for each in search(redis, "good")["found"]}
    checked = {found.subject for found in RedisCheck(book.settings).findings()}
    assert checked >= {"redis", "keys", "persistence"}


def test_ledger_that_holds_nonsense_costs_its_own_event_only(book: Book) -> None:
    """Before, each replica that took it over ended, one after the other."""
    stages = stages_of(book)
    good = taken(stages)
    write_nonsense(book)
    far = f"w:0:{'9' * 400}:node"  # too large for a float
    book.redis.hset(f"{P}event:5-3", mapping={**book.redis.hgetall(f"{P}event:5-1"), "i:0": far})
    book.redis.sadd(P + "offers", "5-3")
    for event_id in ("5-0", "5-1", "5-3"):
        with pytest.raises(BrokenKey, match=f"{event_id} holds what no replica wrote"):
            stages.ledger.take_over(event_id, "", offered=True)
    for body in (b"{bad", b"[" * 100_000):
        with pytest.raises(BrokenKey, match="5-2 holds what no replica wrote"):
            Record("5-2", 1, 0, body).entry()
    found = stages.ledger.scale_downs.candidates(f"{2**63}-0", None)
    assert good in {record.event_id for record in found}
    book.redis.hset(f"{P}event:9-0", mapping={"state": "open", f"v:{good}:0": "1", "victims": "many"})
    book.redis.hset(f"{P}event:{good}", "c:0", "1:9-0:cancelled by 9-0")
    cancelled = Outcome(Status.CANCELLED, Reason.CANCELLED, "cancelled by 9-0")
    stages.ledger.record(WorkerId(good, 0, 0), 1, "", cancelled, despite_intent=True)
    assert [result["status"] for result in book.results("event")] == ["cancelled"]


def test_ledger_that_nobody_remembers_stays_pending_and_is_told_until_it_is_mended(book: Book) -> None:
    dead_owner = stages_of(book, "b")
    event_id = taken(dead_owner)
    overwrite(book, f"{P}event:{event_id}")
    stages = stages_of(book, lease_seconds=10)
    for second in range(30):
        stages.survey(float(second))
        stages.takeover.wait()
        stages.takeover.step(float(second))
    assert (pending(book), stages.known(), dead(book)) == (1, [], [])
    assert [each.key for each in survey(stages.ledger).broken] == [f"{P}event:{event_id}"]
    assert stages.ledger.upkeep.states([(event_id, 0)])[0][0] == "open", "no sweep touches its Pods"
    assert run_to_its_end(stages.ledger, taken(stages)) == "ended"
    book.redis.delete(f"{P}event:{event_id}")
    for second in range(30, 33):
        stages.survey(float(second))
        stages.takeover.wait()
        stages.takeover.step(float(second))
        stages.listener.step(float(second))
    assert event_id in stages.known()


def test_broken_dedup_key_holds_up_its_own_event_only(book: Book) -> None:
    stages = stages_of(book)
    book.redis.rpush(f"{P}dedup:k", "a stranger's")
    held, good = add(book, pod_count=1, dedup_key="k"), add(book, pod_count=1)
    stages.listener.step(0.0)
    assert stages.known() == [good]
    assert pending(book) == 2
    with pytest.raises(BrokenKey, match="dedup:k is a list, not a string"):  # no survey looks at such keys
        stages.ledger.take(ScaleUp(held, "t", 1, dedup_key="k"), Entry(held, ()))
    book.redis.delete(f"{P}dedup:k")
    for _ in range(2):
        stages.listener.step(listener.AGAIN_SECONDS)
    assert sorted(stages.known()) == sorted([held, good])


# --- the outgoing streams


def test_bad_event_waits_for_a_broken_dead_letter_stream_and_good_ones_do_not(book: Book) -> None:
    stages = stages_of(book)
    book.redis.set(DEAD, "a stranger's")
    bad, good = add(book, pod_count="many"), add(book, pod_count=1)
    stages.listener.step(0.0)
    assert stages.known() == [good]
    assert run_to_its_end(stages.ledger, good) == "ended"
    assert run_to_its_end(stages.ledger, taken(stages)) == "ended"
    assert pending(book) == 1
    book.redis.delete(DEAD)
    for _ in range(2):
        stages.listener.step(listener.AGAIN_SECONDS)
    assert [letter["event_id"] for letter in dead(book)] == [bad]
    assert pending(book) == 0


def test_restarts_beside_a_broken_dead_letter_stream_condemn_no_event(book: Book) -> None:
    """A reader that could not take an entry has not died of it."""
    stages_of(book)
    book.redis.set(DEAD, "a stranger's")
    bad = add(book, pod_count="many")
    for life in range(2, 6):
        replica = Stages(book, incarnation=str(life))
        for _ in range(3):
            replica.listener.step(0.0)
    book.redis.delete(DEAD)
    replica = Stages(book, incarnation="9")
    for _ in range(3):
        replica.listener.step(0.0)
    (letter,) = dead(book)
    assert letter["event_id"] == bad
    assert "pod_count" in letter["error"], "what is wrong with it, not that it killed its readers"


def test_entry_that_kills_its_readers_is_passed_over_until_it_can_be_dead_lettered(book: Book) -> None:
    deadly, behind = add(book, pod_count=1), add(book, pod_count=1)
    first = Stages(book)
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"})
    first.ledger.replicas.next_pending("0", 4, left_by_the_dead=True)
    book.redis.set(DEAD, "a stranger's")
    stages = Stages(book, incarnation="2")
    for _ in range(3):
        stages.listener.step(0.0)
    assert stages.known() == [behind]
    assert pending(book) == 2
    book.redis.delete(DEAD)
    for _ in range(3):
        stages.listener.step(listener.AGAIN_SECONDS)
    assert [letter["event_id"] for letter in dead(book)] == [deadly]


def test_entry_that_was_deleted_unread_is_told_once_a_dead_letter_can_be_written(book: Book) -> None:
    """Redis 7 drops such an entry when it is claimed."""
    dead_reader, heir = book.ledger("b"), book.ledger("a")
    gone = add(book, pod_count=1)
    book.redis.xreadgroup("ottoscaler", "b", {STREAM: ">"})
    book.redis.xdel(STREAM, gone)
    book.redis.set(DEAD, "a stranger's")
    incarnation, beat = survey(heir).replicas["b"]
    assert dead_reader.owner == f"b/{incarnation}"
    assert heir.replicas.claim_pending("b", incarnation, beat, 10) == ([], [])
    assert pending(book) == 1
    book.redis.delete(DEAD)
    claimed, told = heir.replicas.claim_pending("b", incarnation, beat, 10)
    assert gone in claimed + told


def test_workers_run_beside_a_broken_results_stream_and_are_told_when_it_is_mended(book: Book) -> None:
    stages = stages_of(book)
    book.redis.set(RESULTS, "a stranger's")
    event_id = taken(stages)
    worker = WorkerId(event_id, 0, 0)
    assert stages.ledger.start(worker, 1).word == "ok"
    assert stages.ledger.created(worker, 1, "uid").word == "ok"
    for _ in range(2):
        with pytest.raises(BrokenKey, match="otto:scale:results is a string, not a stream"):
            stages.ledger.record(worker, 1, "uid", DONE)
    assert book.redis.hget(f"{P}event:{event_id}", "i:0") == "s:0:uid", "refused before the first write"
    book.redis.delete(RESULTS)
    assert stages.ledger.record(worker, 1, "uid", DONE).word == "ended"
    assert len(book.results("worker")) == 1


def test_results_stream_that_takes_no_more_entries_loses_none(book: Book) -> None:
    """Somebody gave it the last id there is, so Redis refuses each XADD in the middle of a script."""
    stages = stages_of(book)
    worker, orphan = WorkerId(taken(stages), 0, 0), WorkerId("5-5", 0, 0)
    assert stages.ledger.start(worker, 1).word == "ok"
    assert stages.ledger.created(worker, 1, "uid").word == "ok"
    book.redis.xadd(RESULTS, {"x": "y"}, id=f"{2**64 - 1}-{2**64 - 1}")
    for _ in range(2):
        with pytest.raises(RedisError, match="exhausted"):
            stages.ledger.record(worker, 1, "uid", DONE)
        with pytest.raises(RedisError, match="exhausted"):
            stages.ledger.upkeep.report_orphan(orphan, "uid", "t", "{}", DONE)
    book.redis.delete(RESULTS)
    assert stages.ledger.record(worker, 1, "uid", DONE).word == "ended"
    assert stages.ledger.upkeep.report_orphan(orphan, "uid", "t", "{}", DONE) == "ok"
    assert [result["event_id"] for result in book.results("worker")] == [worker.event_id, "5-5"]


def test_nonsense_among_the_counts_of_bytes_tells_nothing_twice(book: Book) -> None:
    """Before, the script ended behind its XADD, and each further try told the same again."""
    stages = stages_of(book)
    event_id, bad = taken(stages), add(book, pod_count="none")
    book.redis.hset(P + "appended", mapping={"results:bytes": "x", "dead:bytes": "x"})
    assert run_to_its_end(stages.ledger, event_id) == "ended"
    stages.listener.step(0.0)
    assert [len(book.results(kind)) for kind in ("worker", "event")] == [1, 1]
    assert [letter["event_id"] for letter in dead(book)] == [bad]


def test_scale_down_cancels_beside_a_broken_results_stream(book: Book) -> None:
    """Running workers' Pods go at once; none that has not begun begins any more; all of it is told later."""
    stages = stages_of(book)
    event_id = taken(stages, pod_count=3, task_id="t")
    ledger, (first, second, third) = stages.ledger, (WorkerId(event_id, i, 0) for i in range(3))
    ledger.start(first, 1)
    ledger.created(first, 1, "uid")
    book.redis.set(RESULTS, "a stranger's")
    down = add(book, "scale_down", task_id="t")
    stages.listener.step(0.0)
    (event,) = stages.downs.given
    stages.stop.set()  # the last look at the results would come again and again
    stages.scale_downs.apply(event, 1)
    assert len(stages.pods.deleted) == 1
    for worker in (second, third):
        assert ledger.start(worker, 1).word == "cancelling"
        with pytest.raises(BrokenKey):
            ledger.record(worker, 1, "", DONE, despite_intent=True)
    book.redis.delete(RESULTS)
    cancelled = Outcome(Status.CANCELLED, Reason.CANCELLED, f"cancelled by {down}")
    for worker, uid in ((first, "uid"), (second, ""), (third, "")):
        answer = ledger.record(worker, 1, uid, cancelled, despite_intent=True)
        assert answer.word in ("ok", "ended")
    assert ledger.scale_downs.finish(down, 1).word == "ok"
    assert [(e["event_id"], e["status"], e["cancelled"]) for e in book.results("event")] == [
        (event_id, "cancelled", "3"),
        (down, "succeeded", "3"),
    ]


def test_worker_that_never_began_is_recorded_only_where_it_is_to_be_cancelled(book: Book) -> None:
    stages = stages_of(book)
    event_id = taken(stages)
    worker = WorkerId(event_id, 0, 0)
    assert stages.ledger.record(worker, 1, "", DONE, despite_intent=True).word == "stale"


def test_cancelled_task_runs_nothing_where_its_result_cannot_be_told_yet(book: Book) -> None:
    stages = stages_of(book)
    unread = add(book, pod_count=1, task_id="t")
    down = add(book, "scale_down", task_id="t")
    book.redis.set(RESULTS, "a stranger's")
    stages.listener.step(0.0)
    assert stages.known() == []
    assert [event.event_id for event in stages.downs.given] == [down]
    book.redis.delete(RESULTS)
    for _ in range(2):
        stages.listener.step(listener.AGAIN_SECONDS)
    assert [(e["event_id"], e["status"]) for e in book.results("event")] == [(unread, "cancelled")]


# --- who looks


def test_status_tells_the_broken_keys_and_all_else(book: Book) -> None:
    stages = stages_of(book)
    broken, good = taken(stages), taken(stages)
    keys = [f"{P}event:{broken}", f"{P}offers", f"{P}account", f"{P}replica:a", RESULTS, DEAD]
    for key in keys:
        overwrite(book, key)
    client = book.stream("status")
    told = SnapshotReader(client).read()
    assert sorted(each["key"] for each in told["broken_keys"]) == sorted(keys)
    assert [each["event_id"] for each in told["events"]] == [good]
    assert sorted(each.key for each in broken_keys(client)) == sorted(keys)
    client.close()


def test_broken_event_is_left_out_of_every_look_at_many(book: Book) -> None:
    stages = stages_of(book)
    broken, good = taken(stages, task_id="t"), taken(stages, task_id="t")
    overwrite(book, f"{P}event:{broken}")
    down = str(book.redis.xadd(STREAM, {"type": "scale_down", "task_id": "t"}))
    assert [r.event_id for r in stages.ledger.scale_downs.candidates(down, "t")] == [good]
    assert stages.ledger.replicas.owned("a/1", 10) == [good]
    assert stages.ledger.owner_of(broken) is None
    with pytest.raises(BrokenKey, match=f"event:{broken} is a string, not a hash"):
        stages.ledger.take_over(broken, "a/1")
    assert stages.ledger.take_over(good, "a/1").how is Taking.MINE


# --- an ACL without a command that our scripts need


@contextmanager
def forbidden(book: Book, command: str) -> Iterator[None]:
    if command in ("hset", "hincrby") and not counts_what_is_added(book.redis):
        pytest.skip("a script can ask for these two from Redis 7.0 on")
    book.redis.execute_command("ACL", "SETUSER", "default", f"-{command}")
    try:
        yield
    finally:
        book.redis.execute_command("ACL", "SETUSER", "default", "+@all")


@pytest.mark.parametrize("command", ["xadd", "hset", "hincrby", "hdel", "del", "zadd"])
def test_result_that_the_acl_forbids_to_write_is_told_once_it_may_be_written(
    book: Book, command: str
) -> None:
    ledger, event_id = (stages := stages_of(book)).ledger, taken(stages)
    worker = WorkerId(event_id, 0, 0)
    ledger.start(worker, 1)
    ledger.created(worker, 1, "uid")
    with forbidden(book, command):
        for _ in range(2):  # the second try must not take the first one's half for a whole
            with pytest.raises(NotPermitted):
                ledger.record(worker, 1, "uid", DONE)
        assert (book.results("worker"), book.results("event")) == ([], [])
    assert ledger.record(worker, 1, "uid", DONE).word == "ended"
    assert [len(book.results(kind)) for kind in ("worker", "event")] == [1, 1]
    assert pending(book) == 0


@pytest.mark.parametrize("command", ["xadd", "hset", "hincrby", "del", "zadd"])
def test_dead_letter_that_the_acl_forbids_to_write_is_written_once(book: Book, command: str) -> None:
    stages = stages_of(book)
    bad = add(book, pod_count="many")
    book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"})
    fields = [(b"pod_count", b"many")]
    with forbidden(book, command):
        for _ in range(2):
            with pytest.raises(NotPermitted):
                stages.ledger.dead_letter(bad, "pod_count: invalid value 'many'", fields)
        assert (dead(book), pending(book)) == ([], 1)
    stages.ledger.dead_letter(bad, "pod_count: invalid value 'many'", fields)
    assert [each["event_id"] for each in dead(book)] == [bad]
    assert pending(book) == 0
