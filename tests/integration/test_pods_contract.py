"""The Pods that come out, word by word as docs/templates.md has them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.harness.cluster_state import NEVER_STARTS, ledger, served
from tests.harness.sandbox import Sandbox, sandbox

one_replica = served(OTTO_PENDING_TIMEOUT_SECONDS="100", OTTO_WORKER_TIMEOUT_SECONDS="1000")

OPERATORS = """\
apiVersion: v1
kind: Pod
metadata:
  labels: {team: builds}
  annotations:
    example.org/note: kept
    ottoscaler.io/accepts: command,args,env,memory
    ottoscaler.io/env: FIXED,MINE,SIM_*
spec:
  nodeSelector: {kubernetes.io/os: linux}
  terminationGracePeriodSeconds: 7
  tolerations: [{key: builds, operator: Exists}]
  initContainers: [{name: fetch, image: "busybox:1", command: ["true"]}]
  containers:
    - name: logs
      image: busybox:1
      command: [sleep, "9"]
    - name: worker
      image: registry.example/agent:7
      env: [{name: FIXED, value: by the operator}, {name: HOME, value: /work}]
      resources: {requests: {cpu: 50m}, limits: {memory: 1Gi}}
      volumeMounts: [{name: work, mountPath: /work}]
  volumes: [{name: work, emptyDir: {}}]
