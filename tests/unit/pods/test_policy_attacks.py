"""Attempts to make an event change more of a Pod than the rules let it. Each one failed; they stay here.

An attack ends as a ``BadEvent`` with a sentence, or as a Pod in which the attacker's text is nothing but
text in the place that the rules name.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ottoscaler.errors import BadEvent
from ottoscaler.events.parse import Limits, parse_event
from ottoscaler.model import JsonObject, ScaleUp
from ottoscaler.pods.strict_yaml import load
from tests.harness.parsed_events import LIMITS
from tests.harness.pod_makers import env_of, loaded, planned, scale_up, template, worker_of

LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
OWN_PLAIN = planned(scale_up()).pod(0, 0)


def read(**fields: str) -> ScaleUp:
    return read_by(LIMITS, fields)


def read_by(limits: Limits, fields: dict[str, str]) -> ScaleUp:
    raw = {"type": "scale_up", "pod_count": "3", "task_id": "build-17", **fields}
    event = parse_event("1717-0", [(k.encode(), v.encode()) for k, v in raw.items()], limits)
    assert isinstance(event, ScaleUp)
    return event


def refused(**fields: str) -> str:
    with pytest.raises(BadEvent) as caught:
        planned(read(**fields))
    return str(caught.value)


def bare(pod: JsonObject) -> JsonObject:
    """What no event may touch: the Pod without names, marks, and the worker's few open places."""
    spec = json.loads(json.dumps(pod["spec"]))
    spec.pop("activeDeadlineSeconds")
    for container in spec["containers"]:
        if container["name"] == "worker":
            for place in ("image", "command", "args", "env", "resources"):
                container.pop(place, None)
    return {
        "kind": pod["kind"],
        "apiVersion": pod["apiVersion"],
        "meta": sorted(pod["metadata"]),
        "spec": spec,
    }


@pytest.mark.parametrize(
    "name",
    [
        "spec",
        "securityContext",
        "serviceAccountName",
        "volumes",
        "hostNetwork",
        "nodeName",
        "privileged",
        "namespace",
        "labels",
        "annotations",
        "metadata",
        "ottoscaler.io/installation",
        "managed-by",
        "spec.containers[0].securityContext",
        "__class__",
        "template",
        "restartPolicy",
        "Image",
        "image ",
        "IMAGE",
        "ｉmage",
        "env\n",
        "",
    ],
)
def test_field_that_no_rule_knows_is_only_metadata(name: str) -> None:
    value = '{"hostNetwork": true, "privileged": true}'
    marked = planned(read(**{f"meta:{name or 'x'}": value})).pod(0, 0)
    assert bare(marked) == bare(OWN_PLAIN)
    pod = planned(read_by(replace(LIMITS, unknown_fields="metadata"), {name: value})).pod(0, 0)
    assert bare(pod) == bare(OWN_PLAIN)
    assert pod["metadata"]["labels"] == OWN_PLAIN["metadata"]["labels"]
    assert json.loads(pod["metadata"]["annotations"]["ottoscaler.io/metadata"]) == {name: value}
    assert worker_of(pod)["image"] == "busybox:latest"


@pytest.mark.parametrize(
    "text",
    [
        '"}],"hostNetwork":true,"x":[{"y":"',
        "\n  hostNetwork: true\n",
        "{{ .Values.secret }}",
        "${jndi:ldap://evil}",
        "%s%s%n",
        "!!python/object/apply:os.system [id]",
        "&a [*a]",
        "'; DROP TABLE pods; --",
        "\u2028\u2029\ufeff\u202e",
        "\x01\x1b[31m",
    ],
)
@pytest.mark.parametrize("field", ["task_id", "args", "note"])
def test_text_stays_text_wherever_it_goes(field: str, text: str) -> None:
    made = planned(read(**{field: text}))
    pod = json.loads(made.body(0, 0))
    assert bare(pod) == bare(json.loads(planned(scale_up(args=("x",))).body(0, 0)))
    for value in pod["metadata"]["labels"].values():
        assert len(value) <= 63
        assert LABEL_VALUE.fullmatch(value)


