"""Starting with Redis or the API server away, and what the probes say of it."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from tests.harness.cluster_state import FOREVER, local_only, phases
from tests.harness.proxy import Proxy
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import stays, wait_for

SLOW_REDIS_SECONDS = 10.0  # the listener begins a long step at once
# The real service, whose DNS is away: the system's resolver hangs for a minute.
NO_DNS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
import socket, time
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: (
    time.sleep(60) if host == "redis.nowhere" else look_up(host, *rest, **more)
)
from ottoscaler.cli.main import run
run(["run"])
"""
MANY_LINES = 40  # in a few seconds: what no operator would read


def unready_parts(replica: Replica) -> set[str]:
    """The conditions that /readyz calls not met; empty where it says 200."""
    status, body = replica.get("/readyz")
    if status != 503:
        return set()
    report: dict[str, Any] = json.loads(body)
    return {name for name, part in report["conditions"].items() if not part["ok"]}


def is_alive(replica: Replica) -> bool:
    return replica.process.poll() is None and replica.get("/healthz")[0] == 200


def test_while_dns_is_away_every_thread_goes_on_and_says_why(place: Sandbox) -> None:
    replica = place.start(ready=False, program=("-c", NO_DNS), REDIS_URL="redis://redis.nowhere:6379/0")
    wait_for(lambda: len(replica.lines(action="heartbeat_failed")) > 1, "it has tried again")
    said = replica.lines(action="heartbeat_failed")[0]["message"]
    assert "the name redis.nowhere was not resolved within 2 s" in said
    assert is_alive(replica)
    assert replica.stop() == 0


def test_it_waits_for_a_redis_that_is_not_there_at_its_start(place: Sandbox) -> None:
    place.redis_server.stop()
    replica = place.start(ready=False)
    wait_for(lambda: "redis" in unready_parts(replica), "it is not ready for want of Redis")
    wait_for(lambda: replica.lines(action="heartbeat_failed"), "it says what it waits for")
    said = replica.lines(action="heartbeat_failed")[0]["message"]
    assert said.startswith(f"not registered yet: tried Redis at {place.redis_server.url}: ")
    assert said.endswith("Connection refused. Is it running, and is it reachable from here? Check REDIS_URL.")
    stays(lambda: is_alive(replica), "it is not well while Redis is away", 1.5)
    assert 1 <= len(replica.log().splitlines()) < MANY_LINES
    assert "Traceback" not in replica.log()
    place.redis_server.start()
    replica.wait_ready(8)
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"


def test_a_signal_ends_a_start_that_waits_for_redis(place: Sandbox) -> None:
    place.redis_server.stop()
    replica = place.start(ready=False, OTTO_SHUTDOWN_GRACE_SECONDS="600")
    wait_for(lambda: replica.lines(action="heartbeat_failed"), "it waits for Redis")
    replica.send(signal.SIGTERM)
    assert replica.wait() == 0


@local_only
def test_it_waits_for_an_api_server_that_is_not_there_at_its_start(place: Sandbox) -> None:
    assert place.cluster is not None
    place.cluster.faults.go_away("refused")
    replica = place.start(ready=False)
    event_id = place.scale_up(1)
    wait_for(lambda: unready_parts(replica) == {"watch"}, "it is not ready for want of Kubernetes")
    said = replica.lines(action="watch_failed")[0]["message"]
    assert "the Pod watch cannot be opened: tried http://127.0.0.1:" in said
    assert "Connection refused. Is it running, and is the address in KUBECONFIG (" in said
    stays(lambda: is_alive(replica), "it is not well while Kubernetes is away", 1.5)
    assert 1 <= len(replica.log().splitlines()) < MANY_LINES
    assert "Traceback" not in replica.log()
    place.cluster.faults.come_back()
    replica.wait_ready(8)
    assert place.wait_event(event_id)["status"] == "succeeded"


def test_a_redis_that_hangs_turns_readiness_red_but_not_health(place: Sandbox) -> None:
    replica = place.start()
    event_id = place.scale_up(1, run_seconds=FOREVER)
    place.wait_workers(event_id, "Running", 1)
    place.redis_server.freeze()
    try:
        wait_for(lambda: {"redis", "lease"} <= unready_parts(replica), "it is not ready", 12)
        assert is_alive(replica)
    finally:
        place.redis_server.thaw()
    replica.wait_ready(8)
    assert phases(place, event_id) == {0: "Running"}
    assert place.wait_event(place.scale_up(1))["status"] == "succeeded"


def test_a_redis_that_answers_each_command_late_never_turns_health_red(place: Sandbox) -> None:
    """Several commands a step, each 0.9 s late: more than the 7 s between two signs of life here."""
    place.bounds["telemetry.health.STALL_SECONDS"] = 7.0
    proxy = Proxy(place.redis_server.port)
    try:
        replica = place.start(program=(), REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        place.wait_event(place.scale_up(1))
        proxy.slow(0.9)
        for _ in range(8):
            place.scale_up(1, run_seconds=FOREVER)
        place.send("scale_down", pod_count=4)
        stays(lambda: is_alive(replica), "it is not well while Redis is slow", SLOW_REDIS_SECONDS)
    finally:
        proxy.close()


@local_only
def test_an_api_server_that_goes_turns_readiness_red_but_not_health(place: Sandbox) -> None:
    assert place.cluster is not None
    replica = place.start()
    event_id = place.scale_up(1, run_seconds=3)
    place.wait_workers(event_id, "Running", 1)
    place.cluster.faults.go_away("refused")
    wait_for(lambda: "watch" in unready_parts(replica), "it is not ready", 8)
    assert is_alive(replica)
    place.cluster.faults.come_back()
    replica.wait_ready(8)
    assert place.wait_event(event_id)["status"] == "succeeded"
    assert [w["attempt"] for w in place.workers(event_id)] == ["0"]


def test_a_wrong_password_is_tried_again_and_never_shown(place: Sandbox) -> None:
    url = place.redis_server.url.replace("redis://", "redis://:not-for-logs-71@")
    replica = place.start(ready=False, REDIS_URL=url)
    wait_for(lambda: replica.lines(action="heartbeat_failed"), "it says that Redis refuses")
    assert is_alive(replica)
    assert "redis" in unready_parts(replica)
    assert "not-for-logs-71" not in replica.log()
    replica.send(signal.SIGTERM)
    assert replica.wait(8) == 0
    assert "not-for-logs-71" not in replica.log()


def test_an_unknown_setting_is_warned_about(place: Sandbox) -> None:
    replica = place.start(OTTO_MAX_WORKER="3")
    (warning,) = [w for w in replica.lines(action="settings_warning") if "OTTO_MAX_WORKER" in w["message"]]
    assert "OTTO_MAX_WORKERS" in warning["message"]


def test_a_thawed_replica_is_well_again_and_serves_on(place: Sandbox) -> None:
    replica = place.start(OTTO_LEASE_SECONDS="1")
    event_id = place.scale_up(1, run_seconds=3)
    place.wait_workers(event_id, "Running", 1)
    replica.freeze()
    beats = place.redis.hget("otto:scale:events:ottoscaler:replica:replica-0", "beat")
    stays(lambda: os.path.exists(f"/proc/{replica.pid}"), "it is gone", 1.5)
    assert place.redis.hget("otto:scale:events:ottoscaler:replica:replica-0", "beat") == beats
    replica.thaw()
    replica.wait_ready(5)
    assert replica.get("/healthz")[0] == 200
    assert place.wait_event(event_id)["status"] == "succeeded"