"""


def one_pod(place: Sandbox, event_id: str) -> dict[str, Any]:
    place.wait_workers(event_id, "Pending", 1)
    return place.kube.workers(event_id)[0]


def worker(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = [c for c in pod["spec"]["containers"] if c["name"] == "worker"]
    return dict(found)


def env(pod: dict[str, Any]) -> dict[str, str]:
    listed = worker(pod)["env"]
    assert len({e["name"] for e in listed}) == len(listed), "a name stands twice"
    return {e["name"]: e["value"] for e in listed}


def installation(place: Sandbox) -> str:
    return str(place.redis.get("otto:scale:events:ottoscaler:installation"))


def test_the_default_pod_is_as_promised(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.scale_up(2, env={**NEVER_STARTS, "GREETING": "$(HOME) costs $5"}, branch="main")
    place.wait_workers(event_id, "Pending", 2)
    pod = place.kube.workers(event_id)[1]
    meta, spec = pod["metadata"], pod["spec"]
    assert meta["name"] == f"otto-agent-test-{event_id}-1-0"
    assert meta["labels"] == {
        "app": "otto-agent", "managed-by": "ottoscaler", "ottoscaler.io/instance": "test",
        "ottoscaler.io/installation": installation(place), "ottoscaler.io/event-id": event_id,
        "ottoscaler.io/index": "1", "ottoscaler.io/attempt": "0", "ottoscaler.io/task-id": event_id,
        "ottoscaler.io/owner": ledger(place, event_id)["owner"].partition("/")[2],
    }  # fmt: skip
    annotations = meta["annotations"]
    assert annotations["ottoscaler.io/task-id"] == event_id
    assert json.loads(annotations["ottoscaler.io/metadata"]) == {"branch": "main"}
    assert annotations["ottoscaler.io/created-at"].endswith("Z")
    assert annotations["ottoscaler.io/installation"] == installation(place)
    assert "ownerReferences" not in meta
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["activeDeadlineSeconds"] == 1100
    assert not any("serviceAccountToken" in json.dumps(v) for v in spec["volumes"])
    assert "affinity" not in spec
    security = spec["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 65532)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["image"] == "busybox:latest"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    for part in ("requests", "limits"):
        assert set(container["resources"][part]) >= {"cpu", "memory"}
    home = env(pod)["HOME"]
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == home]
    assert [v for v in spec["volumes"] if v["name"] == mount["name"]] == [
        {"name": mount["name"], "emptyDir": {}}
    ]
    assert {k: v for k, v in env(pod).items() if k.startswith("OTTO_")} == {
        "OTTO_EVENT_ID": event_id, "OTTO_TASK_ID": event_id, "OTTO_WORKER_INDEX": "1",
        "OTTO_WORKER_COUNT": "2", "OTTO_ATTEMPT": "0", "OTTO_METADATA": '{"branch":"main"}',
    }  # fmt: skip
    assert env(pod)["GREETING"] == "$$(HOME) costs $$5"
    place.wait_event(place.send("scale_down", task_id=event_id))


def test_the_events_fields_reach_their_places_and_no_others(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.send(
        "scale_up",
        pod_count=1,
        task_id="Straße #1 / $HOME",
        command=["sh", "-c", "echo $HOME"],
        args="$(OTTO_TASK_ID)",
        env={**NEVER_STARTS},
        cpu="250m",
        memory="96Mi",
        timeout_seconds="60",
        **{"meta:hostNetwork": "true", "meta:serviceAccountName": "admin", "meta:nodeName": "fake-0"},
    )
    pod = one_pod(place, event_id)
    assert pod["metadata"]["annotations"]["ottoscaler.io/task-id"] == "Straße #1 / $HOME"
    digest = hashlib.sha256("Straße #1 / $HOME".encode()).hexdigest()[:8]
    assert pod["metadata"]["labels"]["ottoscaler.io/task-id"] == f"Stra-e--1----HOME-{digest}"
    assert env(pod)["OTTO_TASK_ID"] == "Straße #1 / $$HOME"
    assert worker(pod)["command"] == ["sh", "-c", "echo $$HOME"]
    assert worker(pod)["args"] == ["$$(OTTO_TASK_ID)"]
    resources = {"cpu": "250m", "memory": "96Mi"}
    assert worker(pod)["resources"] == {"requests": resources, "limits": resources}
    assert pod["spec"]["activeDeadlineSeconds"] == 160
    assert not pod["spec"].get("hostNetwork")
    assert pod["spec"].get("serviceAccountName", "default") == "default"
    told = {"hostNetwork": "true", "serviceAccountName": "admin", "nodeName": "fake-0"}
    assert json.loads(pod["metadata"]["annotations"]["ottoscaler.io/metadata"]) == told
    assert json.loads(env(pod)["OTTO_METADATA"]) == told
    place.wait_event(place.send("scale_down", task_id="Straße #1 / $HOME"))


def test_an_operators_template_stays_but_for_what_it_accepts(tmp_path: Path) -> None:
    (tmp_path / "builds.yaml").write_text(OPERATORS)
    with sandbox(OTTO_TEMPLATES_DIR=str(tmp_path)) as place:
        place.start()
        event_id = place.scale_up(
            1, profile="builds", task_id="t", memory="2Gi", env={**NEVER_STARTS, "FIXED": "no", "MINE": "yes"}
        )
        pod = one_pod(place, event_id)
        meta, spec = pod["metadata"], pod["spec"]
        assert meta["labels"]["team"] == "builds"
        assert meta["labels"]["app"] == "otto-agent"
        assert meta["annotations"]["example.org/note"] == "kept"
        assert not {"ottoscaler.io/accepts", "ottoscaler.io/env"} & meta["annotations"].keys()
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert spec["terminationGracePeriodSeconds"] == 7
        assert {"key": "builds", "operator": "Exists"} in spec["tolerations"]
        assert [c["name"] for c in spec["initContainers"]] == ["fetch"]
        assert [c["name"] for c in spec["containers"]] == ["logs", "worker"]
        assert (spec["restartPolicy"], spec["enableServiceLinks"]) == ("Never", False)
        assert spec["automountServiceAccountToken"] is False
        assert spec["activeDeadlineSeconds"] == 900 + 3600
        logs = spec["containers"][0]
        assert (logs["image"], logs["command"]) == ("busybox:1", ["sleep", "9"])
        assert not any(e["name"].startswith(("OTTO_", "MINE")) for e in logs.get("env", []))
        assert worker(pod)["image"] == "registry.example/agent:7"
        assert worker(pod)["resources"] == {
            "requests": {"cpu": "50m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}
        }  # fmt: skip
        assert worker(pod)["terminationMessagePolicy"] == "FallbackToLogsOnError"
        told = env(pod)
        assert (told["FIXED"], told["MINE"], told["HOME"]) == ("by the operator", "yes", "/work")
        assert told["OTTO_EVENT_ID"] == event_id
