"""Health: a stuck or dead thread shows, conditions say which part, and the server answers whoever comes."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ottoscaler.errors import Stopping
from ottoscaler.telemetry import http
from ottoscaler.telemetry.bounded_server import CONNECTIONS
from ottoscaler.telemetry.health import STALL_SECONDS, Health, progress
from ottoscaler.telemetry.http import HttpServer
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.threads import Threads
from tests.harness.clock import Clock
from tests.harness.waiting import wait_for

SECONDS = 30.0  # for anything that a test waits for
LONG_SECONDS = 600.0  # for a silent client: nobody waits until then


def run(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join(SECONDS)


def part(report: tuple[bool, dict[str, Any]], kind: str, name: str) -> tuple[bool, str]:
    found = report[1][kind][name]
    return found["ok"], found["detail"]


def test_thread_without_progress_turns_health_red_within_15_seconds() -> None:
    clock = Clock()
    health = Health(clock=clock)
    health.beacon("listener").progress()
    health.beacon("dispatcher").progress()
    clock.now += 14.9
    assert health.healthz()[0]
    health._beacons["dispatcher"].progress()
    clock.now += 0.1
    report = health.healthz()
    assert not report[0]
    assert part(report, "threads", "listener") == (False, "no progress for 15.0 s; the limit is 15 s")
    assert part(report, "threads", "dispatcher")[0]
    health._beacons["listener"].progress()
    assert health.healthz()[0]


def test_a_round_trip_of_a_thread_is_its_progress_and_of_no_other() -> None:
    clock = Clock()
    health = Health(clock=clock)
    own, other = health.beacon("reconciler"), health.beacon("listener")
    seen: list[bool] = []

    def step() -> None:
        own.progress()
        clock.now += 14
        progress()
        clock.now += 14
        seen.extend((own.look()[0], other.look()[0]))

    run(step)
    assert seen == [True, False]
    run(progress)  # a thread without a beacon: nothing happens
    assert not other.look()[0]


def test_dead_thread_turns_health_red_at_once() -> None:
    health = Health()
    beacon = health.beacon("listener")
    run(beacon.progress)
    assert part(health.healthz(), "threads", "listener") == (False, "the thread is dead")


@pytest.mark.parametrize(
    ("error", "well"),
    [(None, True), (Stopping(), True), (RuntimeError("bug"), False)],
    ids=["return", "stop", "bug"],
)
def test_thread_that_ended_as_a_stop_asked_is_not_dead(error: Exception | None, well: bool) -> None:
    clock = Clock()
    health = Health(clock=clock)
    beacon = health.beacon("listener")

    def work() -> None:
        beacon.progress()
        if error is not None:
            raise error

    threads = Threads(lambda code: None)
    threads.start("listener", work)
    assert not threads.join("listener", seconds=SECONDS)
    clock.now += STALL_SECONDS * 2  # a stop waits long for running workers
    assert health.healthz()[0] is well


def test_thread_that_never_started_turns_health_red() -> None:
    clock = Clock()
    health = Health(clock=clock)
    health.beacon("lease")
    assert health.healthz()[0]
    clock.now += STALL_SECONDS
    assert part(health.healthz(), "threads", "lease")[1].startswith("not started for 15.0 s")


def test_readiness_names_the_part_that_is_missing() -> None:
    health = Health()
    for name in ("redis", "lease", "watch"):
        health.condition(name, lambda: (True, "well"))
    assert health.readyz()[0]
    health.condition("lease", lambda: (False, "lost 3 s ago"))
    report = health.readyz()
    assert not report[0]
    assert part(report, "conditions", "lease") == (False, "lost 3 s ago")
    assert part(report, "conditions", "redis") == (True, "well")


def test_condition_that_raises_is_not_met_and_tells_no_secret() -> None:
    def broken() -> tuple[bool, str]:
        raise RuntimeError("password hunter2")

    health = Health()
    health.condition("redis", broken)
    assert part(health.readyz(), "conditions", "redis") == (False, "internal error (RuntimeError)")


def test_redis_away_is_no_reason_to_be_restarted() -> None:
    health = Health()
    health.condition("redis", lambda: (False, "away"))
    assert health.healthz()[0]
    assert not health.readyz()[0]


# --- over HTTP


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def server(port: int, health: Health, metrics: Metrics) -> Iterator[HttpServer]:
    server = HttpServer("127.0.0.1", port, health, metrics)
    server.start()
    yield server
    server.stop()


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_probes_answer_200_or_503_with_a_body_that_says_which_part(
    server: HttpServer, port: int, health: Health
) -> None:
    health.beacon("listener").progress()
    status, body = ask(port, "/healthz")
    assert (status, json.loads(body)["threads"]["listener"]["ok"]) == (200, True)
    health.condition("redis", lambda: (False, "away"))
    status, body = ask(port, "/readyz")
    assert (status, json.loads(body)["conditions"]["redis"]["detail"]) == (503, "away")
    health.condition("redis", lambda: (True, "PING answered"))
    assert ask(port, "/readyz?verbose")[0] == 200
    run(health.beacon("listener").progress)
    status, body = ask(port, "/healthz")
    assert (status, json.loads(body)["status"]) == (503, "failing")


def test_scrape_comes_in_the_text_format(server: HttpServer, port: int, metrics: Metrics) -> None:
    metrics.workers.set(3)
    status, body = ask(port, "/metrics")
    assert status == 200
    assert "\nottoscaler_workers 3.0\n" in body


def test_other_paths_and_methods_are_refused(server: HttpServer, port: int) -> None:
    assert ask(port, "/")[0] == 404
    assert ask(port, "/healthz/../metrics")[0] == 404
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert ask(port, "/healthz", method)[0] == 405
    assert ask(port, "/healthz", "HEAD") == (200, "")


def test_port_zero_turns_it_off(health: Health, metrics: Metrics) -> None:
    before = threading.active_count()
    server = HttpServer("", 0, health, metrics)
    server.start()
    assert threading.active_count() == before
    server.stop()


def test_empty_address_listens_on_all(port: int, health: Health, metrics: Metrics) -> None:
    server = HttpServer("", port, health, metrics)
    server.start()
    try:
        assert ask(port, "/healthz")[0] == 200
    finally:
        server.stop()


def test_port_that_is_taken_is_one_clear_sentence(
    server: HttpServer, port: int, health: Health, metrics: Metrics
) -> None:
    with pytest.raises(OSError, match="cannot serve") as raised:
        HttpServer("127.0.0.1", port, health, metrics).start()
    assert raised.value.strerror == (
        f"cannot serve health and metrics on 127.0.0.1, port {port}: Address already in use. "
        "Change OTTO_HTTP_ADDRESS or OTTO_HTTP_PORT."
    )


def test_stop_frees_the_port_and_leaves_no_thread(
    port: int, health: Health, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http._Request, "timeout", LONG_SECONDS)
    for _ in range(2):
        server = HttpServer("127.0.0.1", port, health, metrics)
        server.start()
        assert ask(port, "/healthz")[0] == 200
        silent = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        ask(port, "/healthz")  # accepted after the silent one
        server.stop()
        assert silent.recv(1) == b""
        silent.close()
    wait_for(lambda: not http_threads(), "no thread is left")


def http_threads() -> int:
    return sum(thread.name == "http" for thread in threading.enumerate())


def test_crowd_of_silent_clients_keeps_no_probe_from_its_answer(
    server: HttpServer, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http._Request, "timeout", LONG_SECONDS)
    crowd = [socket.create_connection(("127.0.0.1", port), timeout=SECONDS) for _ in range(4 * CONNECTIONS)]

    def answered() -> bool:
        try:
            return ask(port, "/healthz")[0] == 200
        except OSError:  # on a machine that stands still, the place may not have come free within a second
            return False

    try:
        wait_for(answered, "the probe is answered")
        wait_for(lambda: http_threads() <= CONNECTIONS + 3, "no more threads than connections")
        assert crowd[0].recv(1) == b""
    finally:
        for each in crowd:
            each.close()


def test_stuck_scrape_blocks_no_probe(server: HttpServer, port: int, metrics: Metrics) -> None:
    entered, release = threading.Event(), threading.Event()

    def stuck() -> float:
        entered.set()
        release.wait(60)
        return 0.0

    metrics.stream_lag.set_function(stuck)
    scraper = threading.Thread(target=ask, args=(port, "/metrics"))
    scraper.start()
    try:
        assert entered.wait(SECONDS)
        assert ask(port, "/healthz")[0] == 200
    finally:
        release.set()
        scraper.join(SECONDS)
