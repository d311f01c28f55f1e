"""What the reliability tests say over and over: who owns an event, what became of its Pods."""

from __future__ import annotations

from typing import Any

from ottoscaler.pods.labels import pod_name
from tests.harness.cluster_state import FOREVER, ledger
from tests.harness.proxy import Proxy, redis_protocol
from tests.harness.replica import Replica
from tests.harness.sandbox import INSTANCE, Sandbox
from tests.harness.waiting import wait_for

LEASE = 1.5  # seconds; short, and long enough that a busy test machine does not lose it


def owner(place: Sandbox, event_id: str) -> str:
    """The consumer name that owns an open event by its ledger; '' where nobody does."""
    return ledger(place, event_id).get("owner", "").rpartition("/")[0]


def wait_owner(place: Sandbox, event_id: str, name: str, seconds: float) -> None:
    wait_for(lambda: owner(place, event_id) == name, f"{name} owns {event_id}", seconds)


def running(place: Sandbox, count: int = 1, **fields: Any) -> str:
    """A scale_up whose workers all run, and will run until they are ended; its id."""
    event_id = place.scale_up(count, run_seconds=FOREVER, **fields)
    place.wait_workers(event_id, "Running", count)
    return event_id


def end_workers(place: Sandbox, event_id: str) -> None:
    """Its running Pods succeed now."""
    for pod in place.kube.workers(event_id):
        place.kube.set_status(pod["metadata"]["name"], {"phase": "Succeeded"})


def uids(place: Sandbox, event_id: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in place.kube.workers(event_id)}


def name_of(event_id: str, index: int = 0, attempt: int = 0) -> str:
    return pod_name(INSTANCE, event_id, index, attempt)


def ends_well(place: Sandbox, event_id: str, workers: int = 1, seconds: float = 15.0) -> None:
    """The event succeeds, told once, and nothing of it is left."""
    entry = place.wait_event(event_id, seconds)
    assert (entry["status"], entry["succeeded"]) == ("succeeded", str(workers)), place.workers(event_id)
    place.wait_no_pods()
    place.wait_nothing_pending()
    assert len(place.results("event", event_id)) == 1
    assert [w["index"] for w in place.workers(event_id)] == [str(i) for i in range(workers)]


def behind_proxy(place: Sandbox) -> tuple[Proxy, dict[str, Any]]:
    """A proxy in front of Redis, and the setting that leads a replica through it. To be closed."""
    proxy = Proxy(place.redis_server.port, redis_protocol())
    return proxy, {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}


def warnings(replica: Replica) -> int:
    """Lines that would worry an operator."""
    return len(replica.lines(level="WARNING")) + len(replica.lines(level="ERROR"))
