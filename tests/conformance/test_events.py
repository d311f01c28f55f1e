"""Events of the core API: told by the scheduler, written by hand, and found by the Pod they are about."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from .client import Namespace, Reply, pod, until


def events(namespace: Namespace, **fields: str) -> Reply:
    selector = ",".join(f"{key.replace('_', '.')}={value}" for key, value in fields.items())
    return namespace.server.call("GET", f"{namespace.path}/events?{urlencode({'fieldSelector': selector})}")


def test_scheduler_tells_why_a_pod_fits_nowhere(namespace: Namespace) -> None:
    made = namespace.create(pod(container={"resources": {"requests": {"cpu": "99999"}}}))
    uid = made["metadata"]["uid"]
    reply = until(lambda: events(namespace, involvedObject_uid=uid), lambda reply: bool(reply["items"]))
    event = reply["items"][0]
    assert (event["type"], event["reason"]) == ("Warning", "FailedScheduling")
    assert event["message"] == "0/1 nodes are available: 1 Insufficient cpu."
    involved = event["involvedObject"]
    assert {key: involved[key] for key in ("kind", "namespace", "name", "uid", "apiVersion")} == {
        "kind": "Pod",
        "namespace": namespace.name,
        "name": "a",
        "uid": uid,
        "apiVersion": "v1",
    }
    assert event["metadata"]["name"].startswith("a.")


def test_event_is_found_by_its_pods_uid_and_name(namespace: Namespace) -> None:
    def event(name: str, uid: str) -> dict[str, Any]:
        involved = {"kind": "Pod", "namespace": namespace.name, "name": "a", "uid": uid}
        about = {"reason": "FailedMount", "message": "no such volume", "type": "Warning"}
        return {"metadata": {"name": name}, "involvedObject": involved, **about}

    for name, uid in (("a.1", "one"), ("a.2", "two")):
        reply = namespace.server.call("POST", f"{namespace.path}/events", event(name, uid))
        assert (reply.code, reply["kind"], reply["reason"]) == (201, "Event", "FailedMount")

    def names(**fields: str) -> list[str]:
        return [one["metadata"]["name"] for one in events(namespace, **fields)["items"]]

    assert names(involvedObject_uid="two") == ["a.2"]
    assert names(involvedObject_name="a", reason="FailedMount", type="Warning") == ["a.1", "a.2"]
    assert names(involvedObject_name="b") == []


def test_unknown_field_of_an_event_is_refused(namespace: Namespace) -> None:
    reply = events(namespace, involvedObject_colour="red")
    assert (reply.code, reply["reason"]) == (400, "BadRequest")
