"""The status page of running replicas: any of them shows the whole, from Redis alone."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

from tests.harness.preloaded import run
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

SECRET = "hunter2-very-secret"
SECONDS = 30.0

Json = dict[str, Any]


class Stream:
    """A viewer of one replica."""

    def __init__(self, replica: Replica) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", replica.port, timeout=SECONDS)
        self._connection.request("GET", "/api/stream")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        self.seen = ""

    def next(self) -> Json:
        while True:
            line = self._answer.readline()
            assert line, "the stream ended"
            self.seen += line.decode()
            if line.startswith(b'data: {"at"'):
                read: Json = json.loads(line[6:])
                return read

    def close(self) -> None:
        self._connection.close()


def document(replica: Replica, path: str) -> Json:
    status, text = replica.get(path)
    assert status == 200, text
    found: Json = json.loads(text)
    return found


def test_any_replica_shows_the_whole_and_no_secret(place: Sandbox) -> None:
    first, second = place.start("first"), place.start("second")
    event_id = place.scale_up(3, run_seconds="inf", task_id="build-17", env={"TOKEN": SECRET}, args=[SECRET])
    broken = place.send(pod_count="many", command=SECRET)
    for replica in (first, second):
        viewer = Stream(replica)
        try:

            def all_run(viewer: Stream = viewer) -> bool:
                read = viewer.next()
                return [e["cells"] for e in read["events"]] == ["rrr"] and read["running"] == 3

            wait_for(all_run, "the page shows three running workers", SECONDS)
            assert {each["consumer"] for each in viewer.next()["replicas"]} == {"first", "second"}
        finally:
            viewer.close()

        def detailed(replica: Replica = replica) -> bool:
            workers = document(replica, f"/api/event?id={event_id}")["workers"]
            return len(workers) == 3 and all(w["node"] and w["started_at"] and w["pod"] for w in workers)

        wait_for(detailed, "the story has the nodes", SECONDS)
        place.wait_dead(broken)
        told = [viewer.seen, json.dumps(document(replica, f"/api/event?id={broken}"))]
        told += [json.dumps(document(replica, path)) for path in ("/api/status", "/api/search?q=build-17")]
        told.append(json.dumps(document(replica, f"/api/event?id={event_id}")))
        assert SECRET not in "".join(told)
        assert document(replica, "/api/search?q=build-17")["found"][0]["event_id"] == event_id


def test_the_page_has_the_json_of_status_and_status_knows_the_page(place: Sandbox) -> None:
    replica = place.start()
    env = place.environment()
    ran = run(["status", "--json"], env)
    told, page = json.loads(ran.stdout), document(replica, "/api/status")
    assert told.keys() == page.keys()
    assert told["schema_version"] == page["schema_version"]
    assert told["replicas"][0].keys() == page["replicas"][0].keys()
    ran = run(["status", "--web"], env)
    assert ran.stdout == f"http://localhost:{replica.port}/\n"
    replica.stop()
    ran = run(["status", "--web"], env)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no replica is alive" in ran.stderr


def test_the_page_of_another_address_of_loopback_is_there_and_told(place: Sandbox) -> None:
    port = place.start(ready=False, OTTO_HTTP_ADDRESS="127.0.0.2").port

    def told() -> str:
        return run(["status", "--web"], place.environment()).stdout.strip()

    address = wait_for(told, "a replica tells where its page is", SECONDS)
    assert address == f"http://127.0.0.2:{port}/"
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        assert b"<title>" in answer.read()


def test_the_page_tells_that_redis_is_away_and_goes_on_when_it_is_back(place: Sandbox) -> None:
    replica = place.start()
    viewer = Stream(replica)
    viewer.next()
    place.redis_server.stop()
    try:
        wait_for(lambda: b'{"error"' in viewer._answer.readline(), "the page tells", SECONDS)
        assert replica.get("/api/event?id=1-1")[0] == 503
        assert replica.get("/healthz")[0] == 200
    finally:
        place.redis_server.start()
    assert viewer.next()["replicas"]
    viewer.close()


def test_off_is_a_replica_without_a_page(place: Sandbox) -> None:
    replica = place.start(OTTO_STATUS_PAGE="off")
    assert [replica.get(path)[0] for path in ("/", "/api/status", "/api/stream")] == [404, 404, 404]
