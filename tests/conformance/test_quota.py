"""ResourceQuota: what is admitted, and the words of the refusal."""

from __future__ import annotations

from typing import Any

from .client import FOREVER, SHORT, Namespace, pod, until


def limit(namespace: Namespace, **hard: str) -> None:
    """A quota named q, in force."""
    path = f"{namespace.path}/resourcequotas"
    words = {key.replace("_", ".").replace("count.", "count/"): value for key, value in hard.items()}
    assert (
        namespace.server.call("POST", path, {"metadata": {"name": "q"}, "spec": {"hard": words}}).code == 201
    )
    until(
        lambda: namespace.server.call("GET", f"{path}/q"),
        lambda reply: set(reply["status"].get("used") or {}) == set(words),
    )


def until_used(namespace: Namespace, amounts: dict[str, str]) -> None:
    """A real server's controller may count a moment late, and for that moment write what was true before."""
    until(
        lambda: namespace.server.call("GET", f"{namespace.path}/resourcequotas/q"),
        lambda reply: reply["status"]["used"] == amounts,
    )


def cpu(amount: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": amount}}}


def test_pod_over_the_quota_is_forbidden_in_these_words(namespace: Namespace) -> None:
    limit(namespace, pods="1", requests_cpu="1")
    assert namespace.create(pod("a", annotations=FOREVER, container=cpu("600m"))).code == 201
    reply = namespace.create(pod("b", container=cpu("1500m")))
    assert (reply.code, reply["reason"]) == (403, "Forbidden")
    assert reply["details"] == {"name": "b", "kind": "pods"}
    assert reply["message"] == (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1500m, '
        "used: pods=1,requests.cpu=600m, limited: pods=1,requests.cpu=1"
    )


def test_only_what_is_exceeded_is_named(namespace: Namespace) -> None:
    limit(namespace, pods="1", requests_cpu="10")
    namespace.create(pod("a", annotations=FOREVER, container=cpu("1")))
    reply = namespace.create(pod("b", container=cpu("1")))
    assert reply["message"].endswith("exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1")


def test_quota_on_cpu_wants_requests(namespace: Namespace) -> None:
    limit(namespace, requests_cpu="1")
    reply = namespace.create(pod("a"))
    assert reply.code == 403
    assert reply["message"] == 'pods "a" is forbidden: failed quota: q: must specify requests.cpu'


def test_finished_pod_frees_its_place_but_counts_as_an_object(namespace: Namespace) -> None:
    limit(namespace, pods="1", count_pods="2")
    namespace.create(pod("a", annotations=SHORT))
    namespace.until_phase("a", "Succeeded")
    until_used(namespace, {"pods": "0", "count/pods": "1"})
    assert namespace.create(pod("b", annotations=SHORT)).code == 201
    until_used(namespace, {"pods": "0", "count/pods": "2"})
    reply = namespace.create(pod("c"))
    assert reply["message"].endswith(
        "exceeded quota: q, requested: count/pods=1, used: count/pods=2, limited: count/pods=2"
    )


def test_deleted_pod_frees_its_place(namespace: Namespace) -> None:
    limit(namespace, pods="1")
    namespace.create(pod("a", annotations=FOREVER))
    assert namespace.create(pod("b")).code == 403
    namespace.delete("a", {"gracePeriodSeconds": 0})
    until(lambda: namespace.create(pod("b", annotations=FOREVER)), lambda reply: reply.code == 201)
    until_used(namespace, {"pods": "1"})


def test_quota_can_be_listed_and_deleted(namespace: Namespace) -> None:
    limit(namespace, pods="0")
    path = f"{namespace.path}/resourcequotas"
    assert [item["metadata"]["name"] for item in namespace.server.call("GET", path)["items"]] == ["q"]
    assert namespace.create(pod("a")).code == 403
    assert namespace.server.call("DELETE", f"{path}/q").code == 200
    until(lambda: namespace.create(pod("a", annotations=SHORT)), lambda reply: reply.code == 201)
