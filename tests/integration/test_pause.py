"""A pause of the group, with two replicas."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence

import pytest

from ottoscaler.config.settings import Settings
from ottoscaler.ledger import pause
from ottoscaler.ledger.redis_client import RedisClient
from tests.harness.cluster_state import FOREVER, ledger
from tests.harness.preloaded import run
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import stays, wait_for

WITHIN_SECONDS = 10.0  # every replica knows it (2 s are promised, for a machine that is not loaded)
POLL_SECONDS = 0.2
NO_READ_SECONDS = 1.5  # so many polls without one that ended: no listener reads any more


@pytest.fixture
def place() -> Iterator[Sandbox]:
    with sandbox(OTTO_MAX_RETRIES="5", OTTO_POLL_SECONDS=str(POLL_SECONDS)) as made:
        yield made


@pytest.fixture
def client(place: Sandbox) -> Iterator[RedisClient]:
    made = RedisClient(Settings(redis_url=place.redis_server.url))
    yield made
    made.close()


def wait_known(place: Sandbox, on: bool, *replicas: Replica) -> None:
    wait_for(
        lambda: all(each.metric("ottoscaler_paused") == float(on) for each in replicas),
        f"every replica knows that paused is {on}",
        WITHIN_SECONDS,
    )
    if on:
        await_no_read(replicas)


def await_no_read(replicas: Sequence[Replica]) -> None:
    """A read that was on its way when the pause came may still take an event, so a look at who blocks
    in Redis is not enough."""
    polls: list[float] = []
    since = 0.0

    def nobody_reads() -> bool:
        nonlocal polls, since
        found = [each.metric("ottoscaler_redis_polls_total") for each in replicas]
        if found != polls:
            polls, since = found, time.monotonic()
        return time.monotonic() - since >= NO_READ_SECONDS

    wait_for(nobody_reads, "nobody reads")


def test_paused_group_begins_nothing_and_sees_to_the_end_what_runs(
    place: Sandbox, client: RedisClient
) -> None:
    """Of an event's workers two run and two wait in hand, for want of slots. In the pause one is
    lost, another event comes, and the replica is restarted: nothing begins."""
    first = place.start("first", OTTO_MAX_WORKERS=2, OTTO_SHUTDOWN_GRACE_SECONDS=0.5)
    event_id = place.scale_up(4, run_seconds=FOREVER, task_id="in hand")
    pods = place.wait_workers(event_id, "Running", 2)
    second = place.start("second")
    assert pause.pause(client)
    assert not pause.pause(client)  # it stays since when it was
    wait_known(place, True, first, second)
    names = {pod["metadata"]["name"] for pod in place.kube.workers()}
    unread = place.scale_up(1, task_id="unread")
    place.kube.delete_pod(pods[0]["metadata"]["name"], grace=0)
    wait_for(lambda: ledger(place, event_id).get("i:0", "").startswith("w:1:"), "the lost one's retry waits")

    def nothing_begins() -> bool:
        return {pod["metadata"]["name"] for pod in place.kube.workers()} <= names

    stays(nothing_begins, "a worker was begun in a pause", 2.5)
    assert ledger(place, unread) == {}
    assert place.redis.xpending("otto:scale:events", "ottoscaler")["pending"] == 1
    assert first.ready()
    assert second.ready()
    assert first.stop() == 0
    first = place.start("first")
    wait_known(place, True, first)
    stays(nothing_begins, "a restarted replica began a worker in a pause", 1.5)
    assert ledger(place, unread) == {}
    shown = run(["status", "--json"], place.environment())
    told = json.loads(shown.stdout)
    assert (told["paused"], told["paused_since"]) == (True, pause.paused_since(client))
    assert len(first.lines(action="paused")) == 2  # one of each life

    assert pause.resume(client)
    assert not pause.resume(client)
    wait_known(place, False, first, second)
    assert place.wait_event(unread)["status"] == "succeeded"
    place.wait_workers(event_id, "Running", 4)
    assert place.workers(event_id) == []


def test_workers_that_are_taken_over_in_a_pause_are_seen_to_their_end(
    place: Sandbox, client: RedisClient
) -> None:
    """One ends by itself, one is cancelled. Of one that is lost meanwhile, the retry waits."""
    first = place.start("first")
    ends = place.scale_up(1, run_seconds=4)
    others = place.scale_up(2, run_seconds=FOREVER, task_id="others")
    place.wait_workers(ends, "Running", 1)
    lost = place.wait_workers(others, "Running", 2)[0]["metadata"]
    assert pause.pause(client)
    wait_known(place, True, first)
    first.kill()
    place.kube.delete_pod(lost["name"], grace=0)
    first = place.start("first")  # the same name: it takes its events over at once
    assert place.wait_event(ends)["status"] == "succeeded"
    wait_for(
        lambda: ledger(place, others)[f"i:{lost['labels']['ottoscaler.io/index']}"].startswith("w:1:"),
        "the lost one's retry waits",
    )
    assert place.wait_event(place.send("scale_down", task_id="others"), 8)["cancelled"] == "2"
    assert place.wait_event(others)["status"] == "cancelled"
    assert first.metric("ottoscaler_paused") == 1.0
    assert not place.kube.workers()


def test_scale_downs_are_applied_in_a_pause(place: Sandbox, client: RedisClient) -> None:
    """Those of a task that runs, of one that waits in hand, and of one that nobody has read yet."""
    replica = place.start(OTTO_MAX_WORKERS=1)
    running = place.scale_up(2, run_seconds=FOREVER, task_id="one")
    place.wait_workers(running, "Running", 1)
    pause.pause(client)
    wait_known(place, True, replica)
    unread = place.scale_up(1, run_seconds=FOREVER, task_id="two")
    assert place.wait_event(place.send("scale_down", task_id="one"), 8)["cancelled"] == "2"
    assert place.wait_event(running, 5)["status"] == "cancelled"
    assert place.wait_event(place.send("scale_down", task_id="two"), 8)["status"] == "succeeded"
    wait_for(lambda: replica.metric("ottoscaler_events_in_hand") == 0, "nothing is kept in hand for it", 6)
    assert ledger(place, unread) == {}
    assert place.results("event", unread) == []
    pause.resume(client)
    assert place.wait_event(unread)["status"] == "cancelled"
    assert not place.kube.workers(unread)


def test_worker_that_could_not_be_created_before_the_pause_waits_for_its_end(
    place: Sandbox, client: RedisClient
) -> None:
    """Its attempt had begun in the ledger, and the quota kept its Pod away: that is taken back."""
    kind = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    quota = {**kind, "spec": {"hard": {"pods": "0"}}}
    path = f"/api/v1/namespaces/{place.kube.namespace}/resourcequotas"
    assert place.kube.request("POST", path, quota)[0] == 201
    replica = place.start()
    event_id = place.scale_up(1)
    wait_for(lambda: "i:0" in ledger(place, event_id), "the attempt has begun")
    pause.pause(client)
    wait_known(place, True, replica)
    wait_for(lambda: "i:0" not in ledger(place, event_id), "the attempt is taken back", 5)
    assert place.kube.request("DELETE", f"{path}/none")[0] == 200
    stays(lambda: not place.kube.workers(), "a worker was begun in a pause", 1.5)
    pause.resume(client)
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert [each["attempt"] for each in place.workers(event_id)] == ["0"]
