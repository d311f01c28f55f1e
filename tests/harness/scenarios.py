"""What the reliability tests say over and over: who owns an event, what became of its Pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ottoscaler.ledger.records import timestamp
from ottoscaler.pods.labels import pod_name
from tests.harness.cluster_state import FOREVER, ledger
from tests.harness.proxy import Proxy, redis_protocol
from tests.harness.replica import Replica
from tests.harness.sandbox import INSTANCE, Sandbox
from tests.harness.waiting import wait_for

LEASE = 1.5  # seconds; short, and long enough that a busy test machine does not lose it

# Bounds of the service (see tests.harness.preloaded) whose length is not what a test is about, in seconds.
OFTEN = {"workers.monitor.UNSEEN_LOOK_SECONDS": 0.5}  # looks at a Pod that the watch does not show
SWEPT_OFTEN = {"controller.reconciler.SWEEP_SECONDS": 0.5}
SHORT_PAUSES = {"retry.LONGEST_PAUSE_SECONDS": 0.25}  # between two tries of a create
SHORT_WATCHES = {"kube.reflector.WATCH_SECONDS": 2}
SHORT_LISTS = {"kube.client.LIST_SECONDS": 2.0}
OFFERED_SOON = {"controller.offers.OFFER_AFTER_SECONDS": 2.0}
COUNTED_SOON = {"controller.scale_down.COUNT_SECONDS": 1.0}  # what a scale_down waits for its victims' ends


def owner(place: Sandbox, event_id: str) -> str:
    """The consumer name that owns an open event by its ledger; '' where nobody does."""
    return ledger(place, event_id).get("owner", "").rpartition("/")[0]


def wait_owner(place: Sandbox, event_id: str, name: str, seconds: float) -> None:
    wait_for(lambda: owner(place, event_id) == name, f"{name} owns {event_id}", seconds)


def running(place: Sandbox, count: int = 1, **fields: Any) -> str:
    """A scale_up whose workers all run, and will run until they are ended; its id.

    Its Pods are noted in the ledger, so whoever is killed now is not taken to have died of it."""
    event_id = place.scale_up(count, run_seconds=FOREVER, **fields)
    place.wait_workers(event_id, "Running", count)

    def noted() -> bool:
        held = ledger(place, event_id)
        states = [held.get(f"i:{index}", "").split(":", 2) for index in range(count)]
        return all(len(state) == 3 and state[0] == "s" and state[2] for state in states)

    wait_for(noted, f"the Pods of {event_id} are noted")
    return event_id


def wait_started(place: Sandbox, event_id: str) -> None:
    """Its one worker runs. Where its limit is short and this machine stands still, it may have ended."""

    def started() -> bool:
        phases = [pod["status"].get("phase") for pod in place.kube.workers(event_id)]
        return phases == ["Running"] or bool(place.workers(event_id))

    wait_for(started, f"{event_id} has started")


def lose_pods(place: Sandbox, event_id: str) -> None:
    """Somebody deletes its Pods by force."""
    for pod in place.kube.workers(event_id):
        place.kube.delete_pod(pod["metadata"]["name"], grace=0)


@contextmanager
def paused(place: Sandbox) -> Iterator[None]:
    """The group is paused: what waits to begin goes on waiting."""
    key = "otto:scale:events:ottoscaler:paused"
    place.redis.set(key, timestamp())
    try:
        yield
    finally:
        place.redis.delete(key)


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
