"""SIGTERM and SIGINT, as an orchestrator and a person send them (docs/reliability.md)."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import certifi
import pytest

from ottoscaler.local.ports import free_port
from tests.harness.cluster_state import (
    FOREVER,
    NEVER_STARTS,
    deleting,
    ledger,
    local_only,
    phases,
    process_alive,
)
from tests.harness.kubeconfigs import kubeconfig
from tests.harness.proxy import ProxyAction
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import behind_proxy, end_workers, lose_pods, owner, paused, running
from tests.harness.waiting import stays, wait_for

# The real service. Its read of the stream lasts for ten minutes, unless somebody ends it or something comes.
LONG_READS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
from ottoscaler import wiring
from ottoscaler.controller.stream_reader import StreamReader
make = StreamReader.__init__
StreamReader.__init__ = lambda self, stream, poll_seconds, metrics: make(self, stream, 600.0, metrics)
wiring.READ_ANSWER_SECONDS = 660.0
from ottoscaler.cli.main import run
run(["run"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_replica_stops_within_a_moment(place: Sandbox, number: int) -> None:
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="600", program=("-c", LONG_READS))
    replica.send(number)
    assert replica.wait() == 0, replica.log()[-4000:]
    assert not replica.lines(action="thread_stuck")
    # It left the group too, so nobody waits for its lease to run out.
    assert not place.redis.smembers("otto:scale:events:ottoscaler:replicas")


def test_no_temporary_file_with_a_certificate_or_key_outlives_the_service(place: Sandbox) -> None:
    """The Kubernetes client makes them of a kubeconfig's inline data, and deletes them in an exit handler."""
    inline = {"certificate-authority-data": base64.b64encode(Path(certifi.where()).read_bytes()).decode()}
    config, temporary = place.directory / "inline.kubeconfig", place.directory / "temporary"
    config.write_text(kubeconfig({"server": "https://127.0.0.1:1", **inline}))
    temporary.mkdir()
    replica = place.start(ready=False, KUBECONFIG=config, TMPDIR=temporary)
    wait_for(lambda: replica.lines(action="watch_failed"), "it has read the kubeconfig")
    assert list(temporary.iterdir())
    assert replica.stop() == 0
    assert not list(temporary.iterdir())


def test_a_signal_before_the_service_is_up_stops_it(place: Sandbox) -> None:
    replica = place.start(ready=False)
    replica.send(signal.SIGTERM)
    # Python itself may not be there yet; then the signal ends it as any process.
    assert replica.wait(8) in (0, -signal.SIGTERM)
    replica = place.start("later", ready=False)
    wait_for(lambda: "SigBlk" in blocked(replica.pid), "the signals are blocked", 5)
    replica.send(signal.SIGTERM)
    assert replica.wait(8) == 0
    assert "Traceback" not in replica.log()


def blocked(pid: int) -> str:
    """'SigBlk' once SIGTERM and SIGINT are blocked in the process's main thread."""
    mask = re.search(r"SigBlk:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    assert mask is not None
    wanted = (1 << (signal.SIGTERM - 1)) | (1 << (signal.SIGINT - 1))
    return "SigBlk" if int(mask.group(1), 16) & wanted == wanted else ""


def test_a_stop_begins_nothing_more_and_waits_for_running_workers(place: Sandbox) -> None:
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="60")
    at_work = running(place)
    replica.send(signal.SIGTERM)
    wait_for(lambda: replica.lines(action="stopping"), "it stops")
    late = place.scale_up(1)
    # The read that is still open may hand it out once more; then it is let go of again, and nothing begins.
    wait_for(lambda: not ledger(place, late).get("owner"), "the late event has no owner", 2)
    end_workers(place, at_work)
    assert replica.wait(10) == 0
    assert place.wait_event(at_work, 1)["status"] == "succeeded"
    assert not place.kube.workers(late)
    place.start()
    assert place.wait_event(late)["status"] == "succeeded"
    assert [worker["attempt"] for worker in place.workers(late)] == ["0"]


def test_an_entry_that_the_open_read_hands_out_after_a_stop_is_handed_over_at_once(place: Sandbox) -> None:
    proxy, through = behind_proxy(place)
    read = threading.Event()

    def hold_the_end_of_the_read(call: str) -> ProxyAction:
        if call.startswith("CLIENT") and stopping.is_set():
            read.wait(60)
        return ProxyAction.PASS

    stopping = threading.Event()
    try:
        replica = place.start("first", OTTO_SHUTDOWN_GRACE_SECONDS="60", OTTO_POLL_SECONDS="10", **through)
        at_work = running(place)
        proxy.decide = hold_the_end_of_the_read
        stopping.set()
        replica.send(signal.SIGTERM)
        wait_for(lambda: replica.lines(action="stopping"), "it stops")
        late = place.scale_up(1)

        def delivered() -> bool:
            groups = place.redis.xinfo_groups("otto:scale:events")
            return bool(groups[0]["last-delivered-id"] == late)

        wait_for(delivered, "the open read has handed it out")
        read.set()
        place.start("second")
        assert place.wait_event(late, 15)["status"] == "succeeded"
        assert replica.process.poll() is None, "it still waits for its running worker"
        assert owner(place, at_work) == "first"
        end_workers(place, at_work)
        assert replica.wait(10) == 0
        assert place.wait_event(at_work)["status"] == "succeeded"
    finally:
        read.set()
        proxy.close()


