"""A producer that had no answer to its XADD sends again with the same dedup_key: the workers run once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ottoscaler.client import Client, OutcomeUnknown
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Taken
from ottoscaler.model import ScaleUp
from tests.harness.cluster_state import served
from tests.harness.ledger_steps import DONE, add, add_down, begin, read, take
from tests.harness.proxy import Proxy, redis_protocol
from tests.harness.redis_fixture import Book, book, redis_server
from tests.harness.sandbox import Sandbox
from tests.harness.stages import STREAM, Stages
from tests.harness.stages import add as send
from tests.harness.waiting import wait_for

__all__ = ["book", "redis_server"]

one_replica = served()
KEY = "otto:scale:events:ottoscaler:dedup:k"


def keyed(book: Book, key: str = "k", **more: Any) -> ScaleUp:
    return replace(add(book, **more), dedup_key=key)


def again(ledger: Ledger, event: ScaleUp) -> Taken:
    taken = take(ledger, event)
    assert taken.record is None
    return taken


def test_second_event_with_a_key_runs_nothing_and_tells_the_first_ones_id(one_replica: Sandbox) -> None:
    place = one_replica
    first = place.send("scale_up", pod_count=2, dedup_key="build-17", command="true", branch="main")
    assert place.wait_event(first)["status"] == "succeeded"
    second = place.send(
        "scale_up", pod_count=2, dedup_key="build-17", command="true", branch="main", task_id="t"
    )
    other = place.send("scale_up", pod_count=1, dedup_key="build-18", command="true")
    told = place.wait_event(second)
    assert int(told.pop("duration_ms")) < 60_000
    assert told == {
        "kind": "event",
        "event_id": second,
        "task_id": "t",
        "type": "scale_up",
        "status": "duplicate",
        "pod_count": "2",
        "succeeded": "0",
        "failed": "0",
        "cancelled": "0",
        "metadata": '{"branch":"main"}',
        "of": first,
    }
    assert place.wait_event(other)["status"] == "succeeded"
    assert {e["event_id"] for e in place.results("worker")} == {first, other}
    place.wait_nothing_pending()
    log = "".join(replica.log() for replica in place.replicas)
    assert f"event {first} bore its dedup_key" in log


def test_bad_and_expired_events_bear_no_key(one_replica: Sandbox) -> None:
    place = one_replica
    for wrong, why in (
        ({"cpu": "much"}, "cpu: invalid value"),
        ({"expires_at": "1000.5"}, "expired: expires_at=1000.5 is over"),
        ({"profile": "unknown"}, "unknown profile"),
    ):
        bad = place.send("scale_up", pod_count=1, dedup_key="k", command="true", **wrong)
        assert why in place.wait_dead(bad)["error"]
    assert not place.redis.exists(KEY)
    good = place.send("scale_up", pod_count=1, dedup_key="k", command="true")
    assert place.wait_event(good)["status"] == "succeeded"
    down = place.send("scale_down", task_id="t", dedup_key="k")
    assert "dedup_key: not supported; only a scale_up" in place.wait_dead(down)["error"]
    long = place.send("scale_up", pod_count=1, dedup_key="x" * 257)
    assert "dedup_key: invalid value" in place.wait_dead(long)["error"]


def test_events_of_a_script_that_forgot_to_set_its_variable_are_not_taken_for_one(book: Book) -> None:
    stages = Stages(book)
    unset = [send(book, pod_count=1, dedup_key="") for _ in range(2)]
    for _ in range(2):
        stages.listener.step(0.0)
    assert stages.known() == unset
    assert not book.redis.exists(f"{STREAM}:ottoscaler:dedup:")


def test_producer_that_sends_each_event_thrice_from_two_replicas_runs_each_once(one_replica: Sandbox) -> None:
    place = one_replica
    place.start()
    ids = [place.send("scale_up", pod_count=1, dedup_key=f"key-{i % 10}", command="true") for i in range(30)]
    ended = [place.wait_event(event_id) for event_id in ids]
    ran = [e["event_id"] for e in ended if e["status"] == "succeeded"]
    assert len(ran) == 10
    assert sorted(e["event_id"] for e in place.results("worker") if e["event_id"] in ids) == sorted(ran)
    assert {e["of"] for e in ended if e["status"] == "duplicate"} == set(ran)
    wait_for(lambda: not place.kube.pods(), "no Pod is left")


def test_client_whose_add_got_no_answer_sends_again_and_waits_for_the_first(one_replica: Sandbox) -> None:
    place = one_replica
    before = len(place.results("event"))
    proxy = Proxy(place.redis_server.port, redis_protocol())
    with Client(f"redis://127.0.0.1:{proxy.port}/0") as client:
        proxy.cut_after_sending("XADD", 2)
        event_id = client.scale_up(1, command="true", metadata={"labels": "nightly"})
        ended = client.wait(event_id, timeout=30)
        assert ended.status == "succeeded"
        assert ended.event_id != event_id
        assert ended.metadata == {"labels": "nightly"}
        wait_for(lambda: len(place.results("event")) == before + 3, "the second duplicate is told, too")
        told = sorted(e["status"] for e in place.results("event")[before:])
        assert told == ["duplicate", "duplicate", "succeeded"]
        proxy.cut_after_sending("XADD")
        with pytest.raises(OutcomeUnknown):
            client.scale_down(task_id="t")  # it can have no dedup_key
    proxy.close()


def test_first_that_is_delivered_again_or_taken_over_is_no_duplicate_of_itself(book: Book) -> None:
    ledger, event = book.ledger(), keyed(book)
    read(book)
    assert take(ledger, event).how == "taken"
    assert take(ledger, event).how == "mine"
    assert take(book.ledger("b"), event).how == "owned"
    ledger.release([(event.event_id, 1)])
    assert take(book.ledger("b"), event).how == "taken"
    assert again(ledger, keyed(book)).detail == event.event_id


def test_of_two_that_two_replicas_read_at_once_the_one_taken_first_runs_whichever_was_added_first(
    book: Book,
) -> None:
    ledger, one, other = book.ledger(), keyed(book), keyed(book)
    read(book)
    assert take(book.ledger("b"), other).how == "taken"
    told = again(ledger, one)
    assert (told.how, told.detail) == ("duplicate", other.event_id)
    assert [(e["event_id"], e["of"]) for e in book.results("event")] == [(one.event_id, other.event_id)]


def test_duplicate_that_is_delivered_again_is_told_once(book: Book) -> None:
    ledger, first, second = book.ledger(), keyed(book), keyed(book)
    read(book)
    take(ledger, first)
    assert (again(ledger, second).how, again(ledger, second).how) == ("duplicate", "done")
    assert again(book.ledger("b"), second).how == "done"
    assert [e["of"] for e in book.results("event")] == [first.event_id]
    assert book.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 1
    # Else it would be missed, and told as an entry that was removed unread.
    assert book.redis.hget("otto:scale:events:ottoscaler:account", "taken") == "2"


def test_key_is_borne_for_the_retention_time_from_the_take_and_duplicates_do_not_renew_it(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book)
    take(ledger, first)
    assert 86_300_000 < book.redis.pttl(KEY) <= 86_400_000
    book.redis.pexpire(KEY, 5000)
    again(ledger, keyed(book))
    take(ledger, first)
    assert book.redis.pttl(KEY) <= 5000
    book.redis.pexpire(KEY, 1)
    wait_for(lambda: not book.redis.exists(KEY), "the key has expired")
    assert take(ledger, keyed(book)).how == "taken"


def test_key_outlives_the_first_ones_end_and_its_ledger(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book, count=1)
    read(book)
    take(ledger, first)
    ledger.record(begin(ledger, first, 0), 1, "uid-0-0", DONE)
    assert ledger.upkeep.expire(0, 100, 0).ledgers == 1
    ledger.upkeep.bound(0, 0, 100, "0")
    assert again(ledger, keyed(book)).detail == first.event_id
    assert take(ledger, first).how == "done"


def test_duplicate_is_told_as_one_though_it_has_expired_or_its_task_was_cancelled(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book)
    take(ledger, first)
    late = replace(keyed(book), expires_at=1.0)
    unread = keyed(book)
    take(ledger, add_down(book, task="t"))
    assert again(ledger, late).how == "duplicate"
    assert again(ledger, unread).how == "duplicate"


def test_event_given_up_after_it_was_taken_bears_its_key_no_longer(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book)
    read(book)
    record = take(ledger, first).record
    assert record is not None
    ledger.poison(record, "given up")
    assert take(ledger, keyed(book)).how == "taken"
    third = keyed(book, key="k3")
    read(book)
    take(ledger, third)
    ledger.release([(third.event_id, 1)])
    assert ledger.dead_letter(third.event_id, "unreadable", [(b"a", b"b")])
    assert take(ledger, keyed(book, key="k3")).how == "taken"


def test_given_up_event_leaves_the_key_to_another_that_bears_it_by_now(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book)
    record = take(ledger, first).record
    assert record is not None
    book.redis.delete(KEY)
    second = keyed(book)
    take(ledger, second)
    ledger.poison(record, "given up")
    assert again(ledger, keyed(book)).detail == second.event_id


def test_key_is_written_anew_where_redis_was_emptied(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book)
    take(ledger, first)
    book.redis.flushall()
    ledger.identity.join(ledger.join_installation("other"))
    assert ledger.reseed(first, b"[]", 7, {0: "s:0:uid-0-0"}) == ""
    assert again(ledger, keyed(book)).detail == first.event_id


def test_key_that_another_event_took_in_an_emptied_redis_stays_with_that_one(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book)
    take(ledger, first)
    book.redis.flushall()
    ledger.identity.join(ledger.join_installation("other"))
    second = keyed(book)
    take(ledger, second)
    assert ledger.reseed(first, b"[]", 7, {0: "s:0:uid-0-0"}) == ""
    assert again(ledger, keyed(book)).detail == second.event_id


def test_any_text_may_be_a_key(book: Book) -> None:
    ledger = book.ledger()
    for key in ("a b", "{x}", "日" * 256, "k\x00\n", "*"):
        first = keyed(book, key=key)
        assert take(ledger, first).how == "taken"
        assert again(ledger, keyed(book, key=key)).detail == first.event_id


def test_first_whose_ledger_an_operator_deleted_is_no_duplicate_of_itself(book: Book) -> None:
    ledger, first = book.ledger(), keyed(book)
    read(book)
    take(ledger, first)
    book.redis.delete(f"otto:scale:events:ottoscaler:event:{first.event_id}")
    assert take(ledger, first).how == "taken"
