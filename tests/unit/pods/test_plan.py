"""The Pods of an event, as docs/templates.md promises them."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ottoscaler.errors import BadEvent
from ottoscaler.model import ScaleUp
from ottoscaler.pods import pod_security as restricted
from ottoscaler.pods.labels import pod_name, selector
from ottoscaler.pods.plan import MOST_GROWTH, OWN_BYTES, PodPlan, _length, _skeleton, plan
from tests.harness.pod_makers import BUILTIN, DEFAULTS, env_of, loaded, planned, scale_up, template, worker_of

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def test_pod_is_named_by_instance_event_index_and_attempt() -> None:
    assert pod_name("ci", "1717171717171-0", 7, 1) == "otto-agent-ci-1717171717171-0-7-1"


@pytest.mark.parametrize("instance", ["x" * 63, "a" * 29 + "-" * 5 + "b", "a"])
@pytest.mark.parametrize("event_id", ["1-0", "1717171717171-0", "18446744073709551615-18446744073709551615"])
@pytest.mark.parametrize(("index", "attempt"), [(0, 0), (9999, 10)])
def test_instance_is_cut_so_that_the_name_is_a_dns_label(
    instance: str, event_id: str, index: int, attempt: int
) -> None:
    name = pod_name(instance, event_id, index, attempt)
    assert DNS_LABEL.fullmatch(name)
    assert name.endswith(f"-{event_id}-{index}-{attempt}")


def test_name_that_cannot_fit_is_refused_rather_than_cut() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        pod_name("ci", "18446744073709551615-18446744073709551615", 99_999_999, 10)


def test_labels_and_annotations_are_those_of_the_contract() -> None:
    meta = planned(scale_up(task_id="build 17", metadata={"b": "2", "a": "ä"})).pod(2, 1)["metadata"]
    assert meta["namespace"] == "workers"
    assert meta["labels"] == {
        "app": "otto-agent",
        "managed-by": "ottoscaler",
        "ottoscaler.io/instance": "ci",
        "ottoscaler.io/installation": "0a1b2c3d",
        "ottoscaler.io/owner": "4d5e6f7a",
        "ottoscaler.io/event-id": "1717-0",
        "ottoscaler.io/index": "2",
        "ottoscaler.io/attempt": "1",
        "ottoscaler.io/task-id": "build-17-bb982b12",
    }
    assert meta["annotations"] == {
        "ottoscaler.io/task-id": "build 17",
        "ottoscaler.io/metadata": '{"b":"2","a":"ä"}',
        "ottoscaler.io/created-at": "2026-01-02T12:00:00.123Z",
        "ottoscaler.io/installation": "0a1b2c3d",
    }


def test_selector_finds_what_the_labels_say() -> None:
    labels = planned(scale_up()).pod(0, 0)["metadata"]["labels"]
    for requirement in selector("ci").split(","):
        name, _, value = requirement.partition("=")
        assert labels[name] == value


def test_worker_is_told_who_it_is() -> None:
    env = env_of(planned(scale_up(metadata={"branch": "main"})).pod(1, 2))
    assert {name: value for name, value in env.items() if name.startswith("OTTO_")} == {
        "OTTO_EVENT_ID": "1717-0",
        "OTTO_TASK_ID": "build-17",
        "OTTO_WORKER_INDEX": "1",
        "OTTO_WORKER_COUNT": "3",
        "OTTO_ATTEMPT": "2",
        "OTTO_METADATA": '{"branch":"main"}',
    }


def test_default_worker_fits_a_restricted_namespace() -> None:
    pod = planned(scale_up()).pod(0, 0)
    spec, worker = pod["spec"], worker_of(pod)
    assert restricted.problems(pod) == []
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsUser"] == 65532
    assert worker["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert worker["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert set(worker["resources"]) == {"requests", "limits"}
    home = {"name": "home", "mountPath": env_of(pod)["HOME"]}
    assert home in worker["volumeMounts"]
    assert {"name": "home", "emptyDir": {}} in spec["volumes"]
    assert "ownerReferences" not in pod["metadata"]


def test_deadline_is_pending_plus_run_limit() -> None:
    assert planned(scale_up()).pod(0, 0)["spec"]["activeDeadlineSeconds"] == 900 + 3600
    asked = planned(scale_up(timeout_seconds=60, max_retries=0))
    assert asked.pod(0, 0)["spec"]["activeDeadlineSeconds"] == 900 + 60
    assert asked.max_retries == 0


def test_event_fields_are_laid_over_the_worker() -> None:
    event = scale_up(
        image="busybox:1.36", command=("make",), args=("all",), env={"CI": "1"}, cpu="2", memory="1Gi"
    )
    pod = planned(event).pod(0, 0)
    worker = worker_of(pod)
    assert (worker["image"], worker["command"], worker["args"]) == ("busybox:1.36", ["make"], ["all"])
    assert worker["resources"] == {
        "requests": {"cpu": "2", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }
    assert env_of(pod)["CI"] == "1"


def test_dollars_arrive_as_they_were_sent() -> None:
    event = scale_up(
        task_id="$(OTTO_EVENT_ID)",
        command=("echo", "$(HOME)"),
        args=("$$",),
        env={"A": "$(PATH)"},
        metadata={"m": "$(HOME)"},
    )
    pod = planned(event).pod(0, 0)
    worker, env = worker_of(pod), env_of(pod)
    assert (worker["command"], worker["args"]) == (["echo", "$$(HOME)"], ["$$$$"])
    assert (env["A"], env["OTTO_TASK_ID"]) == ("$$(PATH)", "$$(OTTO_EVENT_ID)")
    assert env["OTTO_METADATA"] == '{"m":"$$(HOME)"}'
    assert pod["metadata"]["annotations"]["ottoscaler.io/task-id"] == "$(OTTO_EVENT_ID)"
    assert pod["metadata"]["annotations"]["ottoscaler.io/metadata"] == '{"m":"$(HOME)"}'


def test_worker_without_a_command_says_who_it_is_and_ends() -> None:
    command = worker_of(planned(scale_up()).pod(0, 0))["command"]
    assert command[:2] == ["sh", "-c"]
    assert "echo" in command[2]


@pytest.mark.parametrize("fields", [{"image": "team/agent:1"}, {"args": ("--once",)}, {"command": ()}])
def test_own_image_or_args_leave_the_command_to_the_image(fields: dict[str, object]) -> None:
    assert not worker_of(planned(scale_up(**fields)).pod(0, 0)).get("command")


def test_replaced_command_drops_the_template_s_args(tmp_path: Path) -> None:
    templates = loaded(tmp_path, default=template({"command": ["a"], "args": ["b"]}))
    assert "args" not in worker_of(planned(scale_up(command=("c",)), templates).pod(0, 0))
    kept = worker_of(planned(scale_up(args=("c",)), templates).pod(0, 0))
    assert (kept["command"], kept["args"]) == (["a"], ["c"])


@pytest.mark.parametrize("text", ["☃", "\uf8f1", "\uf8f2 \uf8f4", '$"\\'])
def test_body_is_the_pod_as_json(text: str) -> None:
    made = planned(scale_up(task_id=text, metadata={"ä": text}, env={"A": text}, args=(text,)))
    for index, attempt in ((0, 0), (1, 0), (12, 3)):
        assert json.loads(made.body(index, attempt)) == made.pod(index, attempt)
    assert json.loads(made.body(1, 2, avoid_node="n")) == made.pod(1, 2, avoid_node="n")
    assert json.dumps(text, ensure_ascii=False).strip('"').encode() in made.body(1, 0)


def test_body_tells_when_it_was_made() -> None:
    times = iter(datetime(2026, 1, 2, 12, 0, second, tzinfo=UTC) for second in range(60))
    made = plan(scale_up(), BUILTIN.get("default"), DEFAULTS, clock=lambda: next(times))
    first, second = (
        json.loads(made.body(0, attempt))["metadata"]["annotations"]["ottoscaler.io/created-at"]
        for attempt in (0, 1)
    )
    assert first < second


def test_pods_of_one_plan_do_not_disturb_each_other() -> None:
    made = planned(scale_up())
    first = made.body(0, 0)
    made.body(1, 3, avoid_node="node-a")
    assert made.body(0, 0) == first


def test_retry_prefers_another_node_beside_the_template_s_own_wishes(tmp_path: Path) -> None:
    wish = {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    affinity = {
        "podAntiAffinity": {"x": []},
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]},
    }
    templates = loaded(tmp_path, default=template(affinity=affinity))
    made = planned(scale_up(), templates)
    merged = made.pod(0, 1, avoid_node="node-a")["spec"]["affinity"]
    away = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-a"]}
    assert merged["podAntiAffinity"] == {"x": []}
    assert merged["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == [
        wish,
        {"weight": 100, "preference": {"matchExpressions": [away]}},
    ]
    assert made.pod(0, 1)["spec"]["affinity"] == affinity


def test_operator_s_template_keeps_all_that_events_cannot_ask_for(tmp_path: Path) -> None:
    own = template(
        {"volumeMounts": [{"name": "cache", "mountPath": "/c"}], "securityContext": {"privileged": True}},
        volumes=[{"name": "cache", "emptyDir": {}}],
        initContainers=[{"name": "clone", "image": "git"}],
        nodeSelector={"disk": "ssd"},
        serviceAccountName="builder",
        automountServiceAccountToken=True,
        imagePullSecrets=[{"name": "pull"}],
        tolerations=[{"operator": "Exists"}],
    )
    own["spec"]["containers"].append({"name": "docker", "image": "docker:dind"})
    pod = planned(scale_up(env={"A": "1"}), loaded(tmp_path, default=own)).pod(0, 0)
    for field, value in own["spec"].items():
        if field != "containers":
            assert pod["spec"][field] == value
    assert pod["spec"]["containers"][1] == {"name": "docker", "image": "docker:dind"}
    assert worker_of(pod)["securityContext"] == {"privileged": True}
    assert not {"ottoscaler.io/accepts", "ottoscaler.io/env"} & pod["metadata"]["annotations"].keys()


def test_profile_accepts_listed_env_cpu_and_memory_where_it_does_not_say(tmp_path: Path) -> None:
    templates = loaded(tmp_path, gpu=template(env="A"))
    assert planned(scale_up(profile="gpu", env={"A": "1"}, cpu="1", memory="1Gi"), templates)
    with pytest.raises(BadEvent, match="profile gpu does not accept image, command, args; it accepts: cpu"):
        planned(scale_up(profile="gpu", image="x", command=("a",), args=("b",)), templates)


def test_annotation_decides_what_a_template_accepts(tmp_path: Path) -> None:
    templates = loaded(
        tmp_path,
        default=template(accepts=""),
        open=template(accepts="*"),
        args=template(accepts=" args , cpu"),
    )
    with pytest.raises(BadEvent, match="profile default does not accept env; it accepts: none"):
        planned(scale_up(env={"A": "1"}), templates)
    assert planned(scale_up(profile="open", image="x", command=("a",)), templates)
    assert planned(scale_up(profile="args", args=("a",), cpu="1"), templates)
    with pytest.raises(BadEvent, match="does not accept memory"):
        planned(scale_up(profile="args", memory="1Gi"), templates)


def test_env_never_replaces_a_name_that_a_profile_sets(tmp_path: Path) -> None:
    own = {
        "env": [{"name": "API", "value": "https://good"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {}}}]
    }
    templates = loaded(tmp_path, gpu=template(own, env="API,KEY,NEW"), default=template(own))
    given = {"API": "https://evil", "KEY": "x", "NEW": "1"}
    pod = planned(scale_up(profile="gpu", env=given), templates).pod(0, 0)
    assert [v for v in worker_of(pod)["env"] if v["name"] in given] == [
        *own["env"],
        {"name": "NEW", "value": "1"},
    ]
    replaced = env_of(planned(scale_up(env=given), templates).pod(0, 0))
    assert (replaced["API"], replaced["KEY"]) == ("https://evil", "x")


def test_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadEvent, match="profile: unknown profile 'tpu'; expected one of default, gpu"):
        planned(scale_up(profile="tpu"), loaded(tmp_path, gpu=template()))


def test_worker_resources_are_always_set(tmp_path: Path) -> None:
    templates = loaded(tmp_path, default=template(), half=template({"resources": {"requests": {"cpu": "2"}}}))
    bare = worker_of(planned(scale_up(), templates).pod(0, 0))["resources"]
    assert set(bare) == {"requests", "limits"}
    asked = worker_of(planned(scale_up(profile="half", memory="2Gi"), templates).pod(0, 0))["resources"]
    assert asked == {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "2Gi"}}


def test_annotations_too_large_for_the_api_server_are_the_event_s_fault(tmp_path: Path) -> None:
    own = template()
    own["metadata"]["annotations"]["note"] = "x" * 200_000
    with pytest.raises(BadEvent, match="bytes of annotations: up to 262144 are possible"):
        planned(scale_up(metadata={"m": "y" * 70_000}), loaded(tmp_path, default=own))


def test_pod_too_large_for_etcd_is_the_event_s_fault() -> None:
    with pytest.raises(BadEvent, match="makes a Pod of"):
        planned(scale_up(args=("x" * 130_000,) * 9))


@pytest.mark.parametrize("text", ["\x01", '"', "\\", "$", "ä", "\U0001f600", "\x7f"])
@pytest.mark.parametrize("count", [1, 100])
def test_event_that_is_not_measured_surely_fits(text: str, count: int) -> None:
    value = text * count
    texts = tuple(value for _ in range(count))
    named = {f"{text}{number}": value for number in range(count)}
    event = scale_up(task_id=text * 256, command=texts, args=texts, env=named, metadata=named)
    most = BUILTIN.get("default").size + OWN_BYTES + MOST_GROWTH * _length(event)
    assert len(planned(scale_up()).body(0, 0)) <= BUILTIN.get("default").size + OWN_BYTES
    assert len(made_of(event).body(2, 2)) <= most


def made_of(event: ScaleUp) -> PodPlan:
    """Its plan, also where it is larger than any API server takes."""
    template = BUILTIN.get("default")
    gated = replace(DEFAULTS, start_gate=True)
    return PodPlan(event, DEFAULTS, "t" * 63, 2, _skeleton(event, template, gated, 60), 0)


def test_plan_uses_the_present_time_unless_told() -> None:
    created = plan(scale_up(), BUILTIN.get("default"), DEFAULTS).pod(0, 0)["metadata"]["annotations"][
        "ottoscaler.io/created-at"
    ]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created)


def test_start_gate_is_in_the_pod_only_where_it_is_asked_for() -> None:
    gated = replace(DEFAULTS, start_gate=True)
    pod = plan(scale_up(), BUILTIN.get("default"), gated).pod(0, 0)
    assert pod["spec"]["schedulingGates"] == [{"name": "ottoscaler.io/noted"}]
    assert pod["metadata"]["annotations"]["ottoscaler.io/start-gate"] == "true"
    assert "schedulingGates" not in planned(scale_up()).pod(0, 0)["spec"]


def test_start_gate_stands_behind_a_templates_own_gates(tmp_path: Path) -> None:
    own = template()
    own["spec"]["schedulingGates"] = [{"name": "example.com/mine"}]
    made = plan(
        scale_up(profile="own"), loaded(tmp_path, own=own).get("own"), replace(DEFAULTS, start_gate=True)
    )
    names = [gate["name"] for gate in made.pod(0, 0)["spec"]["schedulingGates"]]
    assert names == ["example.com/mine", "ottoscaler.io/noted"]


def test_plan_and_its_pods_leave_the_template_as_it_was() -> None:
    before = copy.deepcopy(BUILTIN.get("default").pod)
    made = planned(
        scale_up(image="alpine:3", command=("true",), args=("x",), env={"A": "1"}, cpu="2", memory="1Gi")
    )
    made.pod(0, 0, avoid_node="node-a")
    made.body(1, 1, avoid_node="node-a")
    assert BUILTIN.get("default").pod == before