def test_workers_past_the_grace_are_left_running_and_adopted_by_the_next_replica(place: Sandbox) -> None:
    # Whoever waited for a lease would wait for longer than this test does.
    lease = "120"
    first = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="3", OTTO_MAX_WORKERS="2", OTTO_LEASE_SECONDS=lease)
    event_id = running(place, 2)
    pods = place.kube.workers(event_id)
    waiting = place.scale_up(1)
    wait_for(lambda: ledger(place, waiting), "the second event is in hand")
    begun = time.monotonic()
    first.send(signal.SIGTERM)
    # What has no running worker is handed over at once, not at the end of the grace.
    wait_for(lambda: ledger(place, waiting)["owner"] == "", "the waiting event is handed over")
    assert first.wait() == 0
    assert [each["event_id"] for each in first.lines(action="event_handed_over")] == [waiting, event_id]
    assert time.monotonic() - begun > 2.9
    assert phases(place, event_id) == {0: "Running", 1: "Running"}
    assert not deleting(place, event_id)
    assert place.pending() == 2
    second = place.start(OTTO_LEASE_SECONDS=lease)
    wait_for(lambda: second.lines(action="event_taken_over", event_id=event_id), "it is taken over")
    end_workers(place, event_id)
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert {w["pod"] for w in place.workers(event_id)} == {p["metadata"]["name"] for p in pods}
    assert {w["attempt"] for w in place.workers(event_id)} == {"0"}
    assert place.wait_event(waiting)["status"] == "succeeded"
    place.wait_nothing_pending()


def test_a_stop_waits_for_no_event_whose_pods_are_all_pending(place: Sandbox) -> None:
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="600")
    pending = place.scale_up(2, env=NEVER_STARTS)
    mixed = running(place)
    pods = place.wait_workers(pending, "Pending", 2)
    replica.send(signal.SIGTERM)
    wait_for(lambda: ledger(place, pending)["owner"] == "", "what does not run is handed over at once", 2)
    end_workers(place, mixed)
    assert replica.wait(10) == 0
    assert place.wait_event(mixed, 1)["status"] == "succeeded"
    next_one = place.start()
    wait_for(lambda: next_one.lines(action="pod_adopted", event_id=pending), "its Pods are adopted", 3.0)
    assert {p["metadata"]["uid"] for p in place.kube.workers(pending)} == {p["metadata"]["uid"] for p in pods}
    assert place.pending() == 1


@pytest.mark.parametrize("second_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_skips_the_wait(place: Sandbox, second_signal: int) -> None:
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="600")
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_workers(event_id, "Running", 1)
    replica.send(signal.SIGTERM)
    wait_for(lambda: replica.lines(action="stopping"), "it stops")
    stays(lambda: process_alive(replica.pid) and replica.process.poll() is None, "it did not wait", 0.5)
    replica.send(second_signal)
    assert replica.wait() == 0
    assert phases(place, event_id) == {0: "Running"}
    assert ledger(place, event_id)["owner"] == ""
    assert place.pending() == 1


def test_a_stop_while_a_worker_waits_for_its_next_attempt_hands_it_over_at_once(place: Sandbox) -> None:
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="600")
    event_id = running(place)
    with paused(place):  # or the retry might begin before it is seen to be planned
        lose_pods(place, event_id)
        wait_for(lambda: ledger(place, event_id)["i:0"].startswith("w:1:"), "the retry is planned")
        assert replica.stop() == 0
    place.start(OTTO_SHUTDOWN_GRACE_SECONDS="0")
    again = place.wait_workers(event_id, "Running", 1)[0]
    assert again["metadata"]["labels"]["ottoscaler.io/attempt"] == "1"


