"""A replica that starts before a namespace full of fat Pods survives it; a list is whole or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ottoscaler.errors import VersionExpired
from ottoscaler.kube import client
from ottoscaler.kube.client import PodClient, connect
from ottoscaler.kube.throttle import Throttle
from tests.harness.cluster_state import local_only
from tests.harness.observer import Json
from tests.harness.sandbox import INSTANCE, Sandbox
from tests.harness.scenarios import name_of, running

SMALL_PODS = 30  # listed first, so that nothing tells how large the others are
FAT_PODS = 150
METADATA = json.dumps({"note": "\x01" * 21_000})
SELECTOR = "app=small"
MOST_MIB = 90  # some 60 without any Pod; in one piece the list took 160, decoded at once 300


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def add_pod(place: Sandbox, model: Json, event_id: str, index: int, metadata: str) -> None:
    """Another Pod of that event, as the service would have made it."""
    labels = {**model["metadata"]["labels"], "ottoscaler.io/index": str(index)}
    about = {
        "name": name_of(event_id, index),
        "labels": labels,
        "annotations": {**model["metadata"]["annotations"], "ottoscaler.io/metadata": metadata},
    }
    (container,) = model["spec"]["containers"]
    bare = {k: container[k] for k in ("name", "image")}
    bare["env"] = [{"name": "OTTO_METADATA", "value": metadata}]
    spec = {"containers": [bare], "restartPolicy": "Never", "automountServiceAccountToken": False}
    place.kube.create_pod({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})


@local_only
def test_starting_replica_survives_fat_pods(place: Sandbox) -> None:
    first = place.start("first")
    event_id = running(place)
    model = place.kube.workers(event_id)[0]
    first.kill()
    for index in range(1000, 1000 + SMALL_PODS):
        add_pod(place, model, event_id, index, "{}")
    for index in range(2000, 2000 + FAT_PODS):
        add_pod(place, model, event_id, index, METADATA)
    second = place.start("second")
    second.wait_ready()
    assert peak_mib(second.pid) < MOST_MIB


def pods_of(place: Sandbox) -> PodClient:
    return connect(place.kube.kubeconfig, place.kube.namespace, Throttle(100, 100), lambda *_: None, 60)


def test_list_in_pages_is_whole(place: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sorted(place.kube.create_pod(small_pod(number))["metadata"]["name"] for number in range(7))
    monkeypatch.setattr(client, "PAGE", 3)
    found, version = pods_of(place).list(SELECTOR)
    assert sorted(view.name for view in found) == made
    assert version


@local_only
def test_list_that_expires_between_two_pages_is_unknown_and_the_next_one_is_whole(
    place: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.cluster is not None
    for number in range(7):
        place.kube.create_pod(small_pod(number))
    monkeypatch.setattr(client, "PAGE", 3)
    pods = pods_of(place)
    place.cluster.faults.answer(410, 1, "list", "continue=")
    with pytest.raises(VersionExpired):
        pods.list(SELECTOR)
    assert len(pods.list(SELECTOR)[0]) == 7


@local_only
def test_small_list_is_one_request_over_a_kept_connection(place: Sandbox) -> None:
    assert place.cluster is not None
    pods = pods_of(place)
    place.cluster.audit.clear()
    for _ in range(3):
        assert pods.list(f"app=otto-agent,ottoscaler.io/instance={INSTANCE}")[0] == []
    assert len(place.cluster.audit.requests("list", "pods")) == 3


def small_pod(number: int) -> Json:
    return {
        "metadata": {"name": f"small-{number}", "labels": {"app": "small"}},
        "spec": {"containers": [{"name": "worker", "image": "x"}]},
    }
