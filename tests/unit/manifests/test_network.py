"""Who may connect to whom, by the manifests' network policies."""

from __future__ import annotations

from ottoscaler.model import WorkerId
from ottoscaler.pods.labels import labels
from tests.unit.manifests.kustomize import find
from tests.unit.manifests.network import Peer, may_connect
from tests.unit.manifests.overlays import Json, every, objects, settings

INTERNET = Peer("140.82.121.4")
PRIVATE = Peer("10.1.2.3")
DNS = Peer("10.244.0.3", "kube-system", {"k8s-app": "kube-dns"})
PROMETHEUS = Peer("10.244.0.9", "monitoring", {"app": "prometheus"})


def service(made: list[Json]) -> Peer:
    return Peer("10.244.1.5", find(made, "Deployment")["metadata"]["namespace"], {"app": "ottoscaler"})


def worker(made: list[Json]) -> Peer:
    namespace = find(made, "Role")["metadata"]["namespace"]
    return Peer("10.244.2.7", namespace, labels("i", "x", WorkerId("1-0", 0, 0), "task", "me"))


def beside_the_service(made: list[Json]) -> Peer:
    return Peer("10.244.1.6", service(made).namespace, {"app": "redis"})


@every
def test_workers_reach_neither_redis_nor_the_service_s_port(overlay: str) -> None:
    made = objects(overlay)
    assert not may_connect(made, worker(made), service(made), settings(overlay).http_port)
    assert not may_connect(made, worker(made), beside_the_service(made), 6379)
    assert not may_connect(made, worker(made), PRIVATE, 6380)


@every
def test_each_side_alone_keeps_workers_from_the_service(overlay: str) -> None:
    made = objects(overlay)
    for policy in ("otto-agent", "ottoscaler"):
        left = [o for o in made if (o["kind"], o["metadata"]["name"]) != ("NetworkPolicy", policy)]
        assert not may_connect(left, worker(made), service(made), settings(overlay).http_port)


@every
def test_workers_reach_names_other_namespaces_and_the_internet_but_not_the_node_s_credentials(
    overlay: str,
) -> None:
    made = objects(overlay)
    for peer in (DNS, Peer("169.254.20.10")):
        assert may_connect(made, worker(made), peer, 53, "UDP")
    assert may_connect(made, worker(made), INTERNET, 443)
    assert may_connect(made, worker(made), Peer("2001:db8::1"), 443)
    assert may_connect(made, worker(made), Peer("10.244.3.3", "caches", {"app": "cache"}), 80)
    for address in ("169.254.169.254", "fd00:ec2::254", "169.254.20.10"):
        assert not may_connect(made, worker(made), Peer(address), 80)


@every
def test_nobody_connects_to_workers(overlay: str) -> None:
    made = objects(overlay)
    for peer in (service(made), PROMETHEUS, worker(made), INTERNET):
        assert not may_connect(made, peer, worker(made), 8080)


@every
def test_prometheus_reads_metrics_and_the_service_reaches_what_it_needs(overlay: str) -> None:
    made = objects(overlay)
    assert may_connect(made, PROMETHEUS, service(made), settings(overlay).http_port)
    assert not may_connect(made, PROMETHEUS, service(made), 22)
    assert may_connect(made, service(made), DNS, 53, "UDP")
    assert may_connect(made, service(made), PRIVATE, 6443)
    assert may_connect(made, service(made), PRIVATE, 6380)


def test_redis_of_the_kind_overlay_lets_in_the_service_alone() -> None:
    made = objects("kind")
    redis = beside_the_service(made)
    assert may_connect(made, service(made), redis, 6379)
    others = (PROMETHEUS, INTERNET, worker(made), Peer("10.244.1.8", redis.namespace, {"app": "other"}))
    without = [o for o in made if (o["kind"], o["metadata"]["name"]) != ("NetworkPolicy", "otto-agent")]
    for peer in others:
        assert not may_connect(without, peer, redis, 6379)


@every
def test_workers_policy_names_the_namespace_of_the_service(overlay: str) -> None:
    made = objects(overlay)
    (rule, _) = find(made, "NetworkPolicy", "otto-agent")["spec"]["egress"]
    (expression,) = rule["to"][0]["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == [service(made).namespace]
    for namespace in (o["metadata"] for o in made if o["kind"] == "Namespace"):
        assert namespace["labels"][expression["key"]] == namespace["name"]