@pytest.mark.parametrize(
    "task_id",
    [
        "a,managed-by=other",
        "a\nmanaged-by: other",
        "ottoscaler.io/index=7",
        "-",
        "../..",
        "A" * 256,
        "é" * 256,
    ],
)
def test_task_id_cannot_inject_a_label(task_id: str) -> None:
    labels = planned(read(task_id=task_id)).pod(0, 0)["metadata"]["labels"]
    assert labels.keys() == OWN_PLAIN["metadata"]["labels"].keys()
    assert labels["managed-by"] == "ottoscaler"
    assert labels["ottoscaler.io/index"] == "0"
    assert LABEL_VALUE.fullmatch(labels["ottoscaler.io/task-id"])


@pytest.mark.parametrize(
    "given",
    [
        '{"OTTO_EVENT_ID": "1-0"}',
        '{"OTTO_": ""}',
        '{"\\u004fTTO_TASK_ID": "x"}',
        '{"A": "1", "OTTO_X": {"deep": 1}}',
    ],
)
def test_worker_s_identity_cannot_be_forged_through_env(given: str) -> None:
    assert "reserved" in refused(env=given)


def test_env_that_only_looks_reserved_does_not_shadow_ours() -> None:
    # A fullwidth O is not an O, and no environment variable's name in Kubernetes either.
    assert "invalid name" in refused(env='{"\\uff2fTTO_TASK_ID": "x"}')


def test_env_cannot_read_the_template_s_variables() -> None:
    env = env_of(planned(read(env='{"A": "$(HOME) $$(HOME) $(OTTO_TASK_ID)"}')).pod(0, 0))
    assert env["A"] == "$$(HOME) $$$$(HOME) $$(OTTO_TASK_ID)"


@pytest.mark.parametrize("depth", [100, 5_000, 30_000])
@pytest.mark.parametrize("field", ["command", "args", "env"])
def test_deep_nesting_is_a_bad_event_not_a_dead_thread(field: str, depth: int) -> None:
    told = refused(**{field: "[" * depth + "]" * depth})
    assert told.startswith(field)
    assert len(told) < 300


