"""Redis is away, broken or empty: running workers run on, and work goes on within 5 s of its return."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
import redis

from tests.harness.cluster_state import ledger
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import (
    LEASE,
    SWEPT_OFTEN,
    behind_proxy,
    end_workers,
    ends_well,
    name_of,
    running,
    uids,
    wait_owner,
    warnings,
)
from tests.harness.waiting import stays, wait_for

RECOVERY_SECONDS = 5.0  # issue 3: after Redis's return
AWAY_SECONDS = 1.0
FEW_LINES = 20  # warnings of one replica in one short outage


def survives(place: Sandbox, event_id: str, before: set[str]) -> None:
    """The event's workers have run on through it, and the service is well again in time."""
    wait_for(place.replicas[-1].ready, "ready again", RECOVERY_SECONDS + 1)
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    ends_well(place, event_id, len(before))
    ends_well(place, place.scale_up())


def test_killed_redis_comes_back_from_its_append_only_file_and_nothing_is_lost(place: Sandbox) -> None:
    replica = place.start()
    event_id = running(place, 2)
    before = uids(place, event_id)
    place.redis_server.kill()
    stays(lambda: replica.process.poll() is None, "the service waits", AWAY_SECONDS)
    assert replica.get("/healthz")[0] == 200, "Redis away is no reason to be restarted"
    assert replica.get("/readyz")[0] == 503
    end_workers(place, event_id)
    assert uids(place, event_id) == before, "no Pod is deleted before its result is durable"
    place.redis_server.start()
    assert place.wait_event(event_id, RECOVERY_SECONDS + 1)["status"] == "succeeded"
    ends_well(place, event_id, 2)
    assert warnings(replica) <= FEW_LINES, replica.log()


def test_worker_in_flight_at_the_time_of_a_backup_keeps_its_pod_after_the_restore(place: Sandbox) -> None:
    replica = place.start("one")
    event_id = running(place)
    before = uids(place, event_id)
    backup = {key: place.redis.dump(key) for key in place.redis.scan_iter()}
    replica.kill()
    place.redis.flushall()
    for key, value in backup.items():
        place.redis.restore(key, 0, value)
    place.start("one")
    assert uids(place, event_id) == before
    end_workers(place, event_id)
    assert place.wait_event(event_id, 30)["status"] == "succeeded"
    assert [(w["attempt"], w["status"]) for w in place.workers(event_id)] == [("0", "succeeded")]
    wait_for(lambda: not place.kube.pods(), "no Pod is left")


@pytest.mark.parametrize("killed", [False, True])
def test_retry_that_a_failover_lost_keeps_its_pod_and_is_told(place: Sandbox, killed: bool) -> None:
    """The new master knows only the attempt before, whose Pod has gone."""
    replica = place.start("one", OTTO_LEASE_SECONDS=LEASE)
    event_id = running(place, max_retries=2)
    backup = {key: place.redis.dump(key) for key in place.redis.scan_iter()}
    place.kube.delete_pod(name_of(event_id), grace=0)
    wait_for(
        lambda: ledger(place, event_id).get("i:0", "").startswith("s:1:") and uids(place, event_id), "retry"
    )
    place.wait_workers(
        event_id, "Running", 1
    )  # a node that starts it would overwrite the end that is written below
    before = uids(place, event_id)
    if killed:
        replica.kill()
    with place.redis.pipeline() as back:
        back.flushall()
        for key, value in backup.items():
            back.restore(key, 0, value)
        back.execute()
    if killed:
        place.start("one", OTTO_LEASE_SECONDS=LEASE)
    end_workers(place, event_id)
    assert place.wait_event(event_id, 30)["status"] == "succeeded"
    assert [(w["attempt"], w["status"]) for w in place.workers(event_id)] == [("1", "succeeded")]
    assert len(before) == 1
    place.wait_no_pods()


def test_half_open_connections_are_given_up_and_made_anew(place: Sandbox) -> None:
    proxy, through = behind_proxy(place)
    place.start(**through)
    event_id = running(place)
    before = uids(place, event_id)
    proxy.swallow_replies()
    late = place.scale_up()
    stays(lambda: not place.results("event", late), "nothing comes back", AWAY_SECONDS)
    proxy.flow()
    place.wait_event(late, RECOVERY_SECONDS + 1)
    survives(place, event_id, before)
    proxy.close()