@pytest.mark.parametrize("how", ["stopped", "hanging", "hanging from now on"])
def test_a_stop_with_redis_away_keeps_its_grace_period(place: Sandbox, how: str) -> None:
    """A call that hangs would take 3 s, and a stop makes several: it gives one up, and makes no other."""
    grace = "0.2" if how == "hanging from now on" else "2"  # no heartbeat can notice it in this time
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS=grace)
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_workers(event_id, "Running", 1)
    if how == "stopped":
        place.redis_server.stop()
    else:
        place.redis_server.freeze()
    if how != "hanging from now on":
        wait_for(lambda: replica.get("/readyz")[0] == 503, "it sees that Redis is away")
    replica.send(signal.SIGTERM)
    assert replica.wait() == 0, replica.log()[-4000:]
    assert not replica.lines(action="thread_stuck")
    assert replica.lines(action="handover_failed", level="ERROR")
    if how != "stopped":
        place.redis_server.thaw()
    assert phases(place, event_id) == {0: "Running"}


@local_only
def test_a_stop_abandons_workers_whose_requests_hang_and_hands_their_event_over(place: Sandbox) -> None:
    """A create may take 60 s, and cannot be cut."""
    assert place.cluster is not None
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="0.2")
    place.cluster.faults.hang("create", "/pods", times=None)
    event_id = place.scale_up(3, run_seconds=FOREVER)
    wait_for(lambda: replica.metric("ottoscaler_workers") == 3, "its creates hang")
    wait_for(lambda: ledger(place, event_id).get("begun") == "3", "all of them")
    assert replica.stop() == 0
    (left,) = replica.lines(action="workers_left")
    assert left["message"].startswith("3 workers still wait for an answer")
    assert ledger(place, event_id)["owner"] == ""
    assert not replica.lines(action="thread_stuck")
    assert not replica.lines(action="handover_failed")


@local_only
def test_a_stop_with_a_hanging_api_server_ends_by_itself(place: Sandbox) -> None:
    assert place.cluster is not None
    replica = place.start(OTTO_SHUTDOWN_GRACE_SECONDS="1")
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_workers(event_id, "Running", 1)
    place.cluster.faults.go_away("hanging")
    place.cluster.faults.cut_watches()
    wait_for(lambda: replica.lines(action="watch_restarted"), "the watch is opened anew")
    replica.send(signal.SIGTERM)
    assert replica.wait() == 0
    assert ledger(place, event_id)["owner"] == ""
    assert not replica.lines(action="thread_stuck")
    place.cluster.faults.come_back()
    assert phases(place, event_id) == {0: "Running"}


def new_pid_namespace() -> list[str]:
    """The command before a command that is to be PID 1; empty where this machine permits none."""
    for more in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *more, "--pid", "--fork", "--mount-proc"]
        try:
            if (
                subprocess.run([*command, "true"], capture_output=True, timeout=10, check=False).returncode
                == 0
            ):
                return command
        except OSError:
            return []
    return []


AS_PID_1 = new_pid_namespace()

if AS_PID_1:

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_as_pid_1_it_serves_and_a_signal_stops_it(place: Sandbox, number: int) -> None:
        log = place.directory / "pid1.log"
        env = place.environment(OTTO_HTTP_PORT=free_port(), REDIS_CONSUMER="init")
        with log.open("wb") as out:
            command = [*AS_PID_1, sys.executable, "-m", "ottoscaler"]
            process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
        try:
            assert place.wait_event(place.scale_up(1))["status"] == "succeeded"
            inner = child(process.pid)
            assert (
                Path(f"/proc/{inner}/status").read_text().split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
            )
            os.kill(inner, number)
            assert process.wait(30) == 0
        finally:
            subprocess.run(["kill", "-9", *children(process.pid)], check=False, capture_output=True)
            process.kill()
            process.wait()


def children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def child(pid: int) -> int:
    return int(children(pid)[0])


def test_a_stop_that_comes_just_before_the_read_blocks_ends_it_too(place: Sandbox) -> None:
    proxy, through = behind_proxy(place)
    held = threading.Event()
    armed = threading.Event()

    def unblocked() -> int:
        stats = place.redis.info("commandstats")
        return int(stats.get("cmdstat_client|unblock", {"calls": 0})["calls"])

    def hold_the_read(call: str) -> ProxyAction:
        if call == "XREADGROUP" and armed.is_set() and not held.is_set():
            held.set()
            wait_for(unblocked, "the first try to end the read is over before it blocks", 20)
        return ProxyAction.PASS

    try:
        # A read that nobody ends lasts far longer than any stop may, also on a busy machine.
        replica = place.start(program=("-c", LONG_READS), **through)
        proxy.decide = hold_the_read
        wait_for(lambda: place.redis.info("clients")["blocked_clients"] == 1, "its read blocks")
        armed.set()
        place.redis.xadd("otto:scale:events", {"type": "nonsense"})  # ends the read that is blocked now
        assert held.wait(30)
        assert replica.stop() == 0, replica.log()[-4000:]
        assert unblocked() > 1
    finally:
        proxy.close()