@pytest.mark.parametrize("value", ["[" * 30_000, "[" + '{"a":' * 9_000, '["\\"",' + '["a",{"b":' * 5_000])
def test_deep_nesting_does_not_overflow_the_smallest_stack(value: str) -> None:
    """In a child process: without the guard this is a segmentation fault, which no test survives."""
    code = f"""
import sys, threading
sys.path[:0] = {sys.path!r}
from tests.unit.pods.test_policy_attacks import refused
threading.stack_size(64 * 1024)
thread = threading.Thread(target=lambda: print(refused(args=sys.stdin.read())))
thread.start(); thread.join()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, input=value, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout[:39]) == (0, "args: contains nested lists or objects;"), ran.stderr


def test_deep_objects_are_a_bad_event_too() -> None:
    assert refused(env='{"a":' * 9_000 + "1" + "}" * 9_000).startswith(
        "env: contains nested lists or objects"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("command", '["\\ud800"]'),
        ("args", '["a\\udfff"]'),
        ("env", '{"A": "\\ud800"}'),
        ("env", '{"\\ud800": "1"}'),
        ("args", "[" + "9" * 5000 + "]"),
        ("args", '["a\\u0000b"]'),
        ("env", '{"A": "\\u0000"}'),
        ("args", "[1e999]"),
        ("args", "[-Infinity]"),
        ("env", '{"A": NaN}'),
        ("args", '["a"] trailing'),
        ("args", '["a",]'),
        ("env", '{"A": "1"}{"B": "2"}'),
        ("env", "\ufeff{}"),
        ("env", "null"),
        ("env", "true"),
        ("cpu", "1e999999999"),
        ("cpu", "9" * 10_000),
        ("cpu", "+-1"),
        ("memory", "1Gi\n"),
        ("memory", "１Gi"),
        ("memory", "-1Gi"),
        ("pod_count", "9" * 5000),
        ("priority", "1" * 4400),
        ("timeout_seconds", "1e3"),
        ("timeout_seconds", "-1"),
        ("expires_at", "9" * 400),
        ("expires_at", "inf"),
        ("profile", "default\n"),
        ("profile", "..data"),
        ("profile", "default.yaml"),
        ("profile", "dеfault"),  # a Cyrillic letter
        ("profile", ""),
        ("image", "busybox.evil.io/busybox:latest"),
        ("image", "busybox:latest\nevil"),
        ("image", "evil.io/busybox:latest"),
        ("image", "busybox:latest@sha256:" + "a" * 64),
        ("task_id", "x" * 257),
    ],
)
def test_hostile_value_is_refused_with_a_short_sentence(field: str, value: str) -> None:
    told = refused(**{field: value})
    assert told.startswith(field)
    assert len(told) < 300
    assert told.isprintable()


RUN_CODE = (
    "BASH_ENV LD_PRELOAD PATH PYTHONSTARTUP NODE_OPTIONS GIT_SSH_COMMAND ENV MAKEFLAGS GOFLAGS RUSTC_WRAPPER "
    "DOTNET_STARTUP_HOOKS LESSOPEN CI_ CICD ci BRANCHES"
)


@pytest.mark.parametrize("accepts", [None, "env", "args,env,cpu"])
def test_profile_is_opened_by_no_env_name_that_it_does_not_list(tmp_path: Path, accepts: str | None) -> None:
    templates = loaded(tmp_path, deploy=template(accepts=accepts, env="CI, BRANCH,BUILD_*"))
    for name in RUN_CODE.split():
        with pytest.raises(
            BadEvent, match=f"does not accept the env names {name}; it accepts: BRANCH, BUILD_"
        ):
            planned(scale_up(profile="deploy", env={"CI": "1", name: "x"}), templates)
    for name in ("CI", "BRANCH", "BUILD_7"):
        assert planned(scale_up(profile="deploy", env={name: "x"}), templates)


def test_profile_without_a_list_accepts_no_env_at_all(tmp_path: Path) -> None:
    templates = loaded(tmp_path, silent=template(), empty=template(env=""), asks=template(accepts="env"))
    for profile in ("silent", "empty", "asks"):
        with pytest.raises(BadEvent, match=f"profile {profile} does not accept env; it accepts: "):
            planned(scale_up(profile=profile, env={"CI": "1"}), templates)


def test_profile_that_accepts_everything_and_the_default_take_every_env_name(tmp_path: Path) -> None:
    templates = loaded(tmp_path, open=template(accepts="*"), default=template())
    for profile in ("open", "default"):
        assert planned(scale_up(profile=profile, env={"MAKEFLAGS": "x"}), templates)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n" * 1, "is not a field"),
        (
            "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(9)),
            "too large",
        ),
        ("a: &a\n  b: *a\n", "too large"),
        ("[" * 3000 + "]" * 3000, "invalid YAML"),
        ("!!python/object/apply:os.system ['id']", "invalid YAML"),
        ("a: 1\na: 2\n", "duplicate key a"),
        ("1: x\n", "has the key 1, which is not a string"),
        ("on: x\n", "has the key True, which is not a string"),
        ("a: 2026-01-02\n", "a is a date"),
        ("a: !!binary aGk=\n", "a is a bytes"),
        ("a: !!set {x}\n", "a is a set"),
        ("a: .nan\n", "a is not a finite number"),
        ('a: "\\ud800"\n', "a contains an unpaired surrogate"),
        ('"\\ud800": x\n', "which is not a string"),
        ("a: 1\n---\nb: 2\n", "invalid YAML"),
        ("", "expected one Pod"),
        ("a: \x07", "invalid YAML"),
    ],
)
def test_yaml_tricks_end_as_a_bad_template(tmp_path: Path, text: str, words: str) -> None:
    templates = loaded(tmp_path, evil=text)
    assert templates.names == ("default",)
    assert words in "; ".join(templates.problems)
    assert len("; ".join(templates.problems)) < 2000
    with pytest.raises(BadEvent, match="the template of 'evil' is invalid"):
        templates.get("evil")


def test_file_of_very_many_keys_is_read_in_seconds() -> None:
    wrong: list[str] = []
    begun = time.process_time()
    assert load("a:\n" + "".join(f" k{number}: 1\n" for number in range(30_000)), wrong) is None
    assert "too large" in wrong[0]
    assert time.process_time() - begun < 10.0, "26 s, where each key was compared with each"


def test_places_that_share_a_yaml_anchor_are_not_one_object(tmp_path: Path) -> None:
    text = """
apiVersion: v1
kind: Pod
spec:
  containers:
    - name: worker
      image: team/app:1
      resources: {requests: &amounts {cpu: "1"}, limits: *amounts}
    - name: side
      image: team/side:1
      resources: {requests: *amounts}
"""
    pod = planned(scale_up(cpu="4"), loaded(tmp_path, default=text)).pod(0, 0)
    assert worker_of(pod)["resources"]["limits"] == {"cpu": "4"}
    assert pod["spec"]["containers"][1]["resources"] == {"requests": {"cpu": "1"}}