@pytest.mark.parametrize("nonsense", [b":7\r\n", b"+OK\r\n", b"*1\r\n*1\r\n$1\r\nx\r\n"])
def test_replies_of_a_wrong_shape_are_an_outage_and_end_no_thread(place: Sandbox, nonsense: bytes) -> None:
    proxy, through = behind_proxy(place)
    replica = place.start(**through)
    event_id = running(place)
    before = uids(place, event_id)
    proxy.answer(nonsense)
    late = place.scale_up()
    wait_for(lambda: replica.get("/readyz")[0] == 503, "it is told", RECOVERY_SECONDS)
    stays(lambda: replica.process.poll() is None, "the service waits", AWAY_SECONDS)
    assert "a proxy or another program may be in its place" in replica.log()
    proxy.answer(b"")
    place.wait_event(late, RECOVERY_SECONDS + 1)
    survives(place, event_id, before)
    proxy.close()


def test_each_step_survives_a_connection_cut_after_its_command_was_sent(place: Sandbox) -> None:
    proxy, through = behind_proxy(place)
    place.start(**through)
    ends_well(place, place.scale_up())  # Redis knows the scripts now
    for call in ("XREADGROUP", "EVALSHA take", "EVALSHA start", "EVALSHA created", "EVALSHA record"):
        proxy.cut_after_sending(call, 2)
    event_id = place.scale_up(3)
    ends_well(place, event_id, 3)
    proxy.close()


def test_commands_that_hang_delay_but_lose_nothing(place: Sandbox) -> None:
    proxy, through = behind_proxy(place)
    place.start(**through)
    event_id = running(place)
    before = uids(place, event_id)
    proxy.hang()
    stays(lambda: uids(place, event_id) == before, "the worker runs on", AWAY_SECONDS)
    proxy.flow()
    survives(place, event_id, before)
    proxy.close()


def test_emptied_redis_kills_no_worker_and_what_is_known_is_reported(place: Sandbox) -> None:
    replica = place.start(OTTO_LEASE_SECONDS=LEASE)
    event_id = running(place, 2)
    before = uids(place, event_id)
    place.redis.flushall()
    wait_for(lambda: replica.lines(action="redis_emptied"), "it is noticed", 5)
    wait_for(lambda: ledger(place, event_id).get("state") == "open", "the ledger is written anew", 5)
    wait_for(lambda: place.redis.exists("otto:scale:events"), "the group is made anew", 5)
    survives(place, event_id, before)


def test_pods_whose_owner_died_with_redis_are_reported_and_leak_not(place: Sandbox) -> None:
    """Nobody alive knew the event: a replica that held the installation tells it from labels."""
    place.bounds.update(SWEPT_OFTEN)
    first = place.start("first", OTTO_LEASE_SECONDS=LEASE)
    event_id = running(place, 2, task_id="build-9")
    place.start("second", OTTO_LEASE_SECONDS=LEASE)
    first.kill()
    place.redis.flushall()
    end_workers(place, event_id)
    wait_for(lambda: len(place.workers(event_id)) == 2, "both results are told", 15)
    assert {(w["status"], w["task_id"]) for w in place.workers(event_id)} == {("succeeded", "build-9")}
    for worker in place.workers(event_id):
        for moment in (worker["created_at"], worker["started_at"], worker["finished_at"]):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment), "as in every other entry"
    place.wait_no_pods()
    assert len(place.workers(event_id)) == 2


def refusing(place: Sandbox, *on: str, off: tuple[str, ...]) -> None:
    """Redis refuses in some way for a while, during which a worker ends; then everything goes on."""
    replica = place.start()
    event_id = running(place)
    before = uids(place, event_id)
    place.redis.execute_command(*on)
    end_workers(place, event_id)
    stays(lambda: uids(place, event_id) == before, "its Pod stays until the result is durable", 1.5)
    assert replica.process.poll() is None
    place.redis.execute_command(*off)
    place.wait_event(event_id, RECOVERY_SECONDS + 1)
    ends_well(place, event_id)
    ends_well(place, place.scale_up())
    assert warnings(replica) <= FEW_LINES, replica.log()


def test_full_redis_that_refuses_writes_for_a_while(place: Sandbox) -> None:
    refusing(place, "CONFIG", "SET", "maxmemory", "1", off=("CONFIG", "SET", "maxmemory", "0"))


FILLING_BYTES = 40_000  # of one event's metadata, which its ledger, its entry and its result hold


