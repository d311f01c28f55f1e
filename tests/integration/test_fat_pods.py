"""A replica that starts before a namespace full of fat Pods survives it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness.cluster_state import local_only
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import name_of, running

FAT_PODS = 150
METADATA = json.dumps({"note": "\x01" * 21_000})
MOST_MIB = 100  # some 60 without any Pod; decoding them all at once took 300


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@local_only
def test_starting_replica_survives_fat_pods(place: Sandbox) -> None:
    first = place.start("first")
    event_id = running(place)
    model = place.kube.workers(event_id)[0]
    first.kill()
    for index in range(1, FAT_PODS + 1):
        labels = {**model["metadata"]["labels"], "ottoscaler.io/index": str(index)}
        metadata = {
            "name": name_of(event_id, index),
            "labels": labels,
            "annotations": {**model["metadata"]["annotations"], "ottoscaler.io/metadata": METADATA},
        }
        (container,) = model["spec"]["containers"]
        bare = {k: container[k] for k in ("name", "image")}
        bare["env"] = [{"name": "OTTO_METADATA", "value": METADATA}]
        spec = {"containers": [bare], "restartPolicy": "Never", "automountServiceAccountToken": False}
        place.kube.create_pod({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    second = place.start("second")
    second.wait_ready()
    assert peak_mib(second.pid) < MOST_MIB