@pytest.mark.parametrize("restarted", [False, True], ids=["running on", "restarted while it is full"])
def test_full_redis_has_room_again_once_events_expire(place: Sandbox, restarted: bool) -> None:
    """Before, nothing expired while it was full, so somebody had to make room."""
    replica = place.start("one", OTTO_RETENTION_SECONDS="3600" if restarted else "4")
    filling = [place.scale_up(1, run_seconds=0.05, note="x" * FILLING_BYTES) for _ in range(20)]
    for event_id in filling:
        place.wait_event(event_id)
    used = int(place.redis.info("memory")["used_memory"])
    place.redis.config_set("maxmemory", str(used - 5 * FILLING_BYTES))
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        place.redis.set("a", "b")
    if restarted:
        assert replica.stop() == 0
        replica = place.start("one", ready=False, OTTO_RETENTION_SECONDS="1")
    wait_for(lambda: not ledger(place, filling[0]), "what has expired makes room")
    wait_for(replica.ready, "it goes on")
    ends_well(place, place.scale_up())


def test_redis_that_was_demoted_to_a_read_only_replica_for_a_while(place: Sandbox) -> None:
    refusing(place, "REPLICAOF", "127.0.0.1", "1", off=("REPLICAOF", "NO", "ONE"))


def test_wrong_password_for_a_while(place: Sandbox) -> None:
    replica = place.start()
    event_id = running(place)
    before = uids(place, event_id)
    own: Any = redis.Redis(port=place.redis_server.port, decode_responses=True)
    own.execute_command("CONFIG", "SET", "requirepass", "changed")  # our own connection stays let in
    own.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_for(lambda: not replica.ready(), "it is not ready", 5)
    stays(lambda: replica.process.poll() is None, "it waits", 1.0)
    own.execute_command("CONFIG", "SET", "requirepass", "")
    own.close()
    survives(place, event_id, before)
    assert "changed" not in replica.log()


def test_rotated_password_in_a_file_needs_no_restart(place: Sandbox) -> None:
    path = place.directory / "password"
    path.write_text("first-4711\n")
    own: Any = redis.Redis(port=place.redis_server.port, decode_responses=True)
    own.execute_command("CONFIG", "SET", "requirepass", "first-4711")  # our own connection stays let in
    replica = place.start(REDIS_PASSWORD_FILE=str(path))
    own.execute_command("CONFIG", "SET", "requirepass", "second-4711")
    own.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_for(lambda: not replica.ready(), "it is not let in", 5)
    path.write_text("second-4711\n")
    wait_for(replica.ready, "it is let in again", RECOVERY_SECONDS)
    own.execute_command("CONFIG", "SET", "requirepass", "")
    own.close()
    assert "4711" not in replica.log()


def test_many_short_cuts_lose_and_double_nothing(place: Sandbox) -> None:
    proxy, through = behind_proxy(place)
    place.start(**through)
    stop = threading.Event()

    def cut() -> None:
        for _ in range(40):  # an end, since a slow machine would get nothing done between two cuts
            if stop.wait(0.15):
                return
            proxy.cut_now()

    cutter = threading.Thread(target=cut)
    cutter.start()
    events = [place.scale_up(3, run_seconds=0.1) for _ in range(8)]
    try:
        wait_for(lambda: len(place.results("event")) == len(events), "all events end", 30)
    finally:
        stop.set()
        cutter.join()
    place.wait_no_pods()
    told = sorted((w["event_id"], w["index"]) for w in place.results("worker"))
    assert told == sorted((e, str(i)) for e in events for i in range(3))
    assert len(place.results("event")) == len(events)
    place.wait_nothing_pending()
    proxy.close()


def test_replica_that_reaches_no_redis_loses_its_events_to_one_that_does(place: Sandbox) -> None:
    """It stops creating before its lease is over, so that the other may go on safely."""
    proxy, through = behind_proxy(place)
    cut_off = place.start("cut-off", OTTO_LEASE_SECONDS=LEASE, **through)
    event_id = running(place)
    place.start("well", OTTO_LEASE_SECONDS=LEASE)
    proxy.refuse()
    wait_owner(place, event_id, "well", 2 * LEASE + 1.5)
    assert '"lease"' in cut_off.get("/readyz")[1]
    assert cut_off.get("/readyz")[0] == 503
    proxy.accept()
    wait_for(cut_off.ready, "it is back", RECOVERY_SECONDS + 1)
    end_workers(place, event_id)
    ends_well(place, event_id)
    proxy.close()
